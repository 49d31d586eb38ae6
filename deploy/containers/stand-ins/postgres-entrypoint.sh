#!/bin/sh
# Make the cluster, the user and the database the first time; then be the server.
# POSTGRES_INITDB_ARGS is left out: Debian's release may be older than its options.
set -eu

data=/var/lib/postgresql/data
if ! [ -e "$data" ]; then
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust \
    --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --pgdata="$data.new"
  rm /tmp/password
  echo "host all all all scram-sha-256" >>"$data.new/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB;" |
    postgres --single -D "$data.new" -c exit_on_error=true postgres
  mv "$data.new" "$data"
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp

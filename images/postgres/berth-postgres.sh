#!/bin/sh
# Postgres of a stack: makes the database on first start, then runs the server until a signal.
set -eu

home=/var/lib/postgresql
data=$home/data
unfinished=$home/data.unfinished

say() { echo "berth-postgres: $*" >&2; }

# Two servers on one directory destroy it, and across containers Postgres's own check does not see the other.
exec 9>"$home/.lock"
if ! flock --nonblock 9; then
  say "another container runs on this volume: stop it first"
  exit 1
fi

# The directory gets its final name only when all of it is on disk. So one under the other name never held data that
# anybody was promised, and one under the final name is never removed.
if [ ! -e "$data" ]; then
  say "making the database"
  rm -rf "$unfinished"
  initdb --pgdata="$unfinished" --username=postgres --auth-local=peer --auth-host=reject \
    --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C --no-instructions >/dev/null
  postgres --single -j -D "$unfinished" postgres >/dev/null <<'SQL'
CREATE ROLE mattermost LOGIN;

CREATE DATABASE mattermost OWNER mattermost;

REVOKE ALL ON DATABASE mattermost FROM PUBLIC;

SQL
  # Single-user mode ends with success whatever its statements did: entering the new database proves them.
  postgres --single -D "$unfinished" mattermost </dev/null >/dev/null
  sync
  mv "$unfinished" "$data"
  sync
fi

have=$(cat "$data/PG_VERSION" 2>/dev/null || echo none)
want=$(postgres --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
if [ "$have" != "$want" ]; then
  say "the volume holds data of Postgres $have and this is Postgres $want: dump it with that version and restore it, nothing was changed"
  exit 1
fi

# SIGTERM alone waits until every client has gone; SIGINT ends their connections and shuts down cleanly.
postgres -D "$data" -c config_file=/etc/berth/postgresql.conf -c ident_file="$data/pg_ident.conf" &
server=$!
trap 'kill -INT "$server" 2>/dev/null || true' TERM INT
status=0
wait "$server" || status=$?
# A trapped signal ends the first wait; the server is still shutting down then.
while kill -0 "$server" 2>/dev/null; do
  status=0
  wait "$server" || status=$?
done
exit "$status"

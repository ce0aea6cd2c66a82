# Makes a database in /data as POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB say, and serves it. Nobody gets in
# without the password, from the pod itself neither.
set -eu
PATH=$PATH:/usr/lib/postgresql/15/bin
umask 077
printf %s "$POSTGRES_PASSWORD" >/data/password
initdb --pgdata=/data/db --username="$POSTGRES_USER" --pwfile=/data/password --auth=scram-sha-256 --no-sync
rm /data/password
printf 'create database %s\n' "$POSTGRES_DB" | postgres --single -D /data/db postgres
echo 'host all all all scram-sha-256' >>/data/db/pg_hba.conf
exec postgres -D /data/db -c 'listen_addresses=*' -c unix_socket_directories=/data

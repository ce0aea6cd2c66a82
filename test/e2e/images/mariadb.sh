# Makes a database in /data with MARIADB_ROOT_PASSWORD and, where there are such, MARIADB_USER and MARIADB_PASSWORD, and
# serves it.
set -eu
export TMPDIR=/data
mariadb-install-db --no-defaults --datadir=/data/db --auth-root-authentication-method=normal --skip-test-db
{
	echo 'flush privileges;'
	echo "alter user root@localhost identified by '$MARIADB_ROOT_PASSWORD';"
	if test -n "${MARIADB_USER:-}"; then
		echo "create user '$MARIADB_USER'@'%' identified by '$MARIADB_PASSWORD';"
	fi
} | mariadbd --no-defaults --datadir=/data/db --bootstrap
exec mariadbd --no-defaults --datadir=/data/db --socket=/data/socket --bind-address='*'

# Debian 12 has mysqld_exporter 0.14. From 0.15 on it takes the server by flags and MYSQLD_EXPORTER_PASSWORD, as the built-in
# exporter gives them; 0.14 takes all in one variable.
set -eu
address=localhost:3306
username=root
for arg; do
	shift
	case $arg in
	--mysqld.address=*) address=${arg#*=} ;;
	--mysqld.username=*) username=${arg#*=} ;;
	*) set -- "$@" "$arg" ;;
	esac
done
export DATA_SOURCE_NAME="$username:${MYSQLD_EXPORTER_PASSWORD:-}@($address)/?timeout=5s"
exec prometheus-mysqld-exporter "$@"

#!/bin/sh
# Starts an MLflow server on PostgreSQL, in the foreground:   sh start.sh [ENV_FILE]
#
# Settings are environment variables, set before or in ENV_FILE (see mlflow.env). Beyond loopback the server
# asks for a name and a password, and start.sh refuses to go without.
# Wants: pip install mlflow "psycopg[binary]" Flask-WTF; a database (see README.md).
set -eu

refuse() {
    echo "error: $1" >&2
    exit 2
}

if [ $# -gt 0 ]; then
    [ -r "$1" ] || refuse "$1 cannot be read"
    set -a
    . "$(realpath "$1")"
    set +a
fi
: "${MLFLOW_HOST:=127.0.0.1}" "${MLFLOW_PORT:=5000}"
[ -n "${MLFLOW_BACKEND_STORE_URI:-}" ] || refuse "MLFLOW_BACKEND_STORE_URI is not set. See mlflow.env"
[ -n "${MLFLOW_ARTIFACTS_DESTINATION:-}" ] || refuse "MLFLOW_ARTIFACTS_DESTINATION is not set. See mlflow.env"
export MLFLOW_HOST MLFLOW_PORT MLFLOW_BACKEND_STORE_URI MLFLOW_ARTIFACTS_DESTINATION
# MLflow's queue of background jobs serves nothing of ours, and listens on ports of its own.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION="${MLFLOW_SERVER_ENABLE_JOB_EXECUTION:-false}"
export MLFLOW_DISABLE_TELEMETRY="${MLFLOW_DISABLE_TELEMETRY:-true}"
# Whatever ends the first process ends its workers, which would otherwise keep the port.
here="$(dirname "$(realpath "$0")")"
export MLFLOW_FIRST_PROCESS=$$ PYTHONPATH="$here/ends_with_parent${PYTHONPATH:+:$PYTHONPATH}"

case "$MLFLOW_HOST" in
127.* | localhost | ::1) ;;
*)
    [ -n "${MLFLOW_AUTH_ADMIN_USERNAME:-}" ] && [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ] || refuse \
        "MLFLOW_HOST=$MLFLOW_HOST is open to others. Set MLFLOW_AUTH_ADMIN_USERNAME and MLFLOW_AUTH_ADMIN_PASSWORD"
    [ ${#MLFLOW_AUTH_ADMIN_PASSWORD} -ge 12 ] || refuse \
        "MLFLOW_AUTH_ADMIN_PASSWORD has fewer than 12 characters, which is all that MLflow takes"
    [ -n "${MLFLOW_FLASK_SERVER_SECRET_KEY:-}" ] || refuse \
        "MLFLOW_FLASK_SERVER_SECRET_KEY is not set. python3 -c 'import secrets; print(secrets.token_hex())'"
    export MLFLOW_AUTH_CONFIG_PATH="${MLFLOW_AUTH_CONFIG_PATH:-$here/basic_auth.ini}"
    set -- --app-name basic-auth
    exec python3 -m mlflow server "$@"
    ;;
esac
exec python3 -m mlflow server

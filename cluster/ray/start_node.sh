#!/usr/bin/env bash
# Starts one node of a Ray cluster and stays until SIGTERM; with a token, the dashboard on loopback.
#
#   cluster/ray/start_node.sh head                  # prints what the other nodes are to be given
#   cluster/ray/start_node.sh 10.0.0.1:6379         # on every other node, with the head's token
#
# More options go on to `ray start`: cluster/ray/start_node.sh head --num-cpus=0
# Nodes talk to each other: apart from the dashboard, Ray listens on every interface, and wants the token on every
# port but those of its metrics. Who holds the token may run code here, and it travels unencrypted: keep the ports
# inside the cluster. RAY_NODE_ADDRESS names the address that the others use.
set -euo pipefail

target=${1:?head, or host:port of the head}
shift
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
options=(--block --disable-usage-stats)
[[ -z ${RAY_NODE_ADDRESS:-} ]] || options+=(--node-ip-address="$RAY_NODE_ADDRESS")

if [[ $target == head ]]; then
    if [[ -z ${RAY_AUTH_TOKEN:-} && -z ${RAY_AUTH_TOKEN_PATH:-} && ! -s ~/.ray/auth_token ]]; then
        (umask 077 && ray get-auth-token --generate > /dev/null)
    fi
    echo "The other nodes need this node's ${RAY_AUTH_TOKEN_PATH:-~/.ray/auth_token} (mode 600) or RAY_AUTH_TOKEN."
    echo "Jobs: http://127.0.0.1:8265 here; from elsewhere, ssh -L 8265:127.0.0.1:8265 $(hostname)"
    exec ray start --head --port=6379 --dashboard-host=127.0.0.1 --dashboard-port=8265 "${options[@]}" "$@"
fi
exec ray start --address="$target" "${options[@]}" "$@"

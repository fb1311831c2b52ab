#!/usr/bin/env bash
# Runs a command on the first node of a SLURM allocation, with Ray on all of its nodes where there are several.
#
#   sbatch --nodes=2 --ntasks-per-node=1 --cpus-per-task=8 --signal=B:TERM@60 --requeue --open-mode=append \
#       cluster/slurm/ray_nodes.sh python -m pipelines.train recipe=lenet runtime=ray runtime.address=auto
#
# Before the time limit SLURM sends SIGTERM to this script alone; it goes on to the command. If the command ends
# of it with status 143, what it had was saved, and the job is queued again. Where SLURM itself ends the job
# (preemption, `scontrol requeue`, scancel) it signals every process: to pass it on would ask twice.
# `ray symmetric-run` is not used: it ends with `ray stop`, which ends every other Ray of this user on the node
# too, does not start beside one, and passes no signal on.
#
# TRAINYARD_CONTAINER holds the words before a command that run it in a container (apptainer exec IMAGE),
# TRAINYARD_SRUN_OPTIONS those of srun that do (pyxis: --container-image=IMAGE). TRAINYARD_HEALTH_IN, a folder that all
# nodes see, has each of them checked first; where one fails, the job ends before it has begun.
set -euo pipefail

python=${TRAINYARD_PYTHON:-python}
read -ra inside <<< "${TRAINYARD_CONTAINER:-}"
read -ra options <<< "${TRAINYARD_SRUN_OPTIONS:-}"
here=("${inside[@]}")
if (( ${#options[@]} )); then here=(srun --overlap --nodes=1 --ntasks=1 "${options[@]}"); fi
ray_step_number=0
if [[ -n ${TRAINYARD_HEALTH_IN:-} ]]; then
    together=$TRAINYARD_HEALTH_IN/health-${SLURM_RESTART_COUNT:-0}${SLURM_ARRAY_TASK_ID:+-$SLURM_ARRAY_TASK_ID}
    srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
        --kill-on-bad-exit=0 "${options[@]}" "${inside[@]}" "$python" -m pipelines.health \
        storage="$(dirname "$(dirname "$TRAINYARD_HEALTH_IN")")" together="$together" num_nodes="$SLURM_JOB_NUM_NODES"
    ray_step_number=1
fi
if (( SLURM_JOB_NUM_NODES > 1 )); then
    export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
    if [[ -z ${RAY_AUTH_TOKEN:-} && -z ${RAY_AUTH_TOKEN_PATH:-} && ! -s ~/.ray/auth_token ]]; then
        (umask 077 && "${here[@]}" ray get-auth-token --generate > /dev/null)
    fi
    head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    head=$(scontrol show node "$head" | grep -oP 'NodeAddr=\K\S+')
    # Jobs that share a node must not share a port: each has sixteen of its own, all others are the kernel's choice.
    export FIRST_PORT=$((20000 + SLURM_JOB_ID % 2500 * 16))
    export RAY_ADDRESS=$head:$FIRST_PORT
    export FOLDER=${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID
    srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
        --kill-on-bad-exit=0 --output="ray-$SLURM_JOB_ID-%t.log" "${options[@]}" \
        bash -c '
            common=(--block --disable-usage-stats --num-cpus="${SLURM_CPUS_PER_TASK:-1}")
            common+=(--min-worker-port=0 --max-worker-port=0)
            common+=(--dashboard-agent-listen-port=$((FIRST_PORT + 2 + SLURM_LOCALID)))
            if [[ $SLURM_NODEID == 0 ]]; then
                common+=(--head --port="$FIRST_PORT" --ray-client-server-port=$((FIRST_PORT + 1)))
                common+=(--include-dashboard=false --temp-dir="$FOLDER")
            else
                until "$@" ray health-check --address "$RAY_ADDRESS" > /dev/null 2>&1; do sleep 1; done
                common+=(--address="$RAY_ADDRESS")
            fi
            exec "$@" ray start "${common[@]}"
        ' ray_node "${inside[@]}" 2> "ray-$SLURM_JOB_ID-srun.log" &
    ray_step=$!
    "${here[@]}" "$python" -m modules.cluster.wait_for_nodes address="$RAY_ADDRESS" num_nodes="$SLURM_JOB_NUM_NODES"
fi

job_is_running() { [[ $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2> /dev/null) == RUNNING ]]; }

time_is_up=
trap 'if job_is_running; then time_is_up=yes; kill -TERM "$command_pid" 2> /dev/null || true; fi' TERM
"${here[@]}" "$@" &
command_pid=$!
status=0
# A signal ends `wait` before the command has ended.
while kill -0 "$command_pid" 2> /dev/null; do wait "$command_pid" && status=0 || status=$?; done
if [[ -n ${ray_step:-} ]]; then
    # What still runs at the script's end keeps the nodes, as COMPLETING, for the cluster's KillWait; Ray itself takes
    # half a minute to say good-bye.
    scancel --signal=KILL "$SLURM_JOB_ID.$ray_step_number" 2> /dev/null || true
    wait "$ray_step" || true
    srun --quiet --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$FOLDER" || true
fi

if [[ -n $time_is_up && $status == 143 ]] && job_is_running; then
    echo "time is up: job $SLURM_JOB_ID is queued again and goes on from its checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"

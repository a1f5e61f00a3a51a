#!/usr/bin/env bash
# Trains on several devices of one machine, or of several machines.
#
#   bash tools/dist_train.sh CONFIG PROCESSES_PER_MACHINE [OPTIONS OF tools/train.py]
#
# On several machines, on each of them, with its own NODE_RANK:
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh ...

set -euo pipefail

if (($# < 2)); then
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
config="$1"
processes="$2"
shift 2

tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cores="$(getconf _NPROCESSORS_ONLN)"
# torchrun would give each process one thread, which starves a run on CPUs.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$tools/train.py" "$config" --launcher pytorch "$@"

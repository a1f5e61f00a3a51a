#!/usr/bin/env bash
# Tests on a Slurm cluster, one task per GPU.
#
#   GPUS=16 bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [OPTIONS OF tools/test.py]
#
#   GPUS           GPUs in all (8)
#   GPUS_PER_NODE  GPUs of one machine (8)
#   CPUS_PER_TASK  cores for each GPU (5)
#   SRUN_ARGS      more options for srun

set -euo pipefail

if (($# < 4)); then
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
partition="$1"
job_name="$2"
config="$3"
checkpoint="$4"
shift 4

gpus="${GPUS:-8}"
gpus_per_node="${GPUS_PER_NODE:-8}"
if ((gpus < gpus_per_node)); then
    gpus_per_node="$gpus"
fi
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"

# SRUN_ARGS is a list of options, so it is split at its spaces.
# shellcheck disable=SC2086
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$tools/test.py" "$config" "$checkpoint" \
    --launcher slurm "$@"

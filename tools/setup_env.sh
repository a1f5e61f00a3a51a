#!/usr/bin/env bash
# Makes the Python environment that tools/quickstart.sh and tools/run_tests.sh use.
#
#   bash tools/setup_env.sh [onedl|openmmlab]     (OneDL's packages are the default)
#
# or, from another script: `source tools/setup_env.sh`, then `setup_env onedl`, which
# sets ENV_DIR and ENV_PYTHON. What is already there is left as it is.
#
#   PYTHON          the interpreter to start from (default: the first one that fits)
#   MMTAFORMER_VENV where the environment goes, seen from the project's folder (default:
#                   .venv; .venv-openmmlab for the other stack)
#   MAX_JOBS        parallel jobs while mmcv is compiled (default: by cores and memory)

set -euo pipefail

PROJECT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# 0 if the interpreter runs and is Python 3.10, 3.11 or 3.12.
python_fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
        >/dev/null 2>&1
}

# Prints the path of an interpreter to start from.
find_python() {
    local candidate version found=""
    if [[ -n "${PYTHON:-}" ]]; then
        python_fits "$PYTHON" || fail "PYTHON=$PYTHON is" \
            "$("$PYTHON" --version 2>&1 || true); Python 3.10, 3.11 or 3.12 is needed."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.10 python; do
        version="$("$candidate" --version 2>/dev/null)" || continue
        if python_fits "$candidate"; then
            command -v "$candidate"
            return
        fi
        found+="${found:+, }$candidate is $version"
    done
    fail "Python 3.10, 3.11 or 3.12 is needed, but ${found:-there is no Python};" \
        "install one of them, or name it: PYTHON=/path/to/python3.11"
}

# Stops with a message if what mmcv is compiled with is missing.
check_compiler() {
    local python="$1"
    command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
        fail "mmcv is compiled here and there is no C++ compiler;" \
            "install one (Debian and Ubuntu: apt install g++)."
    "$python" - <<'PY' || fail "mmcv is compiled here and the headers of Python are" \
        "missing; install them (Debian and Ubuntu: apt install python3-dev)."
import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_paths()["include"], "Python.h").is_file())
PY
}

# Prints how many compilers fit at once: one per core and 2 GB of free memory.
compile_jobs() {
    local cores memory
    cores="$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)"
    memory="$(awk '/^MemAvailable/ {print int($2 / 2000000)}' /proc/meminfo \
        2>/dev/null || true)"
    [[ -n "$memory" ]] || memory="$cores"
    ((memory >= 1)) || memory=1
    echo $((cores < memory ? cores : memory))
}

# Stops if PYTHON is not fit, or is another version than the environment has.
check_asked_python() {
    local asked existing
    [[ -n "${PYTHON:-}" ]] || return 0
    find_python >/dev/null
    [[ -x "$ENV_PYTHON" ]] || return 0
    asked="$("$PYTHON" --version 2>&1)"
    existing="$("$ENV_PYTHON" --version 2>&1)"
    [[ "$asked" == "$existing" ]] || fail "PYTHON=$PYTHON is $asked, but the" \
        "environment $ENV_DIR has $existing; leave PYTHON out, delete the" \
        "environment, or name another one: MMTAFORMER_VENV=FOLDER."
}

# Stops if the environment belongs to another clone of the project, which would lose it.
check_owner() {
    local owner
    [[ -f "$ENV_DIR/mmtaformer-root" ]] || return 0
    owner="$(<"$ENV_DIR/mmtaformer-root")"
    [[ ! -d "$owner" || "$owner" -ef "$PROJECT_ROOT" ]] ||
        fail "the environment $ENV_DIR belongs to the clone $owner; give this one" \
            "an environment of its own: MMTAFORMER_VENV=FOLDER."
}

# Prints a fingerprint of everything that decides what is installed.
setup_fingerprint() {
    (
        cd "$PROJECT_ROOT"
        {
            printf '%s\n' "$1" "$PROJECT_ROOT"
            "$ENV_PYTHON" --version 2>&1
            cat requirements/*.txt pyproject.toml hatch_build.py
        } | cksum
    )
}

pip_install() {
    "$ENV_PYTHON" -m pip install --disable-pip-version-check \
        -c "$PROJECT_ROOT/requirements/constraints.txt" "$@"
}

make_venv() {
    local python
    python="$(find_python)"
    step "Creating $ENV_DIR with $("$python" --version) (10 seconds)"
    "$python" -m venv "$ENV_DIR" || fail "$python could not make a virtual environment;" \
        "on Debian and Ubuntu: apt install python3-venv"
}

mmcv_has_ops() {
    "$ENV_PYTHON" -c 'import torch, mmcv._ext' >/dev/null 2>&1
}

install_stack() {
    local stack="$1" jobs="${MAX_JOBS:-$(compile_jobs)}" environment pin
    environment=(MMCV_WITH_OPS=1 "MAX_JOBS=$jobs")
    if command -v nvidia-smi >/dev/null && ! command -v nvcc >/dev/null &&
        [[ ! -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]]; then
        echo "There is a GPU but no CUDA compiler (nvcc): mmcv gets its operators for" \
            "the CPU only. For those of the GPU install the CUDA toolkit that torch" \
            "was built with, delete $ENV_DIR and start again."
        environment+=(CUDA_VISIBLE_DEVICES=)
    fi
    check_compiler "$ENV_PYTHON"
    step "Installing mmengine, mmcv and mmdet ($stack). mmcv is compiled the first time:" \
        "10 to 20 minutes on two cores, here with $jobs jobs; pip keeps what it built"
    pip_install_stack "$stack" "${environment[@]}"
    if ! mmcv_has_ops; then
        step "The mmcv that pip had kept does not fit this torch: compiling it again"
        pin="$(grep -E '^(onedl-)?mmcv==' "$PROJECT_ROOT/requirements/$stack.txt")"
        "$ENV_PYTHON" -m pip cache remove "${pin%%==*}" >/dev/null || true
        env "${environment[@]}" "$ENV_PYTHON" -m pip install --no-deps \
            --force-reinstall --no-build-isolation "$pin"
        mmcv_has_ops || fail "mmcv was compiled but cannot be loaded:" \
            "$("$ENV_PYTHON" -c 'import torch, mmcv._ext' 2>&1 | tail -n 1)"
    fi
}

pip_install_stack() {
    local stack="$1"
    shift
    env "$@" "$ENV_PYTHON" -m pip install --disable-pip-version-check \
        --no-build-isolation -c "$PROJECT_ROOT/requirements/constraints.txt" \
        -r "$PROJECT_ROOT/requirements/$stack.txt" \
        -r "$PROJECT_ROOT/requirements/runtime.txt"
}

# setup_env STACK: makes the environment of a stack, unless it is up to date.
setup_env() {
    local stack="${1:-onedl}" stamp fingerprint default=".venv"
    [[ -f "$PROJECT_ROOT/requirements/$stack.txt" && "$stack" =~ ^(onedl|openmmlab)$ ]] ||
        fail "there is no stack '$stack'; choose onedl or openmmlab."
    [[ "$stack" == onedl ]] || default=".venv-$stack"
    ENV_DIR="${MMTAFORMER_VENV:-$default}"
    [[ "$ENV_DIR" == /* ]] || ENV_DIR="$PROJECT_ROOT/$ENV_DIR"
    ENV_PYTHON="$ENV_DIR/bin/python"
    check_asked_python
    [[ -x "$ENV_PYTHON" ]] || make_venv
    check_owner
    stamp="$ENV_DIR/mmtaformer-setup"
    fingerprint="$(setup_fingerprint "$stack")"
    if [[ -f "$stamp" && "$(<"$stamp")" == "$fingerprint" ]]; then
        step "The environment $ENV_DIR is up to date"
        return
    fi
    step "Installing torch and build tools (200 MB to download, 3 GB with CUDA;" \
        "1 to 5 minutes)"
    pip_install --quiet -r "$PROJECT_ROOT/requirements/build.txt"
    install_stack "$stack"
    step "Installing the tools for tests, and mmtaformer itself (1 minute)"
    pip_install --quiet -r "$PROJECT_ROOT/requirements/dev.txt"
    "$ENV_PYTHON" -c 'import triton' 2>/dev/null ||
        pip_install --quiet -r "$PROJECT_ROOT/requirements/triton.txt"
    pip_install --quiet --no-deps --no-build-isolation --editable "$PROJECT_ROOT"
    printf '%s\n' "$PROJECT_ROOT" >"$ENV_DIR/mmtaformer-root"
    printf '%s\n' "$fingerprint" >"$stamp"
}

if [[ "${BASH_SOURCE[0]}" == "$0" ]]; then
    setup_env "$@"
    step "Done. To use it: source $ENV_DIR/bin/activate"
fi

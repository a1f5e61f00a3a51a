#!/usr/bin/env bash
# Makes the environment if needed, then runs the linters and the tests.
#
#   bash tools/run_tests.sh [--stack onedl|openmmlab] [PYTEST ARGUMENTS ...]
#
# For example: bash tools/run_tests.sh tests/test_models -k padding

set -euo pipefail

stack=onedl
case "${1:-}" in
    -h | --help)
        sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    --stack)
        stack="${2:-}"
        shift $(($# > 1 ? 2 : 1))
        ;;
    --stack=*)
        stack="${1#--stack=}"
        shift
        ;;
esac

# shellcheck source=tools/setup_env.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env "$stack"
cd "$PROJECT_ROOT"

if [[ "$stack" == onedl ]]; then
    step "Linters: ruff, codespell, mypy (half a minute)"
    "$ENV_PYTHON" -m ruff check .
    "$ENV_PYTHON" -m ruff format --check .
    "$ENV_DIR/bin/codespell"
    "$ENV_PYTHON" -m mypy
fi

step "Tests with the packages of $stack (several minutes for all of them)"
# All of them in two processes; each file stays in one, as its fixtures are shared.
(($#)) || set -- -n 2 --dist loadfile
"$ENV_PYTHON" -m pytest "$@"

#!/usr/bin/env bash
# Sets up everything the tests need on a bare Debian or Ubuntu machine with Python 3.11, then runs
# lint, types, import contracts and all tests, browser journeys included.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python="${PYTHON:-python3.11}"
command -v "$python" >/dev/null || python=python3

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null; then
    echo "== Chromium, for the browser journeys"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi

echo "== Python packages"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/pip install --quiet --requirement requirements.txt --requirement tests/requirements.txt

echo "== Lint"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
echo "== Types"
.venv/bin/mypy
echo "== Import contracts"
.venv/bin/lint-imports
echo "== Tests"
exec env OMP_NUM_THREADS=1 .venv/bin/python -m pytest --browser --slow "$@"

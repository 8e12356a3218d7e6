#!/bin/sh
# Prints a Python interpreter that can make the environment: 3.11 or newer, with venv and ensurepip.
# PYTHON=/path/to/python chooses one.
set -u

can_make_environment() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
    if command -v "$candidate" >/dev/null 2>&1 && can_make_environment "$candidate"; then
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            command -v "$candidate"
            exit 0
        fi
        lacks_venv="$candidate"
    elif [ "$candidate" = "${PYTHON:-}" ]; then
        echo "PYTHON=$PYTHON is not a Python of 3.11 or newer." >&2
        exit 1
    fi
done

if [ -n "${lacks_venv:-}" ]; then
    echo "$lacks_venv has no 'venv' and 'ensurepip' modules. On Debian and Ubuntu: apt-get install python3-venv." >&2
else
    echo "Cairn needs Python 3.11 or newer; found: $(python3 --version 2>&1 || true)." >&2
fi
echo "Another interpreter is chosen with: make setup PYTHON=/path/to/python3.12" >&2
exit 1

#!/bin/sh
# Make the virtual environment and install the project into it with everything that development needs.
#
#   venv.sh FOLDER
#
# Takes $PYTHON, else the first Python that is new enough. Where Debian's Python lacks its venv package, installs it.
set -eu

folder=$1
here=$(dirname -- "$0")
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'

if ! "$folder/bin/python" -c "$new_enough" 2>/dev/null; then
    for python in "${PYTHON:-}" python3.11 python3 /usr/bin/python3; do
        if [ -n "$python" ] && "$python" -c "$new_enough" 2>/dev/null; then break; fi
        python=''
    done
    if [ -z "$python" ]; then
        echo 'venv.sh: Python 3.11 or newer is needed; set PYTHON to it.' >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$here/packages.sh" python3-venv
    fi
    rm -rf -- "$folder"
    "$python" -m venv "$folder"
fi
PIP_DISABLE_PIP_VERSION_CHECK=1 "$folder/bin/python" -m pip install --quiet --editable '.[dev]'

#!/bin/sh
# Makes a virtual environment with a Python from 3.11 to 3.14, and uv in it: sh scripts/make_venv.sh FOLDER
#
# The Python is $PYTHON if that is set, else the one that FOLDER already has, else the first that fits on the PATH, else
# one that uv downloads. Any older Python 3 is enough to get uv.
set -eu

folder=$1
wanted="Python 3.11 to 3.14"

fits() { "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))" 2>/dev/null; }

minor() { "$1" -c "import sys; print(sys.version_info[1])"; }

fail() {
	echo "$*" >&2
	exit 2
}

# Print the first Python on the PATH that fits, or nothing.
find_python() {
	for name in python3 python3.13 python3.12 python3.11 python3.14; do
		if fits "$name"; then
			command -v "$name"
			return
		fi
	done
}

# Make the environment with a Python that uv downloads. Without a uv on the PATH, another Python 3 installs one.
download_python() {
	echo "There is no $wanted on the PATH, so uv downloads one."
	temporary=$(mktemp -d)
	trap 'rm -rf "$temporary"' EXIT
	uv=$(command -v uv) || {
		uv=$temporary/bin/uv
		python3 -m venv "$temporary" && "$temporary/bin/python" -m pip install --quiet uv
	} && "$uv" venv --quiet --seed --clear --managed-python --python 3.13 "$folder"
}

if [ -n "${PYTHON:-}" ]; then
	fits "$PYTHON" || fail "PYTHON=$PYTHON is no $wanted, which expnet needs."
	if fits "$folder/bin/python" && [ "$(minor "$folder/bin/python")" != "$(minor "$PYTHON")" ]; then
		fail "$folder has Python 3.$(minor "$folder/bin/python"), not the 3.$(minor "$PYTHON") of PYTHON=$PYTHON:" \
			"remove $folder and run this again."
	fi
fi

if ! fits "$folder/bin/python"; then
	python=${PYTHON:-$(find_python)}
	if [ -z "$python" ]; then
		download_python || fail "expnet needs $wanted: none is on the PATH, and uv could not download one. Install one" \
			"(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.13), or set PYTHON=/path/to/python3."
	elif command -v uv >/dev/null; then
		uv venv --quiet --seed --clear --python "$python" "$folder"
	else
		"$python" -m venv --clear "$folder" ||
			fail "$python makes no environments: install its module venv (Debian, Ubuntu: apt install python3-venv), or uv."
	fi
fi

[ -x "$folder/bin/uv" ] ||
	"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

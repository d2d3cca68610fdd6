# What ./run and ./test share (sourced, in the project's folder): a virtual environment in .venv with this project in it.
# shellcheck shell=bash
set -euo pipefail

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

# need WHY PACKAGE...: install Debian packages, or say what a person has to do. Quiet, unless it fails.
need() {
  local why=$1 said
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "$why" "Install it first, on Debian with: sudo apt-get install $*"
  fi
  echo "$why Installing $* ..."
  said=$(
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get --quiet --quiet -o DPkg::Lock::Timeout=300)
    { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "$@"; } 2>&1
  ) || fail "$said"
}

# The first Python on the PATH that is new enough; $PYTHON names another.
find_python() {
  local name
  for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  fail "This needs Python 3.11 or newer, and found none on the PATH (PYTHON=/path/to/python3 names another)."
}

# install [EXTRA]: make .venv hold this project, with an extra of pyproject.toml. Does nothing when nothing has changed.
install() {
  local stamp=.venv/installed${1:+-$1} wanted python
  wanted=$(sha256sum pyproject.toml)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null || need "Python cannot make virtual environments here." python3-venv
  echo "Installing into $PWD/.venv ..."
  .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${1:+[$1]}"
  echo "$wanted" >"$stamp"
}

# install_for_tests: this project with what its tests need, and the programs of a Postgres server.
install_for_tests() {
  install test
  if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    need "The tests start a Postgres server of their own, and there is none on this machine." postgresql
  fi
}

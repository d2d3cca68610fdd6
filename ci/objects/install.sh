#!/usr/bin/env bash
# Install the second object storage service that the tests run on, on Debian as root. Running it again costs nothing.
cd "$(dirname "$0")/../.." || exit
. scripts/environment.sh
packages=(memcached swift-account swift-container swift-object swift-proxy)  # OpenStack Swift, with an S3 interface of its own
dpkg --status "${packages[@]}" >/dev/null 2>&1 || need "The tests need an object storage service that is not here." "${packages[@]}"

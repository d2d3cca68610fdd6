#!/usr/bin/env bash
# Install what the fault tests make their faults with, on Debian as root. Running it again costs nothing.
cd "$(dirname "$0")/../.." || exit
. scripts/environment.sh
packages=(e2fsprogs mount strace xfsprogs)  # disks that can be copied in an instant, failing system calls
dpkg --status "${packages[@]}" >/dev/null 2>&1 || need "The fault tests need tools that are not here." "${packages[@]}"

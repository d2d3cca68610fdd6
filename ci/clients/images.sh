#!/usr/bin/env bash
# Build the real images that tests/clients pushes, without any other registry: from Debian's packages and the files below.
# Result, below REGISTRY_TEST_TOOLS: images/oci (an OCI layout with every image), images/{debian,five,busybox-amd64}.tar (for
# `docker load`), images/big.sha256. What exists is not built again; remove the folder to build anew.
. "$(dirname "$0")/lib.sh"
images=$tools/images
[ -d "$images" ] && { echo "images in $images (already there)"; exit; }

work=$tools/build
store=(--root "$work/store" --runroot "$work/run" --storage-driver overlay)
in_store="containers-storage:[overlay@$work/store+$work/run]localhost"
clean() {
  buildah "${store[@]}" rmi -a -f >/dev/null 2>&1 || true
  umount "$work/store/overlay" 2>/dev/null || true
  rm -rf "$work"
}
clean
trap clean EXIT
mkdir -p "$work/done"

build() { buildah "${store[@]}" bud -q --isolation chroot --format oci "$@" >/dev/null; }

# 1. busybox, for amd64 and, from Debian's own package of that architecture, for arm64
busybox() { # ARCHITECTURE PROGRAM
  local root=$work/busybox-$1
  mkdir -p "$root"/{bin,etc,tmp,root}
  cp "$2" "$root/bin/busybox"
  for applet in sh ls cat echo sleep id mkdir rm touch sha256sum find wc; do ln -sf busybox "$root/bin/$applet"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  printf 'FROM scratch\nCOPY . /\nENV PATH=/bin\nCMD ["/bin/sh"]\n' >"$work/busybox.containerfile"
  build --platform "linux/$1" -t "localhost/busybox:$1" -f "$work/busybox.containerfile" "$root"
}
unpack_debian "$(. /etc/os-release && echo "$VERSION_CODENAME")" arm64 "$work/arm64" busybox-static
busybox amd64 /bin/busybox
busybox arm64 "$(find "$work/arm64" -type f -name busybox -path '*bin*' | head -n 1)"

# 2. Debian: 120 MB of real files with hard links, setuid bits and odd owners
debootstrap --variant=minbase bookworm "$work/debian/root" "$(debian_mirror)" >"$work/debootstrap.log" ||
  { tail -n 20 "$work/debootstrap.log" >&2; exit 1; }
find "$work/debian/root/var/lib/apt/lists" "$work/debian/root/var/cache/apt" -type f -delete
tar -C "$work/debian/root" --numeric-owner --exclude='./dev/*' -cf "$work/debian/root.tar" .
rm -rf "$work/debian/root"
printf 'FROM scratch\nADD root.tar /\nCMD ["bash"]\n' >"$work/debian/Containerfile"
build -t localhost/debian:10 "$work/debian"

# 3. five layers: busybox, 120 MB of random bytes, 4,000 small files, whiteouts (one of a whole folder), an application
mkdir -p "$work/five/small" "$work/five/application"
head -c 120000000 /dev/urandom >"$work/five/big.bin"
for number in $(seq 4000); do
  folder=$work/five/small/$((number % 40))
  [ "$number" -gt 40 ] || mkdir "$folder"
  printf '%*d' $((number % 3000 + 1)) "$number" >"$folder/$number"
done
echo 'echo hello from five' >"$work/five/application/run.sh"
cat >"$work/five/Containerfile" <<'CONTAINERFILE'
FROM localhost/busybox:amd64
COPY big.bin /data/big.bin
COPY small /data/small
RUN rm -rf /data/small/0 /data/small/1/41 && mkdir /data/small/0 && touch /data/small/0/new
COPY application /application
ENV APPLICATION=five
LABEL org.opencontainers.image.title=five
EXPOSE 8080/tcp
VOLUME /var/data
USER 1000:1000
WORKDIR /application
ENTRYPOINT ["/bin/sh", "/application/run.sh"]
CONTAINERFILE
build --layers -t localhost/five:1 "$work/five"
sha256sum <"$work/five/big.bin" | cut -d ' ' -f 1 >"$work/done/big.sha256"

# 4. one index over both busyboxes
buildah "${store[@]}" manifest create localhost/busybox:multi localhost/busybox:amd64 localhost/busybox:arm64 >/dev/null

# 5. all of it into one OCI layout, and into archives for a daemon
copy() { skopeo "${@:3}" copy -q "$1" "$2"; }
copy "$in_store/busybox:amd64" "oci:$work/done/oci:busybox-amd64"
copy "$in_store/busybox:arm64" "oci:$work/done/oci:busybox-arm64" --override-arch arm64
copy "$in_store/debian:10" "oci:$work/done/oci:debian"
copy "$in_store/five:1" "oci:$work/done/oci:five"
buildah "${store[@]}" manifest push -q --all localhost/busybox:multi "oci:$work/done/oci:busybox-multi" >/dev/null
copy "oci:$work/done/oci:busybox-amd64" "docker-archive:$work/done/busybox-amd64.tar:busybox:1"
copy "oci:$work/done/oci:debian" "docker-archive:$work/done/debian.tar:debian:10"
copy "oci:$work/done/oci:five" "docker-archive:$work/done/five.tar:five:1"
mv "$work/done" "$images" # whole or not at all
echo "images in $images"

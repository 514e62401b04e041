#!/usr/bin/env bash
# Builds and tests this working tree in a chroot of Debian 13, warnings as errors. Needs root.
#     tests/trixie.sh CHROOT [GOAL...]     goals of make; default: all check
# CHROOT is made by debootstrap, from the mirror that apt uses here, unless it is there already.
set -eu
cd "$(dirname "$0")/.." || exit 1
root=$1
shift
[ $# -gt 0 ] || set -- all check
suite=trixie

fail() {
    echo "trixie: $1" >&2
    exit 1
}
[ "$(id -u)" -eq 0 ] || fail "a chroot needs root"
if [ ! -e "$root/.complete" ]; then
    command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    # shellcheck disable=SC2016 # apt-get's variables
    mirror=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian //p' | head -n 1)
    mkdir -p "$root"
    debootstrap --variant=buildd --include=ca-certificates "$suite" "$root" \
        "${mirror:-http://deb.debian.org/debian}"
    touch "$root/.complete"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"

# The built objects of an earlier run stay: tar keeps the times of the sources.
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -C "$root/src"
# Mounts live in a namespace of their own and end with it. The packages come first: what make finds
# out about libraries it asks before it runs anything.
# shellcheck disable=SC2016 # variables of the inner shell
exec unshare --mount --pid --fork sh -c '
    root=$0
    mount -t proc proc "$root/proc" && mount -t tmpfs tmpfs "$root/dev/shm" &&
        mount -t sysfs sysfs "$root/sys" || exit
    inside() {
        chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin make -C /src "$@"
    }
    inside setup && inside -j"$(nproc)" CI=1 "$@"' "$root" "$@"

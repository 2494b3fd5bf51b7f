#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause-Patent
# Brings in what a build needs from the distribution.  As root where apt-get exists: installs what is missing.
# Elsewhere: names it.  Says nothing when nothing is missing.  With --tests: what only the tests need, instead; with --fuzz: what "make fuzz" needs.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

purpose=${1-}

newest_python() {
    ls /usr/bin/python3.1[1-9] 2>/dev/null | sort -V | tail -n 1
}

compiles() {  # compiles HEADER [FLAG...]: whether a C program can include the header
    header=$1
    shift
    printf '#include <%s>\nint main(void) { return 0; }\n' "$header" | gcc "$@" -x c -fsyntax-only - 2>/dev/null
}

test_packages() {  # prints what the tests miss; guests are x86_64 machines, and so must the host be
    ! command -v gcc >/dev/null || compiles rdma/fabric.h || echo libfabric-dev
    [ -x /usr/bin/strace ] || echo strace
    [ -x /usr/bin/valgrind ] || echo valgrind
    [ -x /usr/bin/cppcheck ] || echo cppcheck
    [ "$(uname -m)" = x86_64 ] || return 0
    ! command -v gcc >/dev/null || compiles nvm_management.h || echo libipmctl-dev
    [ -x /usr/bin/qemu-system-x86_64 ] || echo qemu-system-x86
    [ -x /sbin/depmod ] || echo kmod
    [ -x /usr/sbin/nvme ] || echo nvme-cli
    [ -x /usr/bin/ndctl ] || echo ndctl
    [ -x /usr/bin/daxctl ] || echo daxctl
    [ -x /sbin/lvm ] || echo lvm2
    [ -x /lib/systemd/systemd ] || echo systemd
}

missing_packages() {  # prints the Debian names of what is missing
    if [ "$purpose" = --tests ]; then
        test_packages
        return
    fi
    if [ "$purpose" = --fuzz ]; then
        [ -x /usr/bin/afl-clang-fast ] || echo afl++ clang
        return
    fi
    python=$(newest_python)
    if [ -z "$python" ]; then
        # Ubuntu 22.04's own python3 is 3.10; 3.11 stands beside it in "universe".
        if [ -x /usr/bin/apt-cache ] && ! apt-cache show python3.11 >/dev/null 2>&1; then
            set -- python3 python3-dev python3-venv
        else
            set -- python3.11 python3.11-dev python3.11-venv
        fi
        echo "$@"
        version=
    else
        version=$(basename "$python")
        "$python" -c 'import ensurepip' 2>/dev/null || echo "$version-venv"
    fi
    command -v gcc >/dev/null || echo gcc libc6-dev
    command -v pkg-config >/dev/null || echo pkg-config
    if command -v gcc >/dev/null; then
        [ -z "$version" ] || compiles Python.h "-I/usr/include/$version" || echo "$version-dev"
        compiles stdlib.h || echo libc6-dev
        compiles sys/capability.h || echo libcap-dev
        compiles blkid/blkid.h || echo libblkid-dev
    else
        [ -z "$version" ] || echo "$version-dev"
        echo libcap-dev libblkid-dev
    fi
    [ -x /usr/sbin/mke2fs ] || [ -x /sbin/mke2fs ] || echo e2fsprogs
    [ -x /usr/sbin/losetup ] || [ -x /sbin/losetup ] || echo mount
    [ -x /usr/bin/lsblk ] || echo util-linux
    [ -x /usr/sbin/useradd ] || echo passwd
}

missing=$(missing_packages | tr '\n' ' ')
[ -n "${missing% }" ] || exit 0
if [ ! -x /usr/bin/apt-get ]; then
    echo "deps: missing, by their Debian names: $missing" >&2
    echo "deps: install the same with this distribution's package manager (Fedora: gcc python3-devel libcap-devel libblkid-devel), then repeat." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing packages; as root: apt-get install $missing" >&2
    exit 1
fi
# What is there already stays at its version.  A -dev package can still pull its interpreter up to the archive's version,
# which is no small thing on a machine in use: so what will change is printed before it changes, and nothing is ever removed.
apt() {
    # shellcheck disable=SC2086  # a list of words on purpose
    apt-get --quiet --quiet --yes --no-install-recommends --no-upgrade --no-remove "$@" install $missing </dev/null
}
plan=$(apt --simulate 2>/dev/null) || {
    apt-get --quiet --quiet update </dev/null
    plan=$(apt --simulate)
}
echo "deps: apt-get install $missing"
printf '%s\n' "$plan" | sed -n -e 's/^Inst \([^ ]*\) \[\([^]]*\)\] (\([^ ]*\).*/deps: upgrades \1 from \2 to \3/p' \
    -e 's/^Inst \([^ ]*\) (\([^ ]*\).*/deps: installs \1 \2/p'
apt >/dev/null || {
    # The lists are older than the archive: the files that they name are gone.
    apt-get --quiet --quiet update </dev/null
    apt >/dev/null
}
missing=$(missing_packages | tr '\n' ' ')
if [ -n "${missing% }" ]; then
    echo "deps: still missing after apt-get: $missing" >&2
    exit 1
fi

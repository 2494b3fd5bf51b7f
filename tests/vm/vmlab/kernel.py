# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Debian's kernel for the guest: downloaded from the distribution, unpacked into a cache, never installed."""

from __future__ import annotations

import fcntl
import lzma
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vmlab.errors import UnavailableError

PACKAGE = "linux-image-amd64"
"""The full kernel: the one for clouds has no 9p, which the guest's root comes over."""
XZ_MAGIC = b"\xfd7zXZ\0"
ELF_MAGIC = b"\x7fELF"
SETUP_END = 0x4000
"""The compressed kernel begins beyond the boot sector and set-up code."""


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel.

    :param release: as ``uname -r`` says it.
    :param image: what QEMU boots.
    :param modules: folder of its modules, named by the release.
    """

    release: str
    image: Path
    modules: Path


def obtain(cache: Path) -> Kernel:
    """Return the kernel of the cache; download and unpack it there first if need be.

    :raises UnavailableError: if this distribution has none, or it cannot be downloaded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tree = cache / "kernel"
        if not tree.exists():
            part = cache / "kernel.part"
            shutil.rmtree(part, ignore_errors=True)
            unpack(download(package_name(), cache), part)
            part.rename(tree)
    return described(tree)


def command(*words: str, folder: Path) -> str:
    """Run a program of the distribution's package tools and return what it prints.

    :raises UnavailableError: if it is missing or fails.
    """
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UnavailableError(f"{words[0]} is missing: the guest's kernel comes from a Debian archive") from None
    if done.returncode != 0:
        raise UnavailableError(f"the guest's kernel cannot be made: {' '.join(words)}: {done.stderr.strip()[-400:] or done.returncode}")
    return done.stdout


def package_name() -> str:
    """Return the name of the package that the newest kernel of the archive is in."""
    for line in command("/usr/bin/apt-cache", "depends", PACKAGE, folder=Path("/")).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    raise UnavailableError(f"the archive of this distribution has no {PACKAGE}, whose kernel the guest boots")


def download(package: str, folder: Path) -> Path:
    """Download a package into a folder; what an earlier attempt left there is removed first."""
    for old in folder.glob("*.deb"):
        old.unlink()
    command("/usr/bin/apt-get", "--quiet", "--quiet", "--option", "APT::Sandbox::User=root", "download", package, folder=folder)
    for path in folder.glob("*.deb"):
        return path
    raise UnavailableError(f"apt-get downloaded no {package}")


def unpack(package: Path, tree: Path) -> None:
    """Unpack a kernel's package into a folder, and add what installing it would have made."""
    command("/usr/bin/dpkg-deb", "--extract", str(package), str(tree), folder=package.parent)
    package.unlink()
    kernel = described(tree)
    command("/sbin/depmod", "--basedir", str(tree), kernel.release, folder=tree)
    compressed = next((tree / "boot").glob("vmlinuz-*"))
    (tree / "vmlinux").write_bytes(uncompressed(compressed.read_bytes()))


def uncompressed(image: bytes) -> bytes:
    """Return the ELF file inside a bootable kernel: unpacking it in the guest would take seconds at every boot.

    A kernel that is not compressed with xz is returned as it is; it boots all the same.
    """
    start = image.find(XZ_MAGIC, SETUP_END)
    if start < 0:
        return image
    kernel = lzma.LZMADecompressor().decompress(image[start:])
    return kernel if kernel.startswith(ELF_MAGIC) else image


def described(tree: Path) -> Kernel:
    """Return the kernel that was unpacked into a folder."""
    for modules in (tree / "lib" / "modules").glob("*"):
        return Kernel(modules.name, tree / "vmlinux", modules)
    raise UnavailableError(f"{tree} has no kernel modules")

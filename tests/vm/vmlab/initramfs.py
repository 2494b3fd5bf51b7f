# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The guest's first file system: one static program and the modules that it needs to reach the real root."""

from __future__ import annotations

import lzma
import re
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vmlab.errors import UnavailableError
from vmlab.kernel import Kernel

INIT_SOURCE = Path(__file__).parent / "init.c"
BASE_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")
"""What root over 9p, and the channel to the host, need."""
FOLDERS = ("dev", "proc", "sys", "lower", "over", "root", "modules")
MODULE_NAME = re.compile(r"\.ko(\.xz)?$")


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return a cpio archive in the form that the kernel unpacks ("newc").

    :param files: mode (with the file type) and content by path without a leading slash; folders before what is in them.
    """
    parts = []
    for inode, (name, (mode, content)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], start=1):
        encoded = name.encode() + b"\0"
        links, device = 1, 0
        fields = (inode, mode, 0, 0, links, 0, len(content), device, device, device, device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        parts += [padded(header + encoded), padded(content)]
    return b"".join(parts)


def padded(content: bytes) -> bytes:
    """Return the bytes filled up to a multiple of four."""
    return content + bytes(-len(content) % 4)


def plain(name: str) -> str:
    """Return the name of a module as the kernel says it."""
    return MODULE_NAME.sub("", Path(name).name).replace("-", "_")


def load_order(dependencies: str, builtin: str, wanted: Iterable[str]) -> list[str]:
    """Return the files of the modules, each after all that it depends on.

    :param dependencies: text of ``modules.dep``.
    :param builtin: text of ``modules.builtin``; a wanted module in it needs no file.
    :raises UnavailableError: if this kernel has no such module.
    """
    needs = {}
    files = {}
    for line in dependencies.splitlines():
        file, _, rest = line.partition(":")
        files[plain(file)] = file
        needs[file] = rest.split()
    inside = {plain(line) for line in builtin.splitlines()}
    order: dict[str, None] = {}
    for name in map(plain, wanted):
        if name in inside:
            continue
        if name not in files:
            raise UnavailableError(f"the guest's kernel has no module {name}")
        # modules.dep lists all that a module needs, directly or not, the last to be loaded first.
        for file in [*reversed(needs[files[name]]), files[name]]:
            order.setdefault(file)
    return list(order)


def compile_init(target: Path) -> None:
    """Compile the first program of the guest.

    :raises UnavailableError: if this machine has no compiler, or no static C library.
    """
    words = ["/usr/bin/gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", str(target), str(INIT_SOURCE)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise UnavailableError("gcc is missing: the guest's first program cannot be compiled") from None
    if done.returncode != 0:
        raise UnavailableError(f"the guest's first program cannot be compiled: {done.stderr.strip()[-400:]}")


def write(kernel: Kernel, modules: Sequence[str], folder: Path) -> Path:
    """Write the initial file system for a kernel and return its path.

    :param modules: loaded at boot, after those that the guest cannot do without.
    :param folder: where it goes.
    """
    init = folder / "init"
    compile_init(init)
    dependencies = (kernel.modules / "modules.dep").read_text()
    order = load_order(dependencies, (kernel.modules / "modules.builtin").read_text(), (*BASE_MODULES, *modules))
    files = dict.fromkeys(FOLDERS, (stat.S_IFDIR | 0o755, b""))
    files["init"] = (stat.S_IFREG | 0o755, init.read_bytes())
    for number, file in enumerate(order):
        content = (kernel.modules / file).read_bytes()
        # Numbered, so that the program need not be told the order in another way.
        files[f"modules/{number:03d}"] = (stat.S_IFREG | 0o644, lzma.decompress(content) if file.endswith(".xz") else content)
    target = folder / "initramfs"
    target.write_bytes(archive(files))
    return target

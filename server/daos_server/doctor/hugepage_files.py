# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Files in hugepages: a crash leaves them behind, and the memory stays taken."""

from __future__ import annotations

from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

from daos_bindings.linux import hugepages, kernelfiles, mounts
from daos_server.doctor import reading
from daos_server.doctor.finding import AS_ROOT, Finding
from daos_server.plan.units import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_bindings.linux.hugepages import HugepageFile
    from daos_server.doctor.finding import Verdict
    from daos_server.doctor.machine import Machine, Setting


def check(machine: Machine, setting: Setting) -> Iterator[Finding]:
    """Yield, for each mount of hugetlbfs, the files of each SPDK process, dead or alive; and whether engines have such a mount."""
    table = mounts.parse(kernelfiles.read(f"{machine.proc}/self/mountinfo"))
    places = sorted({mount.mount_point for mount in hugepages.hugetlbfs_mounts(table)})
    yield Finding.of(
        "hugetlbfs",
        "mounted on " + ", ".join(map(kernelfiles.printable, places)) if places else "not mounted",
        right=hugepages.DIRECTORY in places,
        why=f"engines take hugepages through files in {hugepages.DIRECTORY}",
        advice=f"mount it (systemd: systemctl start dev-hugepages.mount):\n  mkdir -p {hugepages.DIRECTORY}"
        f" && mount -t hugetlbfs hugetlbfs {hugepages.DIRECTORY}",
        bad=_gravity(setting),
    )
    for place in places:
        yield from folder(machine, place)


def _gravity(setting: Setting) -> Verdict:
    """Files and kernel devices in the place of SSDs need hugepages as well."""
    if setting.wanted is None:
        return "warning"
    return "stops" if setting.wanted.has_bdevs else "ok"


def folder(machine: Machine, path: str) -> Iterator[Finding]:
    """Yield what SPDK processes left in one folder of hugepage files."""
    subject = f"files in {kernelfiles.printable(path)}"
    try:
        files = hugepages.stale_files(path)
    except PermissionError:
        yield Finding(subject=subject, found="may not be listed by this user", verdict="unknown", advice=AS_ROOT)
        return
    if not files:
        yield Finding(subject=subject, found="none of SPDK", verdict="ok")
    for pid, group in groupby(sorted(files, key=lambda file: file.pid), key=lambda file: file.pid):
        yield _of_process(machine, path, pid, list(group))


def _of_process(machine: Machine, path: str, pid: int, files: list[HugepageFile]) -> Finding:
    subject = f"{kernelfiles.printable(path)}/{hugepages.PREFIX}{pid}{hugepages.SUFFIX}*"
    what = f"{len(files)} files" if len(files) > 1 else "1 file"
    found = f"{what}, {bytes_text(sum(file.size for file in files))}; "
    if files[0].alive:
        return Finding(subject=subject, found=f"{found}{reading.program(machine.proc, pid)} lives", verdict="ok")
    return Finding(
        subject=subject,
        found=f"{found}process {pid} is gone",
        verdict="warning",
        why="these hugepages stay taken, and engines find fewer free ones, until the files are removed",
        advice=f"  rm -f {quote(path)}/{hugepages.PREFIX}{pid}{hugepages.SUFFIX}*",
    )

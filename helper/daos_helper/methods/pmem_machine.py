# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The persistent memory of this machine, for the methods about it: libipmctl and ndctl are asked, each in a worker.

libipmctl's own worker makes our types of what it says.  What ndctl prints goes into a file in memory that the monitor never
reads: a worker that has nothing but it takes it apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from daos_bindings.ipmctl import recordings
from daos_bindings.linux import block, mounts
from daos_bindings.linux.kernelfiles import text
from daos_bindings.ndctl import commands
from daos_bindings.ndctl.listing import LIMIT, Listing, decode
from daos_helper.context import Context
from daos_helper.methods import pmem_record as records
from daos_helper.privileges import IPMCTL_READ, NDCTL_LIST, READ_LISTING
from daos_helper.steps import Built, Exit, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import Result
from daos_pbin.pmem import Namespace
from daos_pbin.pmem_messages import Goals, Modules, Regions
from daos_pbin.pmem_plan import Found

SUBJECT: Final = "persistent memory"
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
NAMESPACES: Final = "/sys/bus/nd/devices"
ENDS: Final = (codes.HELPER_CANCELLED, codes.HELPER_DEADLINE_EXCEEDED, codes.HELPER_WORKER_STUCK)
"""Faults of a request as a whole: after these nothing else is tried."""


class Nothing(Result, frozen=True, forbid_unknown_fields=True):
    """What a step returns that has nothing to return."""


class Memory(Struct, frozen=True, forbid_unknown_fields=True):
    """What libipmctl says."""

    modules: Modules
    regions: Regions
    goals: Goals


def find(context: Context) -> Work[Found]:
    """Ask everybody who knows something about persistent memory; ndctl only where there are modules.

    :raises Fault: 2160 to 2163 and 2 (libipmctl), 1, 2163 and 2164 (ndctl), 2169 (a damaged record).
    """
    with records.opened(context) as record:
        remembered = record.read()
    memory = yield from _memory()
    listing = (yield from _listing()) if memory.modules else Listing()
    mounted = tuple(one.blockdev for one in listing.namespaces if mount_points(one))
    return Found(
        memory.modules, memory.regions, memory.goals, listing.regions, listing.namespaces, text(BOOT_ID), mounted, remembered
    )


def find_again(found: Found) -> Work[Found]:
    """Look again at what steps may have changed."""
    memory = yield from _memory()
    listing = yield from _listing()
    return replace(
        found,
        modules=memory.modules,
        regions=memory.regions,
        goals=memory.goals,
        kernel_regions=listing.regions,
        namespaces=listing.namespaces,
    )


def before_ipmctl() -> None:
    """Make sure, before each step with libipmctl, of what the step itself may only look at.

    :raises Fault: 2105 if others could make it believe what they recorded.
    """
    recordings.check(recordings.FOLDER)


def _memory() -> Work[Memory]:
    before_ipmctl()

    def run(io: WorkerIO) -> Built:
        from daos_bindings.ipmctl import memory  # opens libipmctl: in the worker, after the drop

        questions: dict[str, Callable[[], object]] = {"modules": memory.modules, "regions": memory.regions, "goals": memory.goals}
        answers: Built = {}
        for name, ask in questions.items():
            io.progress(len(answers), len(questions), "questions", f"answered by libipmctl, now about {name}")
            answers[name] = to_builtins(ask())
        return answers

    return (yield from perform(Step(IPMCTL_READ, SUBJECT, run=run), Memory))


def _listing() -> Work[Listing]:
    commands.require()
    with _memory_file() as file:
        ended = yield from perform(Step(NDCTL_LIST, SUBJECT, keep=(file,), program=commands.LIST, into=file), Exit)
        commands.check(commands.LIST, "all regions", ended.status, ended.output)

        def run(_io: WorkerIO) -> Built:
            return dict(to_builtins(decode(os.pread(file, LIMIT + 1, 0))))

        return (yield from perform(Step(READ_LISTING, SUBJECT, keep=(file,), run=run), Listing))


@contextmanager
def _memory_file() -> Iterator[int]:
    file = os.memfd_create("listing", os.MFD_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def mount_points(namespace: Namespace) -> tuple[str, ...]:
    """Return where a namespace's block device itself is mounted, as far as this mount namespace shows."""
    identity = block.by_name(namespace.blockdev) if namespace.blockdev else None
    if identity is None:
        return ()
    return tuple(one.mount_point for one in mounts.read() if (one.major, one.minor) == (identity.major, identity.minor))


def is_there(name: str) -> bool:
    """Tell whether a namespace holds any of its region; the kernel keeps an empty place for the next one."""
    try:
        return text(f"{NAMESPACES}/{name}/size") != "0"
    except FileNotFoundError:
        return False


def resources(*, destroys: bool) -> tuple[str, ...]:
    """Return the locks of persistent memory, and, of a request that destroys, those of its disks and where they are mounted."""
    if not destroys:
        return ("pmem",)
    disks = [one for one in block.list_devices() if block.driver_kind(one.disk) == "pmem"]
    numbers = {(one.major, one.minor) for one in disks}
    targets = (f"target:{one.mount_point}" for one in mounts.read() if (one.major, one.minor) in numbers)
    return ("pmem", *dict.fromkeys(f"disk:{one.disk}" for one in disks), *dict.fromkeys(targets))


def remains(namespace: str) -> Fault:
    """Return the fault that ndctl deleted nothing: 2174."""
    return Fault(codes.SCM_NAMESPACE_REMAINS, object=namespace, namespace=namespace)


def only(namespaces: Sequence[Namespace], names: Sequence[str]) -> tuple[Namespace, ...]:
    """Return the namespaces of those names, in their order."""
    return tuple(one for one in namespaces if one.dev in names)

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Hugepages: given per NUMA node, counted back, and taken back (storage facts A.8, F).

What was there before the first prepare is remembered under /run, so that a reset takes back exactly what we added, also
after a crash between the two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, encode

from daos_bindings.linux import hugepages, memory, mounts
from daos_helper.accounts import listed_uid
from daos_helper.context import Context
from daos_helper.paths import open_directory
from daos_helper.privileges import CLEAN_HUGEPAGES, OWN_HUGETLBFS, SET_HUGEPAGES
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.envelope import clean
from daos_pbin.faults import Fault
from daos_pbin.messages import MAX_NUMA_NODES, BdevPrepare, BdevPrepareResult, NodeGrant

RECORD: Final = "hugepages"
FILES_LIMIT: Final = 1024
"""Files removed by one request; the next goes on."""
RESERVE_KIB: Final = 1 << 20
RESERVE_PART: Final = 20
"""Memory that hugepages never take: 1 GiB, or a twentieth of it all, whichever is more."""
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Addition(Struct, frozen=True, forbid_unknown_fields=True):
    """What one node had before the first prepare, and what we have added since."""

    before: Count
    added: Count


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What a reset must undo.

    :param nodes: by NUMA node.
    :param owner: uid and gid of the hugetlbfs root before we changed it; None if we did not.
    """

    nodes: dict[int, Addition]
    owner: tuple[int, int] | None = None


class Counts(Struct, frozen=True, forbid_unknown_fields=True):
    """Page counts read back, in the order of the nodes asked for."""

    granted: Annotated[tuple[Count, ...], Meta(max_length=MAX_NUMA_NODES)]


class Removed(Struct, frozen=True, forbid_unknown_fields=True):
    """Names of the files that were removed."""

    names: Annotated[tuple[Annotated[str, Meta(max_length=4096)], ...], Meta(max_length=FILES_LIMIT)]


class Owned(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the owner was changed."""

    changed: bool


def prepare(request: BdevPrepare, context: Context) -> Work[BdevPrepareResult]:
    """Do one of the three things that the request can ask for."""
    if request.clean_hugepages_only:
        removed = yield from _clean()
        return BdevPrepareResult(removed=removed, changed=bool(removed))
    if request.reset:
        return (yield from _reset(context))
    return (yield from _grow(request, context))


def target_uid(name: str, context: Context) -> tuple[int, int]:
    """Return uid and gid of the target user.

    :raises Fault: 2005 for one that is neither the account nor in the policy.
    """
    if not name:
        return context.account.uid, context.account.gid
    uid = context.policy.target_users.get(name)
    if uid is None:
        raise context.file.refuse(f"{name} is not a target user", context.file.user_line(context.policy, name, listed_uid(name)), name)
    return uid, context.account.gid


def _grow(request: BdevPrepare, context: Context) -> Work[BdevPrepareResult]:
    owner = target_uid(request.target_user, context)
    wanted = {pages.node: pages.count for pages in request.hugepages}
    size = hugepages.default_size_kib()
    before = _counts(tuple(wanted), size)
    short = {node: count for node, count in wanted.items() if before[node] < count}
    _check_memory(sum(count - before[node] for node, count in short.items()) * size)
    found = (yield from _add(short, before, size, context)) if short else {}
    owned = yield from _own(owner, context)
    grants = tuple(NodeGrant(node, before[node], count, found.get(node, before[node])) for node, count in wanted.items())
    return BdevPrepareResult(grants, hugetlbfs_owner=_owner(), changed=bool(short) or owned)


def _add(wanted: dict[int, int], before: dict[int, int], size: int, context: Context) -> Work[dict[int, int]]:
    """Raise the counts of some nodes; if that does not work as asked, for whatever reason, put them back.

    :raises Fault: 2200 for a short grant, and what the step raised.
    """
    record = _read_record(context)
    _write_record(context, with_additions(record, before, wanted))
    try:
        granted = dict(zip(wanted, (yield from _set(tuple(wanted.items()), size)), strict=True))
        for node, count in wanted.items():
            if granted[node] < count:
                raise Fault(
                    codes.HUGEPAGES_SHORT_GRANT,
                    object=f"NUMA node {node}",
                    cause="memory is used or fragmented; the count of before was restored",
                    node=node,
                    wanted=count,
                    granted=granted[node],
                    size_kib=size,
                )
    except OSError:  # a file of the kernel's could not be opened, so nothing was written to any
        _write_record(context, record)
        raise
    except Fault:
        yield from _set(tuple((node, before[node]) for node in wanted), size)
        _write_record(context, record)
        raise
    return granted


def _reset(context: Context) -> Work[BdevPrepareResult]:
    record = _read_record(context)
    size = hugepages.default_size_kib()
    # A node that is offline has no pages to give back.
    nodes = {node: addition for node, addition in record.nodes.items() if node in hugepages.nodes()}
    current = _counts(tuple(nodes), size)
    goal = {node: max(addition.before, current[node] - addition.added) for node, addition in nodes.items()}
    lower = {node: count for node, count in goal.items() if count < current[node]}
    granted = (yield from _set(tuple(lower.items()), size)) if lower else ()
    found = dict(zip(lower, granted, strict=True))
    restored = record.owner is not None and (yield from _chown(record.owner))
    left = {node: Addition(nodes[node].before, found[node] - count) for node, count in lower.items() if found[node] > count}
    _write_record(context, Record(left))
    for node in left:
        raise Fault(codes.HUGEPAGES_IN_USE, object=f"NUMA node {node}", node=node, wanted=lower[node], granted=found[node])
    grants = tuple(NodeGrant(node, current[node], count, found.get(node, current[node])) for node, count in goal.items())
    return BdevPrepareResult(grants, hugetlbfs_owner=_owner(), changed=bool(lower) or restored)


def _counts(nodes: tuple[int, ...], size: int) -> dict[int, int]:
    online = hugepages.nodes()
    for node in nodes:
        if node not in online:
            raise Fault(codes.HUGEPAGES_NODE_MISSING, object=f"NUMA node {node}", node=node)
        if not os.path.exists(hugepages.nr_path(node, size)):
            reason = f"NUMA node {node} has no hugepages of {size} KiB"
            raise Fault(codes.HUGEPAGES_UNSUPPORTED, object=f"NUMA node {node}", reason=reason)
    return {node: hugepages.read_node(node, size).total for node in nodes}


def _check_memory(kib: int) -> None:
    """Leave the machine what it needs to live: hugepages are memory that nothing else can use, or get back.

    :raises Fault: 2204.
    """
    found = memory.read()
    available = found.mem_available_kb - max(RESERVE_KIB, found.mem_total_kb // RESERVE_PART)
    if kib > available:
        raise Fault(codes.HUGEPAGES_OVER_MEMORY, wanted=f"{kib // 1024} MiB", available=f"{max(0, available) // 1024} MiB")


def _set(counts: tuple[tuple[int, int], ...], size: int) -> Work[tuple[int, ...]]:
    """Write the counts and read them back, through descriptors that are opened here, before the drop."""
    with _open_counts(tuple(node for node, _ in counts), size) as descriptors:

        def run(io: WorkerIO) -> Built:
            granted = []
            for done, (descriptor, (node, count)) in enumerate(zip(descriptors, counts, strict=True)):
                io.progress(done, len(counts), "nodes", f"{count} hugepages on NUMA node {node}")
                os.pwrite(descriptor, str(count).encode(), 0)
                granted.append(int(os.pread(descriptor, 32, 0)))
            return {"granted": granted}

        subject = "hugepages of NUMA node " + ", ".join(str(node) for node, _ in counts)
        return (yield from perform(Step(SET_HUGEPAGES, subject, keep=descriptors, run=run), Counts)).granted


@contextmanager
def _open_counts(nodes: tuple[int, ...], size: int) -> Iterator[tuple[int, ...]]:
    descriptors: list[int] = []
    try:
        for node in nodes:
            descriptors.append(os.open(hugepages.nr_path(node, size), os.O_RDWR | os.O_CLOEXEC))
        yield tuple(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _read_record(context: Context) -> Record:
    text = context.run.read(RECORD)
    if text is None:
        return Record({})
    try:
        return Decoder(Record).decode(text)
    except DecodeError as error:
        path = f"{context.run.path}/{RECORD}"
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=f"not a record of ours: {error}") from error


def _write_record(context: Context, record: Record) -> None:
    if record.nodes or record.owner is not None:
        context.run.write(RECORD, encode(record))
    else:
        context.run.remove(RECORD)


def with_additions(record: Record, before: dict[int, int], wanted: dict[int, int]) -> Record:
    """Return the record with what is about to be added, cut to what can be ours: an earlier request may have been cut short."""
    nodes = dict(record.nodes)
    for node, count in wanted.items():
        old = nodes.get(node, Addition(before[node], 0))
        ours = min(old.added, max(0, before[node] - old.before))
        nodes[node] = Addition(min(old.before, before[node]), ours + count - before[node])
    return Record(nodes, record.owner)


@contextmanager
def _hugetlbfs() -> Iterator[int | None]:
    """Open the root of the hugetlbfs that engines use, or give None if none is mounted there."""
    mount = mounts.at(mounts.read(), hugepages.DIRECTORY)
    if mount is None or mount.fs_type != "hugetlbfs":
        yield None
        return
    path = open_directory(hugepages.DIRECTORY)
    try:
        descriptor = os.open(f"/proc/self/fd/{path}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _own(owner: tuple[int, int], context: Context) -> Work[bool]:
    with _hugetlbfs() as descriptor:
        if descriptor is None:
            context.log(f"no hugetlbfs is mounted on {hugepages.DIRECTORY}: engines will need one")
            return False
        found = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) == owner:
        return False
    record = _read_record(context)
    if record.owner is None:
        _write_record(context, Record(record.nodes, (found.st_uid, found.st_gid)))
    return (yield from _chown(owner))


def _chown(owner: tuple[int, int]) -> Work[bool]:
    with _hugetlbfs() as descriptor:
        if descriptor is None:
            return False
        root: int = descriptor

        def run(_io: WorkerIO) -> Built:
            os.fchown(root, *owner)
            return {"changed": True}

        return (yield from perform(Step(OWN_HUGETLBFS, hugepages.DIRECTORY, keep=(root,), run=run), Owned)).changed


def _owner() -> str:
    """Return the owner of the hugetlbfs root as a number; names are for the server to look up."""
    with _hugetlbfs() as descriptor:
        return "" if descriptor is None else str(os.fstat(descriptor).st_uid)


def _clean() -> Work[tuple[str, ...]]:
    with _hugetlbfs() as descriptor:
        if descriptor is None:
            return ()
        root: int = descriptor

        def run(_io: WorkerIO) -> Built:
            names = [file.name for file in hugepages.stale_files(f"/proc/self/fd/{root}") if not file.alive][:FILES_LIMIT]
            for name in names:
                os.unlink(name, dir_fd=root)
            return {"names": [clean(name) for name in names]}

        return (yield from perform(Step(CLEAN_HUGEPAGES, hugepages.DIRECTORY, keep=(root,), run=run), Removed)).names

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

from msgspec import Meta, Struct, ValidationError
from msgspec.json import Decoder, encode

from daos_bindings.linux import hugepages, memory, mounts
from daos_helper.context import Context
from daos_helper.paths import open_directory
from daos_helper.privileges import CLEAN_HUGEPAGES, OWN_HUGETLBFS, SET_HUGEPAGES
from daos_helper.steps import Built, Step, Work, WorkerIO, perform
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import MAX_NUMA_NODES, BdevPrepare, BdevPrepareResult, NodeGrant

RECORD: Final = "hugepages"
FILES_LIMIT: Final = 4096
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

    names: Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=FILES_LIMIT)]


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


def target_uid(request: BdevPrepare, context: Context) -> tuple[int, int]:
    """Return uid and gid of the target user.

    :raises Fault: 2005 for one that is neither the account nor in the policy.
    """
    if not request.target_user:
        return context.account.uid, context.account.gid
    uid = context.policy.target_users.get(request.target_user)
    if uid is None:
        line = f'target_users = {{ "{request.target_user}" = UID }}, with the number that "id -u" prints'
        raise context.file.refuse(f"{request.target_user} is not a target user", line, request.target_user)
    return uid, context.account.gid


def _grow(request: BdevPrepare, context: Context) -> Work[BdevPrepareResult]:
    owner = target_uid(request, context)
    wanted = {pages.node: pages.count for pages in request.hugepages}
    size = hugepages.default_size_kib()
    before = _counts(tuple(wanted), size)
    short = {node: count for node, count in wanted.items() if before[node] < count}
    _check_memory(sum(count - before[node] for node, count in short.items()) * size)
    record = _read_record(context)
    _write_record(context, _with_additions(record, before, short))
    granted = (yield from _set(tuple(short.items()), size)) if short else ()
    found = dict(zip(short, granted, strict=True))
    lacking = next((node for node in short if found[node] < short[node]), None)
    if lacking is not None:
        yield from _set(tuple((node, before[node]) for node in short), size)
        _write_record(context, record)
        raise Fault(
            codes.HUGEPAGES_SHORT_GRANT,
            object=f"NUMA node {lacking}",
            cause="memory is used or fragmented; the count of before was restored",
            node=lacking,
            wanted=short[lacking],
            granted=found[lacking],
            size_kib=size,
        )
    owned = yield from _own(owner, context)
    grants = tuple(NodeGrant(node, before[node], count, found.get(node, before[node])) for node, count in wanted.items())
    return BdevPrepareResult(grants, hugetlbfs_owner=_owner_name(), changed=bool(short) or owned)


def _reset(context: Context) -> Work[BdevPrepareResult]:
    record = _read_record(context)
    size = hugepages.default_size_kib()
    current = _counts(tuple(record.nodes), size)
    goal = {node: max(addition.before, current[node] - addition.added) for node, addition in record.nodes.items()}
    lower = {node: count for node, count in goal.items() if count < current[node]}
    granted = (yield from _set(tuple(lower.items()), size)) if lower else ()
    found = dict(zip(lower, granted, strict=True))
    restored = record.owner is not None and (yield from _chown(record.owner))
    for node, count in lower.items():
        if found[node] > count:
            raise Fault(codes.HUGEPAGES_IN_USE, object=f"NUMA node {node}", node=node, wanted=count, granted=found[node])
    context.run.remove(RECORD)
    grants = tuple(NodeGrant(node, current[node], count, found.get(node, current[node])) for node, count in goal.items())
    return BdevPrepareResult(grants, hugetlbfs_owner=_owner_name(), changed=bool(lower) or restored)


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
    available = memory.read().mem_available_kb
    if kib > available:
        raise Fault(codes.HUGEPAGES_OVER_MEMORY, wanted=f"{kib // 1024} MiB", available=f"{available // 1024} MiB")


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
    except ValidationError as error:
        path = f"{context.run.path}/{RECORD}"
        raise Fault(codes.STORAGE_FILE_UNUSABLE, object=path, path=path, reason=f"not a record of ours: {error}") from error


def _write_record(context: Context, record: Record) -> None:
    if record.nodes or record.owner is not None:
        context.run.write(RECORD, encode(record))
    else:
        context.run.remove(RECORD)


def _with_additions(record: Record, before: dict[int, int], wanted: dict[int, int]) -> Record:
    nodes = dict(record.nodes)
    for node, count in wanted.items():
        old = nodes.get(node, Addition(before[node], 0))
        nodes[node] = Addition(old.before, old.added + count - before[node])
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
    if found.st_uid == owner[0]:
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


def _owner_name() -> str:
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
            return {"names": names}

        return (yield from perform(Step(CLEAN_HUGEPAGES, hugepages.DIRECTORY, keep=(root,), run=run), Removed)).names

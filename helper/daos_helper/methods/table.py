# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The dispatch table.  A method without an authorisation cannot be in it, because the column has no default.

What is about NVMe controllers is in a table of its own, ``nvme_table``, and what is about persistent memory in ``pmem_table``;
each is loaded with the first such request.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final, TypeVar, cast

from msgspec import Struct

from daos_bindings.linux import block
from daos_helper.context import Context
from daos_helper.methods import bdev, metadata, scm, shown
from daos_helper.paths import components
from daos_helper.steps import Work
from daos_pbin.messages import (
    BdevPrepare,
    HelperPolicy,
    MetadataFormat,
    MetadataMount,
    MetadataNeedsFormat,
    MetadataUnmount,
    Request,
    Result,
    ScmCheckFormat,
    ScmFormat,
    ScmMount,
    ScmUnmount,
)
from daos_pbin.methods import NVME_METHODS, PMEM_METHODS

RequestT = TypeVar("RequestT", bound=Request[Result])


class Method(Struct, frozen=True):
    """A row of the table.

    :param authorise: raises a fault for what the policy does not allow; runs before anything is looked at.
    :param resources: names of what the request works on, locked while it runs.
    :param changes: whether it can change anything; such a method needs a working audit trail.
    :param subject: what it works on, for the audit line.
    :param work: does it.
    """

    request: type[Request[Result]]
    authorise: Callable[[Request[Result], Context], object]
    resources: Callable[[Request[Result]], tuple[str, ...]]
    changes: bool
    subject: Callable[[Request[Result]], str]
    work: Callable[[Request[Result], Context], Work[Result]]


def method(
    request: type[RequestT],
    *,
    authorise: Callable[[RequestT, Context], object],
    resources: Callable[[RequestT], tuple[str, ...]],
    changes: bool,
    subject: Callable[[RequestT], str],
    work: Callable[[RequestT, Context], Work[Result]],
) -> Method:
    """Make a row whose functions all take that request: the one place where their common type is forgotten."""
    return Method(
        request,
        cast("Callable[[Request[Result], Context], object]", authorise),
        cast("Callable[[Request[Result]], tuple[str, ...]]", resources),
        changes,
        cast("Callable[[Request[Result]], str]", subject),
        cast("Callable[[Request[Result], Context], Work[Result]]", work),
    )


def _authorise_scm(request: ScmCheckFormat | ScmFormat, context: Context) -> None:
    scm.validate(request.mountpoint, request.ramdisk, request.dcpm)
    context.file.check_target(context.policy, request.mountpoint)


def _authorise_mount(request: ScmMount, context: Context) -> None:
    scm.validate(request.target, request.ramdisk, request.dcpm)
    context.file.check_target(context.policy, request.target)


def _authorise_metadata(request: MetadataNeedsFormat | MetadataFormat | MetadataMount | MetadataUnmount, context: Context) -> None:
    context.file.check_target(context.policy, request.root_path)


def _resources(target: str, device: str) -> tuple[str, ...]:
    """Return the locks of a mount point and of a device: one for a whole disk and its partitions, whatever the path."""
    disk = _disk(device) if device else ""
    return (f"disk:{disk}", f"target:{target}") if disk else (f"target:{target}",)


def _disk(device: str) -> str:
    """Return the kernel's name of the whole disk; empty for what is none, of which the method itself says what is wrong."""
    if components(device)[0] != "dev":
        return ""
    try:
        found = os.lstat(device)
    except OSError:
        return ""
    if not stat.S_ISBLK(found.st_mode):
        return ""
    identity = block.by_number(os.major(found.st_rdev), os.minor(found.st_rdev))
    return identity.disk if identity else ""


def _scm_resources(request: ScmCheckFormat | ScmFormat) -> tuple[str, ...]:
    return _resources(request.mountpoint, request.dcpm.device if request.dcpm else "")


def _metadata_resources(request: MetadataNeedsFormat | MetadataFormat | MetadataMount | MetadataUnmount) -> tuple[str, ...]:
    return _resources(request.root_path, request.device)


def _metadata_subject(request: MetadataNeedsFormat | MetadataFormat | MetadataMount | MetadataUnmount) -> str:
    return f"{request.device} on {request.root_path}" if request.device else request.root_path


def _scm_subject(request: ScmCheckFormat | ScmFormat) -> str:
    return f"{request.dcpm.device} on {request.mountpoint}" if request.dcpm else request.mountpoint


TABLE: Final[dict[str, Method]] = {
    row.request.__name__: row
    for row in (
        method(
            ScmCheckFormat,
            authorise=_authorise_scm,
            resources=_scm_resources,
            changes=False,
            subject=_scm_subject,
            work=scm.check_format,
        ),
        method(
            ScmFormat,
            authorise=_authorise_scm,
            resources=_scm_resources,
            changes=True,
            subject=_scm_subject,
            work=scm.format_scm,
        ),
        method(
            ScmMount,
            authorise=_authorise_mount,
            resources=lambda request: _resources(request.target, request.dcpm.device if request.dcpm else ""),
            changes=True,
            subject=lambda request: f"{request.dcpm.device} on {request.target}" if request.dcpm else request.target,
            work=scm.mount_scm,
        ),
        method(
            ScmUnmount,
            authorise=lambda request, context: context.file.check_target(context.policy, request.target),
            resources=lambda request: _resources(request.target, ""),
            changes=True,
            subject=lambda request: request.target,
            work=scm.unmount_scm,
        ),
        method(
            MetadataNeedsFormat,
            authorise=_authorise_metadata,
            resources=_metadata_resources,
            changes=False,
            subject=_metadata_subject,
            work=metadata.needs_format,
        ),
        method(
            MetadataFormat,
            authorise=_authorise_metadata,
            resources=_metadata_resources,
            changes=True,
            subject=_metadata_subject,
            work=metadata.format_metadata,
        ),
        method(
            MetadataMount,
            authorise=_authorise_metadata,
            resources=_metadata_resources,
            changes=True,
            subject=_metadata_subject,
            work=metadata.mount_metadata,
        ),
        method(
            MetadataUnmount,
            authorise=_authorise_metadata,
            resources=_metadata_resources,
            changes=True,
            subject=_metadata_subject,
            work=metadata.unmount_metadata,
        ),
        method(
            BdevPrepare,
            authorise=lambda request, context: bdev.target_uid(request.target_user, context),
            resources=lambda _request: ("hugepages",),
            changes=True,
            subject=lambda _request: "hugepages",
            work=bdev.prepare,
        ),
        method(
            HelperPolicy,
            authorise=lambda _request, _context: None,
            resources=lambda _request: (),
            changes=False,
            subject=lambda _request: "policy",
            work=shown.policy,
        ),
    )
}
"""All methods with a payload that are not in ``NVME_METHODS`` or ``PMEM_METHODS``, by name."""


def find(name: str) -> Method | None:
    """Return a method's row, or None if there is no such method."""
    if name in NVME_METHODS:
        from daos_helper.methods import nvme_table

        return nvme_table.TABLE[name]
    if name in PMEM_METHODS:
        from daos_helper.methods import pmem_table

        return pmem_table.TABLE[name]
    return TABLE.get(name)

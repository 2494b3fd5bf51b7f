# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The socket behind which systemd starts the helper, where root has enabled it: then nothing needs to be setuid."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from daos_server.doctor import ownership, units
from daos_server.doctor.accounts import account
from daos_server.doctor.finding import Finding
from daos_server.doctor.machine import Machine
from daos_server.identity import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.installation import Installation

UNIT = "daos_server_helper@.service"
SOCKET_UNIT = "daos_server_helper.socket"
OTHERS = 0o007
OFF = ("no", "false", "0", "off", "n", "f")
HARMLESS = {"ProtectProc": ("default",), "ProcSubset": ("all",), "MountFlags": ("shared",), "RootDirectory": ("/",)}
"""What such a directive is set to without a mount namespace, besides off."""
OWN_MOUNTS = (
    *("PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "PrivateNetwork", "PrivateUsers", "PrivatePIDs"),
    *("ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups"),
    *("ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths"),
    *("TemporaryFileSystem", "RootImage", "MountImages", "ExtensionImages", "ExtensionDirectories", "LogNamespace", "DynamicUser"),
    *HARMLESS,
)
"""Directives that give a service a mount namespace, some only in later releases of systemd (systemd.exec(5))."""


def is_there(installation: Installation) -> bool:
    """Tell whether the server would go to the socket first."""
    return os.path.exists(installation.helper_socket)


def findings(installation: Installation, machine: Machine | None = None) -> Iterator[Finding]:
    """Yield what is known of the socket and of the unit behind it; absent is as well."""
    path = installation.helper_socket
    subject = f"socket {path}"
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        yield Finding(subject=subject, found="absent: the server starts the helper itself", verdict="ok")
        return
    except OSError as error:
        yield ownership.unseen(subject, error)
        return
    yield _access(subject, info, installation)
    yield _unit_mounts(machine or Machine())


def _access(subject: str, info: os.stat_result, installation: Installation) -> Finding:
    server = account(installation.account)
    right = stat.S_ISSOCK(info.st_mode) and info.st_uid == 0 and not info.st_mode & OTHERS
    right = right and info.st_gid in (0, None if server is None else server.pw_gid)
    kind = "a socket" if stat.S_ISSOCK(info.st_mode) else "no socket"
    return Finding.of(
        subject,
        f"{kind} of {user_name(info.st_uid)} and gid {info.st_gid}, mode {ownership.mode_text(info)}",
        right=right,
        why="whoever may connect costs root a process each time, before the helper turns it away",
        advice=f"in {SOCKET_UNIT}: SocketUser=root, SocketGroup={installation.account}, SocketMode=0660; then:\n"
        f"  systemctl daemon-reload && systemctl restart {SOCKET_UNIT}",
    )


def is_harmless(key: str, value: str) -> bool:
    """Tell whether a directive of ``OWN_MOUNTS`` makes no mount namespace with that value."""
    return value.lower() in (*OFF, *HARMLESS.get(key, ()))


def _unit_mounts(machine: Machine) -> Finding:
    subject = f"mounts of {UNIT}"
    try:
        found = {key: units.service_directive(machine, key, UNIT) for key in OWN_MOUNTS}
    except OSError as error:
        return Finding.unseen(subject, error)
    hiding = [f"{key}={at.value} ({at.place})" for key, at in found.items() if at and not is_harmless(key, at.value)]
    return Finding.of(
        subject,
        f"of its own, by {', '.join(hiding)}" if hiding else "the host's",
        right=not hiding,
        why="what the helper mounts there would be seen by nobody else, so it refuses to (fault 2181)",
        advice="take these lines out, then:\n  systemctl daemon-reload",
    )

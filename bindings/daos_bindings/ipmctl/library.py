# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The library, opened and found fit: its version is checked before it is asked anything else."""

from __future__ import annotations

import os
import re
import stat

from daos_bindings._ipmctl import ffi
from daos_bindings.ipmctl.raw import check, load, malformed, text
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAJORS = (2, 3)
BAD_VERSIONS = ("02.00.00.3809", "02.00.00.3814", "02.00.00.3816")
VERSION_SIZE = 25

RECORDINGS = "/tmp/pbr"  # noqa: S108 - the library's own choice, which is why it is checked


def opened() -> Any:  # noqa: ANN401 - the raw layer speaks C
    """Return the library, ready to be asked.

    :raises Fault: 2160 if it is missing, 2 if DAOS does not work with its version, 2105 if others could feed it recordings.
    """
    found = load()
    check_version(found)
    if os.geteuid() == 0:
        check_recordings(RECORDINGS)
    return found


def check_version(found: Any) -> str:  # noqa: ANN401 - the raw layer speaks C
    """Return the library's version, such as ``03.00.00.0468``.

    :raises Fault: 2 if DAOS does not work with it, 2163 if it is none.
    """
    buffer = ffi.new("NVM_VERSION")
    check("nvm_get_version", found.nvm_get_version(buffer, VERSION_SIZE))
    told = text(buffer, "its version")
    version = told.partition("-")[0]  # distributions add their own number
    if not re.fullmatch(r"\d{2}\.\d{2}\.\d{2}\.\d{4}", version, re.ASCII):
        raise malformed(f"its version is '{told}'")
    if found.nvm_get_major_version() not in MAJORS or int(version[:2]) not in MAJORS or version in BAD_VERSIONS:
        raise Fault(codes.BAD_VERSION_SOFTWARE_DEPENDENCY, object="libipmctl", version=version)
    return version


def check_recordings(folder: str) -> None:
    """See to it that nobody but root can put recordings where the library looks for them.

    It can record its talk with the modules and play that back, and looks for such a session in a folder with a fixed name
    under /tmp that anybody may make first: root would then parse their files, and believe them.  Made by us before, in a folder with the
    sticky bit, it stays ours.

    :raises Fault: 2105 if the folder, or the one above it, is not root's alone, or a recording is in it.
    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise _unsafe(folder, f"it cannot be made: {os.strerror(error.errno or 0)}") from error
    found, above = os.lstat(folder), os.lstat(os.path.dirname(folder))
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unsafe(folder, "it must be a folder that belongs to root and that only root can write to")
    if above.st_uid != 0 or (above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX):
        raise _unsafe(folder, "the folder above it must belong to root and have the sticky bit")
    if os.listdir(folder):
        raise _unsafe(folder, "a recording of ipmctl is in it; remove it")


def _unsafe(folder: str, reason: str) -> Fault:
    return Fault(codes.STORAGE_PATH_UNSAFE, object=folder, path=folder, reason=reason)

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The library, opened and found fit: its version is checked before it is asked anything else."""

from __future__ import annotations

import os
import re

from daos_bindings._ipmctl import ffi
from daos_bindings.ipmctl import recordings
from daos_bindings.ipmctl.raw import check, load, malformed, text
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAJORS = (2, 3)
BAD_VERSIONS = ("02.00.00.3809", "02.00.00.3814", "02.00.00.3816")
VERSION_SIZE = 25


def opened() -> Any:  # noqa: ANN401 - the raw layer speaks C
    """Return the library, ready to be asked.

    :raises Fault: 2160 if it is missing, 2 if DAOS does not work with its version, 2105 if others could feed it recordings.
    """
    found = load()
    check_version(found)
    if os.geteuid() == 0:
        recordings.check(recordings.FOLDER)
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

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Opening libipmctl, calling it, and reading its texts."""

from __future__ import annotations

import os
from functools import cache

from daos_bindings._ipmctl import ffi
from daos_bindings.linux.kernelfiles import printable
from daos_pbin import codes
from daos_pbin.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDERS = ("/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib")
"""Where distributions put it: root's own, and never what an environment says."""
NAMES = tuple(f"{folder}/libipmctl.so.{number}" for number in (5, 4) for folder in FOLDERS)

SUCCESS = frozenset({0, 1})
"""NVM_SUCCESS, and NVM_SUCCESS_FW_RESET_REQUIRED."""
INVALID_PERMISSIONS = 268
NO_MODULES = 322

# NvmSharedDefs.h: those that an administrator can do something about.
WORDS = {
    2: "the operation was not started",
    3: "the operation failed",
    5: "a parameter is invalid",
    9: "this kind of module cannot do that",
    11: "no such module",
    17: "no manageable module was found",
    18: "no module is usable: all are unmanageable, broken, or in slots that do not fit together",
    19: "the module is excluded: unmanageable, broken, or in a slot that does not fit",
    36: "no goal may be created now",
    37: "the security state of the module does not allow it",
    62: "the image is not valid",
    64: "the image is not valid",
    66: "the version of the image is not valid",
    67: "the image is older than what the module has",
    68: "the module has this firmware already",
    69: "the firmware could not be staged",
    92: "the configuration data of a module is invalid",
    112: "the platform does not support managing these modules",
    114: "the platform does not support persistent memory",
    132: "the file could not be used, or the module refused what is in it",
    175: "not enough space",
    261: "an address range scrub is running: wait until it ends",
    267: "an error that the library has no name for",
    270: "the module is busy",
    272: "out of memory",
    273: "the number of modules changed in between",
    274: "a module did not answer in time",
    303: "no such file",
    305: "another firmware update is running",
    308: "the image is not signed for this module",
    321: "this libipmctl is too old for the firmware of the machine",
}


def load() -> Any:  # noqa: ANN401 - the raw layer speaks C
    """Open the library; look at nothing yet.

    :raises Fault: 2160 if none can be opened, with the linker's reasons.
    """
    reasons = []
    for name in filter(os.path.exists, NAMES):
        try:
            return _opened(name)
        except OSError as error:
            reasons.append(str(error))
    reason = "; ".join(dict.fromkeys(reasons)) or f"there is none of {', '.join(dict.fromkeys(NAMES))}"
    raise Fault(codes.SCM_LIBRARY_MISSING, object="libipmctl", reason=printable(reason))


@cache
def _opened(name: str) -> Any:  # noqa: ANN401 - the raw layer speaks C
    """Open it once and keep it: closed with its last reference, it would be gone from under a call."""
    return ffi.dlopen(name)


def check(call: str, result: int) -> None:
    """Check what a call returned.

    :raises Fault: 2162 if the library wants root, 2161 for any other failure.
    """
    if result in SUCCESS:
        return
    if result == INVALID_PERMISSIONS:
        raise Fault(codes.SCM_LIBRARY_NOT_ALLOWED, object="libipmctl", call=call)
    raise Fault(codes.SCM_LIBRARY_FAILED, object="libipmctl", call=call, rc=result, reason=WORDS.get(result, "see NvmSharedDefs.h"))


def malformed(reason: str) -> Fault:
    """Make the fault of an answer that cannot be true."""
    return Fault(codes.SCM_DATA_MALFORMED, object="libipmctl", program="libipmctl", reason=reason)


def text(field: Any, what: str) -> str:  # noqa: ANN401 - the raw layer speaks C
    """Return the text in a ``char`` array of fixed size, without blanks around it.

    :raises Fault: 2163 if it has no end within the array, or is not printable ASCII.
    """
    data = bytes(ffi.buffer(field))
    found, end, _ = data.partition(b"\0")
    if not end:
        raise malformed(f"{what} has no end: {printable(data)}")
    if not all(0x20 <= byte < 0x7F for byte in found):
        raise malformed(f"{what} is no text: {printable(found)}")
    return found.decode("ascii").strip()

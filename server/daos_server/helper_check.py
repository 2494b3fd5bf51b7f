# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether the privileged helper can do its work on this host, point by point; a helper that works is not needed for it.

Anybody may ask.  What the caller may not see is unknown, which is neither right nor wrong.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_bindings.linux import kernel
from daos_server.doctor import helper_confinement, helper_socket
from daos_server.doctor.accounts import accounts, owner_files
from daos_server.doctor.finding import Finding
from daos_server.doctor.helper_interpreter import interpreter, start_files
from daos_server.doctor.helper_program import answers, launcher, policy
from daos_server.doctor.process import kernel_version, limits, mount_propagation, this_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daos_server.installation import Installation


def findings(installation: Installation) -> tuple[Finding, ...]:
    """Look at everything that the helper rests on, in the order in which an administrator would."""
    return (*accounts(installation), *program(installation), kernel_version(kernel.release()), *surroundings(installation))


def program(installation: Installation) -> Iterator[Finding]:
    """Yield what is installed of the helper, and whether it answers."""
    if _absent(installation.helper) and _absent(installation.helper_lib):
        yield Finding(
            subject="helper",
            found=f"not installed: there is no {installation.helper} and no {installation.helper_lib}",
            verdict="stops",
            why="the few steps that need root are its work: without it no storage can be prepared, formatted or mounted",
            advice="install the package daos-server, or from the source:\n  make install",
        )
        return
    launching = tuple(launcher(installation))
    yield from launching
    yield from helper_socket.findings(installation)
    yield from owner_files(installation)
    yield from start_files(installation)
    yield from interpreter(f"{installation.helper_lib}/start.py", f"{installation.prefix}/bin/daos_server")
    yield policy(installation.policy_file)
    yield from helper_confinement.findings()
    yield from answers(installation, launching)


def _absent(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def surroundings(installation: Installation) -> Iterator[Finding]:
    """Yield what a helper that is started from here inherits; systemd's own inherits nothing of it."""
    if helper_socket.is_there(installation):
        found = f"nothing: systemd starts the helper, behind {installation.helper_socket}"
        yield Finding(subject="what the helper inherits", found=found, verdict="ok")
        return
    yield from this_process()
    yield from limits()
    yield from mount_propagation()

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where everything goes: the five folders that can be chosen, and the paths below them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from daos_install.errors import InstallError

SERVER_ACCOUNT = "daos_server"
WORKER_ACCOUNT = "daos_helper"
SOURCE = Path(__file__).resolve().parents[2]
"""Root of the source tree that is installed."""

PLAIN = re.compile(r"/[A-Za-z0-9._+/-]+")


def checked(option: str, value: str) -> str:
    """Return a folder given by the administrator, if it can be written into C, Python and a ``#!`` line as it is.

    :raises InstallError: if not.
    """
    if not PLAIN.fullmatch(value) or os.path.normpath(value) != value or value.startswith("//"):
        raise InstallError(
            f"{option}={value}: give an absolute path without '..', '//' or a trailing '/', of letters, digits and ._+- only"
        )
    return value


@dataclass(frozen=True)
class Layout:
    """The paths as the installed programs see them; ``staged`` gives where they are written, under DESTDIR.

    :param destdir: folder of a package build, in front of every path; empty when installing on this machine.
    :param account: name of the server's account.
    :param worker_account: name of the account of the helper's workers.
    """

    prefix: str = "/opt/daos"
    sysconfdir: str = "/etc/daos"
    localstatedir: str = "/var"
    rundir: str = "/run/daos_server_helper"
    destdir: str = ""
    account: str = SERVER_ACCOUNT
    worker_account: str = WORKER_ACCOUNT

    def __post_init__(self) -> None:
        for option in ("prefix", "sysconfdir", "localstatedir", "rundir"):
            checked(option.upper(), getattr(self, option))
        if self.destdir:
            checked("DESTDIR", self.destdir)

    def staged(self, path: str) -> Path:
        """Return where a path of the installed system is written now."""
        return Path(self.destdir + path)

    @property
    def bin(self) -> str:
        return f"{self.prefix}/bin"

    @property
    def server(self) -> str:
        return f"{self.bin}/daos_server"

    @property
    def helper(self) -> str:
        return f"{self.bin}/daos_server_helper"

    @property
    def socket(self) -> str:
        """Where systemd listens for the helper, once root has enabled that."""
        return f"{self.rundir}.sock"

    @property
    def units(self) -> str:
        """Folder of systemd's units; one that systemd looks into by itself if the prefix is /usr or /usr/local."""
        return f"{self.prefix}/lib/systemd/system"

    @property
    def helper_dir(self) -> str:
        return f"{self.prefix}/libexec/daos/helper"

    @property
    def start_file(self) -> str:
        return f"{self.helper_dir}/start.py"

    @property
    def account_file(self) -> str:
        return f"{self.helper_dir}/account"

    @property
    def worker_file(self) -> str:
        return f"{self.helper_dir}/worker"

    @property
    def helper_lib(self) -> str:
        return f"{self.helper_dir}/lib"

    @property
    def server_lib(self) -> str:
        return f"{self.prefix}/lib/daos/server"

    @property
    def share(self) -> str:
        return f"{self.prefix}/share/daos"

    @property
    def examples(self) -> str:
        return f"{self.share}/examples"

    @property
    def manifest(self) -> str:
        return f"{self.prefix}/libexec/daos/manifest.json"

    @property
    def state_dir(self) -> str:
        return f"{self.localstatedir}/lib/daos_server"

    @property
    def helper_state(self) -> str:
        """Folder of what the helper must know after a reboot; root's own."""
        return f"{self.localstatedir}/lib/daos_server_helper"

    @property
    def log_dir(self) -> str:
        return f"{self.localstatedir}/log/daos"

    @property
    def audit_log(self) -> str:
        return f"{self.log_dir}/helper.log"

    @property
    def audit_read_log(self) -> str:
        return f"{self.log_dir}/helper-read.log"

    @property
    def modules_load(self) -> str:
        """Folder of what systemd reads to load kernel modules at boot; the system's own if SYSCONFDIR is /etc/daos or /etc."""
        return f"{self.sysconfdir.removesuffix('/daos')}/modules-load.d"

    @property
    def policy_file(self) -> str:
        return f"{self.sysconfdir}/helper.toml"

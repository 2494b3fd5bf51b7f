# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where everything is: made by the installer, carried by the installed program, never read from the environment."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "/opt/daos"
SYSCONFDIR = "/etc/daos"
LOCALSTATEDIR = "/var"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The absolute paths and names of one installation; the defaults are those of a packaged system.

    :param helper: the setuid launcher of the privileged helper.
    :param helper_socket: where systemd starts the helper for whoever connects, if root has enabled that.
    :param helper_lib: folder with the files that the launcher and the monitor rely on (``start.py``, ``account``, ``worker``, ``lib``).
    :param config_file: the server's configuration when none is given.
    :param policy_file: root's own policy for the helper; it need not exist.
    :param state_dir: folder of the server's own records, owned by the account, mode 0700.
    :param run_dir: the helper's folder of locks, owned by root.
    :param audit_log: where the helper audits when the system has no log.
    :param account: the one account that the server runs as and that may start the helper.
    :param worker_account: the account of the helper's workers that need no root.
    :param examples: folder of example configurations.
    """

    prefix: str = PREFIX
    helper: str = f"{PREFIX}/bin/daos_server_helper"
    helper_socket: str = "/run/daos_server_helper.sock"
    helper_lib: str = f"{PREFIX}/libexec/daos/helper"
    config_file: str = f"{SYSCONFDIR}/daos_server.yml"
    policy_file: str = f"{SYSCONFDIR}/helper.toml"
    state_dir: str = f"{LOCALSTATEDIR}/lib/daos_server"
    run_dir: str = "/run/daos_server_helper"
    audit_log: str = f"{LOCALSTATEDIR}/log/daos/helper.log"
    account: str = "daos_server"
    worker_account: str = "daos_helper"
    examples: str = f"{PREFIX}/share/daos/examples"

    @classmethod
    def under(cls, prefix: str, *, sysconfdir: str = SYSCONFDIR, localstatedir: str = LOCALSTATEDIR) -> Installation:
        """Return the installation of a prefix and of the two folders outside it."""
        return cls(
            prefix=prefix,
            helper=f"{prefix}/bin/daos_server_helper",
            helper_lib=f"{prefix}/libexec/daos/helper",
            config_file=f"{sysconfdir}/daos_server.yml",
            policy_file=f"{sysconfdir}/helper.toml",
            state_dir=f"{localstatedir}/lib/daos_server",
            audit_log=f"{localstatedir}/log/daos/helper.log",
            examples=f"{prefix}/share/daos/examples",
        )

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The options of ``support collect-log`` as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from daos_server.support.period import Period

ADMIN, CONTROL, SERVER = "admin", "control", "server"
LOG_TYPES = (ADMIN, CONTROL, SERVER)
"""The helper's log, that of the control plane, those of the engines."""


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """What to collect, and where to.

    :param folder: absolute path of the folder to make; empty stands for one in the folder of temporary files.
    :param archive: make a compressed archive of it and remove the folder.
    :param extra: absolute path of one more folder whose files are collected; empty means none.
    :param period: of the log lines.
    :param log_types: which logs; only these and nothing else if any is named.
    :param ignore_config: take nothing from the configuration, so that there are no logs to find.
    """

    stop_on_error: bool = False
    folder: str = ""
    archive: bool = False
    extra: str = ""
    period: Period = field(default_factory=Period)
    log_types: tuple[str, ...] = ()
    ignore_config: bool = False

    @property
    def only_logs(self) -> bool:
        """Whether anything but logs is left out."""
        return bool(self.log_types)

    def wants(self, log_type: str) -> bool:
        """Return whether logs of this type are collected."""
        return not self.log_types or log_type in self.log_types

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``start``: everything up to the engines, which this version does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.output import emit, escape, note

if TYPE_CHECKING:
    from logging import Logger

    from daos_server.cli.options import Invocation
    from daos_server.config.load import LoadedConfig
    from daos_server.start.options import StartOptions
    from daos_server.start.preflight import Ready

NOT_YET = "start engines or the management service"
MEANWHILE = "prepare the storage with 'daos_server storage prepare' and format it with 'daos_server storage format'"
NOT_FORMATTED = f"{MEANWHILE}; --auto-format did nothing"
IGNORE_CONFIG_UNUSED = "NOTICE: --ignore-config has no effect here: nothing can be started without a configuration"


def start(invocation: Invocation, options: StartOptions) -> None:
    """Check all that a start needs, print what is derived, and end with the fault that says what is not done.

    A stop signal is the ordinary end of a service, and no failure.

    :raises Fault: for what is wrong with configuration or host, all of it if it is several things; otherwise 2361.
    """
    from daos_server.cli.storage import interrupt_on_stop

    interrupt_on_stop()
    try:
        _start(invocation, options)
    except KeyboardInterrupt:
        note("NOTICE: stopped before anything was started")


def _start(invocation: Invocation, options: StartOptions) -> None:
    from os.path import dirname

    from daos_server.cli.logs import start_log
    from daos_server.cli.storage import become_account, config_path
    from daos_server.start import overrides, preflight

    path = config_path(invocation)
    become_account(invocation)
    start_log(invocation)
    if options.ignore_config:
        note(IGNORE_CONFIG_UNUSED)
    loaded = overrides.load(path, options)
    log = _log(invocation, loaded)
    for notice in loaded.notices:
        log.warning("%s", notice)

    def say(text: str) -> None:
        emit(escape(text))
        log.info("%s", text)

    ready = preflight.check(loaded, say, folder=dirname(invocation.installation.config_file))
    for notice in ready.derived.notices:
        log.warning("%s", notice)
    for line in ready.derived.arithmetic:
        say(f"  {line}")
    _refuse(ready, options)


def _log(invocation: Invocation, loaded: LoadedConfig) -> Logger:
    import logging

    from daos_server.cli.logs import LOG, log_to_file

    config = loaded.config
    if config.control_log_file:
        log_to_file(config.control_log_file, config.control_log_mask, as_json=config.control_log_json or invocation.json_logging)
    else:
        emit("control_log_file is not set: the log is here only")
    return logging.getLogger(LOG)


def _refuse(ready: Ready, options: StartOptions) -> None:
    """End with what is wrong, or with what this version does not do."""
    from daos_server.cli.output import error_lines

    faults = ready.faults
    if len(faults) > 1:
        note("\n".join(line for fault in faults for line in error_lines(fault)))
        raise Fault(
            codes.SERVER_START_IMPOSSIBLE,
            path=ready.loaded.path,
            reason=f"{len(faults)} things are in the way, listed above",
            remedy="remove them, each as it says",
        )
    if faults:
        raise faults[0]
    raise Fault(codes.SERVER_COMMAND_NOT_BUILT, what=NOT_YET, instead=NOT_FORMATTED if options.auto_format else MEANWHILE)

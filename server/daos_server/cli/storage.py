# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The storage commands: plan, show the plan, run it, show what became of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault

if TYPE_CHECKING:
    from daos_server.cli.options import Invocation
    from daos_server.config.load import LoadedConfig
    from daos_server.storage.commands import Part


def work(invocation: Invocation, command: str, *, dry_run: bool = False, force: bool = False, only: Part = "") -> None:
    """Run one storage command to its end; the exit code is left in ``invocation``.

    :param only: the one part that ``prepare`` is about; empty for all.
    :raises Fault: if it could not even be planned.
    """
    interrupt_on_stop()
    from daos_server.cli.execute import execute
    from daos_server.cli.logs import start_log
    from daos_server.config.load import load
    from daos_server.start.alone import refuse_if_running

    path = config_path(invocation)
    become_account(invocation)
    start_log(invocation)
    if command != "scan" and not dry_run:
        refuse_if_running()
    execute(invocation, load(path), command, dry_run=dry_run, force=force, only=only)


def begin(invocation: Invocation, *, helper_log_file: str, ignore_config: bool, changes: bool) -> LoadedConfig | None:
    """Begin a command that needs no configuration: a missing file is none, a broken one always an error.

    :param helper_log_file: as the option has it; its use is told.
    :param changes: whether something will be changed, which is refused beside a service.
    :raises Fault: 2304 and others of loading the configuration, 2307 and others of becoming the account, 2360 beside a service.
    """
    from daos_server.cli.logs import start_log
    from daos_server.cli.output import note

    interrupt_on_stop()
    from daos_server.config.load import load
    from daos_server.start.alone import refuse_if_running

    path = config_path(invocation)
    become_account(invocation)
    start_log(invocation)
    if changes:
        refuse_if_running()
    if helper_log_file:
        note("NOTICE: --helper-log-file is not needed: what the helper says is in this command's log and in the system's (audit)")
    if not invocation.config and not os.path.lexists(path):
        return None
    loaded = load(path)
    return None if ignore_config else loaded


def interrupt_on_stop() -> None:
    """Make the signals that stop a service, or a closed terminal, end the command as Ctrl-C does, with a word about it."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def config_path(invocation: Invocation) -> str:
    """Return the absolute path of the configuration file: the one given, relative to where we are, or the installation's.

    :raises Fault: 2304 if a relative path is given in a working directory that is gone.
    """
    if not invocation.config:
        return invocation.installation.config_file
    try:
        return os.path.abspath(invocation.config)
    except OSError as error:
        raise Fault(codes.SERVER_CONFIG_UNREADABLE, path=invocation.config, cause=f"the working directory: {error.strerror}") from error


def become_account(invocation: Invocation) -> None:
    """Make sure that this process is the installation's account, giving root up for good if it has it.

    :raises Fault: 2307 if the system has no such account, and those of ``identity.become_account``.
    """
    from pwd import getpwnam

    from daos_server import identity

    name, socket = invocation.installation.account, invocation.installation.helper_socket
    try:
        account = getpwnam(name)
    except KeyError:
        raise Fault(codes.SERVER_PRIVILEGE_DROP_FAILED, reason=f"this system has no account {name}") from None
    identity.become_account(account.pw_uid, account.pw_gid, name, account.pw_dir, helper_socket=socket)

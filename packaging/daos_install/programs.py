# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The two small programs that the installer writes, because only it knows the paths."""

from __future__ import annotations

from daos_install.layout import Layout

START = '''#!{interpreter} -ISB
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The privileged monitor's first file: run by the setuid launcher only, with the caller's real uid.  Made by the installer."""

import os
import sys

sys.path.append({lib!r})

from daos_helper.monitor import Paths, main

status = main(
    Paths(policy={policy!r}, run={run!r}, audit={audit!r}, account={account!r}, worker={worker!r}, state={state!r}),
    int(sys.argv[1]),
)
# At once: there is nothing to flush, and taking the interpreter down in order would take milliseconds.
os._exit(status)
'''

SERVER = '''#!{interpreter} -ISB
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""daos_server.  Made by the installer."""

import sys

sys.path.append({lib!r})

from daos_server.cli import main
from daos_server.installation import Installation

main(
    Installation(
        prefix={prefix!r},
        helper={helper!r},
        helper_socket={socket!r},
        helper_lib={helper_dir!r},
        config_file={config!r},
        policy_file={policy!r},
        state_dir={state!r},
        run_dir={run!r},
        audit_log={audit!r},
        account={account!r},
        worker_account={worker!r},
        examples={examples!r},
    )
)
'''


def start_program(layout: Layout, interpreter: str) -> str:
    """Return start.py, which the launcher executes."""
    return START.format(
        interpreter=interpreter,
        lib=layout.helper_lib,
        policy=layout.policy_file,
        run=layout.rundir,
        audit=layout.audit_log,
        account=layout.account_file,
        worker=layout.worker_file,
        state=layout.helper_state,
    )


def server_program(layout: Layout, interpreter: str) -> str:
    """Return the daos_server command."""
    return SERVER.format(
        interpreter=interpreter,
        lib=layout.server_lib,
        prefix=layout.prefix,
        helper=layout.helper,
        socket=layout.socket,
        helper_dir=layout.helper_dir,
        config=f"{layout.sysconfdir}/daos_server.yml",
        policy=layout.policy_file,
        state=layout.state_dir,
        run=layout.rundir,
        audit=layout.audit_log,
        account=layout.account,
        worker=layout.worker_account,
        examples=layout.examples,
    )

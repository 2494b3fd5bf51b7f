# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``make vm-shell``: a prompt in a guest, on this terminal."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from vmlab.errors import UnavailableError
from vmlab.guest import SOURCE, prepare
from vmlab.spec import FLAVOURS

PROMPT = Path(__file__).parent / "prompt.sh"


def main() -> int:
    """Run a guest until its shell ends; 1 if this machine cannot."""
    parser = argparse.ArgumentParser(prog="make vm-shell", description="A prompt in a guest.")
    parser.add_argument("flavour", choices=FLAVOURS)
    spec = FLAVOURS[parser.parse_args().flavour]
    size = shutil.get_terminal_size()
    program = ("/bin/sh", str(PROMPT), str(SOURCE), str(size.lines), str(size.columns), os.environ.get("TERM", "dumb"))
    # The channels to an agent and to QEMU exist, but nobody is at their other ends.
    agent, qmp = socket.socketpair()
    with agent, qmp, tempfile.TemporaryDirectory(prefix="daos-lab-") as folder:
        try:
            words = prepare(spec, Path(folder), program, serial="stdio,signal=off", agent=agent.fileno(), qmp=qmp.fileno())
        except UnavailableError as error:
            print(f"vm-shell: {error}", file=sys.stderr)
            return 1
        print("vm-shell: booting; leave with exit or Ctrl-D", flush=True)
        subprocess.run(words, check=True, pass_fds=(agent.fileno(), qmp.fileno()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

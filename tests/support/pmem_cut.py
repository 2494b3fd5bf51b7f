# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One request about persistent memory to an installed helper, in a guest whose power is going to be cut in the middle of it.

    pmem_cut.py clear
    pmem_cut.py prepare|reset PER_SOCKET LINE before|after STATE HELPER...

``clear`` makes the regions empty and prints them.  Otherwise HELPER is started and asked, and what its log announces is printed.  At
number LINE of that it is stopped, and ``cut`` is printed: with ``before`` at once, so that what the line announces is not begun; with
``after``, which counts only lines about the work of a worker, once that has ended, so that it is done and the helper does not know it.
With LINE 0 the request comes to its end, which is printed.  Starts fast: in an emulated machine each import counts.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from nvdimms import clear, listing

from daos_pbin.envelope import Log
from daos_pbin.plain import PlainSession
from daos_pbin.pmem import KernelRegion, Namespace
from daos_pbin.pmem_messages import ScmPrepare, ScmPrepareResult, ScmScan, ScmScanResult

CUT: Final = "cut"
LOG: Final = "log "
WORK: Final = ("/usr/bin/ndctl ", "ask the firmware ", "take back ", "unmount ")
"""What lines begin with that a worker follows."""
ANNOUNCED: Final = (*WORK, "write down ", "make a namespace ", "destroy ")
"""What lines begin with that something follows; the others are what ndctl says."""
WORKER_S: Final = 60.0
"""Seconds to wait for a worker."""


class Ended(msgspec.Struct, frozen=True):
    """What a request came to.

    :param before: namespaces that there were.
    :param records: names of the records that the helper has then.
    """

    before: tuple[Namespace, ...]
    answer: ScmPrepareResult
    after: ScmScanResult
    records: list[str]


class Empty(msgspec.Struct, frozen=True):
    """What ``clear`` prints."""

    regions: tuple[KernelRegion, ...]


def say(text: str) -> None:
    print(text, flush=True)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    """Say whether a process has ended, also if nobody has asked for its status."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def let_finish(pid: int) -> None:
    """Stop the helper as soon as it has a worker, and let that work to its end."""
    deadline = time.monotonic() + WORKER_S
    while not (workers := children(pid)):
        if time.monotonic() > deadline:
            raise TimeoutError("no worker came")
    os.kill(pid, signal.SIGSTOP)
    while not all(has_ended(one) for one in workers):
        time.sleep(0.01)


class Cutter:
    """Counts lines of the log, and stops the helper at one of them; 0 for none."""

    def __init__(self, line: int, moment: str) -> None:
        self._left = line
        self._moment = moment
        self.pid = 0

    def take(self, told: Log) -> None:
        """Take note of a line."""
        if not self.pid:
            return
        if not told.text.startswith(WORK if self._moment == "after" else ANNOUNCED):
            return
        self._left -= 1
        if self._left == 0:
            if self._moment == "after":
                let_finish(self.pid)
            os.kill(self.pid, signal.SIGSTOP)
        say(LOG + told.text)
        if self._left == 0:
            say(CUT)
            signal.pause()


def request(*, reset: bool, per_socket: int, cutter: Cutter, state: Path, command: list[str]) -> Ended:
    """Make the request."""
    before = listing().namespaces
    with PlainSession(command, on_log=cutter.take) as helper:
        cutter.pid = helper.pid
        answer = helper.call(ScmPrepare(reset=reset, namespaces_per_socket=per_socket), deadline_s=600)
        cutter.pid = 0
        after = helper.call(ScmScan())
    return Ended(before, answer, after, sorted(path.name for path in state.iterdir() if path.is_file()))


def main(action: str, *words: str) -> None:
    """Do what the command line says."""
    if action == "clear":
        clear()
        ended: Ended | Empty = Empty(listing().regions)
    else:
        per_socket, line, moment, state, *command = words
        cutter = Cutter(int(line), moment)
        ended = request(reset=action == "reset", per_socket=int(per_socket), cutter=cutter, state=Path(state), command=command)
    say(msgspec.json.encode(ended).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])

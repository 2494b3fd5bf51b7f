# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What attacks on the installed helper share: sessions whose bytes are free, and a watch on what must not change."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from callers import TIMEOUT_S, Caller
from installed import Installation

from daos_pbin import envelope
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode

Message = dict[str, object]

MEASURED = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
os.write(2, b"\\x00%d %d" % (status, usage.ru_maxrss))
"""
"""A small parent for the helper, since the kernel counts a process's peak from its fork on: a test process is larger than any helper.
It tells wait status and peak memory (KiB, of the monitor and of its workers) as the last thing on standard error."""


@dataclass(frozen=True)
class Ending:
    """How a session ended.

    :param status: the helper's exit status, or minus the signal that killed it.
    :param peak_kib: the most memory that monitor or a worker ever had.
    """

    status: int
    errors: bytes
    peak_kib: int


class Hostile:
    """A session with the installed helper in which nothing that is sent is checked."""

    def __init__(self, installation: Installation, interpreter: str, caller: Caller | None = None) -> None:
        command = [interpreter, "-I", "-S", "-B", "-c", MEASURED, str(installation.helper)]
        self._begin((caller or installation.account).start(command))

    @classmethod
    def around(cls, process: subprocess.Popen[bytes]) -> Hostile:
        """Return the session of a helper that was started in another way, by a parent that measures it as MEASURED does."""
        session = cls.__new__(cls)
        session._begin(process)
        return session

    def _begin(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.ended = False
        """Whether the helper has closed its end."""
        self._reader = FrameReader(ANSWER_LIMIT)
        self._waiting: list[Message] = []
        self._poller = select.poll()
        self._poller.register(self._stream(self.process.stdout), select.POLLIN)

    @staticmethod
    def _stream(stream: object) -> int:
        if stream is None or not hasattr(stream, "fileno"):
            raise RuntimeError("the session was started without pipes")
        return int(stream.fileno())

    def send(self, data: bytes) -> None:
        """Send bytes; the rest of what a helper that hung up does not take is dropped."""
        descriptor = self._stream(self.process.stdin)
        while data:
            try:
                data = data[os.write(descriptor, data) :]
            except (BrokenPipeError, ConnectionResetError):
                return

    def send_some(self, data: bytes) -> bool:
        """Send bytes, waiting for no answer in between; False once the helper has hung up."""
        try:
            while data:
                data = data[os.write(self._stream(self.process.stdin), data) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Message | None:
        """Return the next message; None once the helper has closed its end."""
        while not self._waiting and not self.ended:
            if not self._poller.poll(TIMEOUT_S * 1000):
                raise AssertionError(f"the helper said nothing for {TIMEOUT_S:.0f} seconds")
            data = os.read(self._stream(self.process.stdout), 1 << 16)
            self.ended = not data
            self._waiting += self._reader.feed(data)
        return self._waiting.pop(0) if self._waiting else None

    def answer(self, identifier: int) -> Message | None:
        """Return the result or failure of a request, or the session's own failure; None if the helper ends without."""
        while (message := self.receive()) is not None:
            if message["type"] in ("result", "failure") and message["id"] in (identifier, envelope.SESSION_ID):
                return message
        return None

    def hello(self) -> None:
        """Wait for the greeting, so that what follows meets a helper that is ready."""
        message = self.receive()
        assert message is not None
        assert message["type"] == "hello"

    def end(self) -> tuple[list[Message], Ending]:
        """Close our end; return everything that was not received yet, and how the helper ended."""
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        rest: list[Message] = []
        while (message := self.receive()) is not None:
            rest.append(message)
        ending = self._ending()
        if ending.status >= 0:
            self._reader.close()  # only a killed helper leaves half a frame
        return rest, ending

    def end_unread(self) -> tuple[list[Message], Ending]:
        """As ``end``, for a session of which not even the greeting was read; that comes first, and is left out."""
        messages, ending = self.end()
        assert messages, "not even a greeting"
        assert messages[0]["type"] == "hello"
        return messages[1:], ending

    def _ending(self) -> Ending:
        with self.process as process:
            errors = process.stderr.read() if process.stderr is not None else b""
            process.wait(TIMEOUT_S)
        text, _, numbers = errors.rpartition(b"\0")
        status, peak = (int(word) for word in numbers.split())
        return Ending(os.waitstatus_to_exitcode(status), text, peak)

    def abandon(self) -> None:
        """Leave without a word, as a caller that was killed does; nothing if the session has ended."""
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.process.wait(TIMEOUT_S)


class OpenSession(Protocol):
    """Opens a session as a caller: the account, if nobody else is named."""

    def __call__(self, caller: Caller | None = None) -> Hostile: ...


def request(identifier: int, method: str, payload: Mapping[str, object], deadline_s: float = 60) -> bytes:
    """Return the frame of a request, whatever its payload."""
    return encode(envelope.request(identifier, method, payload, deadline_s), REQUEST_LIMIT)


def ping(identifier: int) -> bytes:
    """Return the frame of an honest ping."""
    return request(identifier, "Ping", {})


def fault_code(message: Message | None) -> int:
    """Return the code of a failure; 0 for a result."""
    assert message is not None, "the helper ended without an answer"
    fault = message.get("fault")
    if message["type"] == "result" or not isinstance(fault, dict):
        return 0
    return int(fault["code"])


ANY_START_FILE = b"/libexec/daos/helper/start.py"
OTHERS = re.compile(r"/opt/daos-|/mnt/|/run/netns(/|$)")
"""Where other tests of this machine mount meanwhile: their installations, the demonstration, network namespaces."""


@dataclass
class Watch:
    """What a helper must not change outside the mount root that its policy allows.

    Mounts below the folder for temporary files, and those of ``OTHERS``, are other people's: no attack aims there.

    :param inside: the mount root; what is below it does not count.
    """

    installation: Installation
    inside: Path
    folders: tuple[str, ...] = ("/etc", "/usr/bin", "/usr/sbin")
    before: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Remember how everything is."""
        self.before = self._look()

    def changes(self) -> list[str]:
        """Return what is not as it was, in words."""
        now = self._look()
        keys = sorted(self.before.keys() | now.keys())
        return [f"{key}: {self.before.get(key)} -> {now.get(key)}" for key in keys if self.before.get(key) != now.get(key)]

    def _look(self) -> dict[str, str]:
        layout = self.installation.layout
        root = str(self.installation.root)
        seen: dict[str, str] = {}
        for folder in (*self.folders, root):
            for entry in _entries(folder, leave_out={str(self.inside), layout.log_dir, layout.rundir}):
                found = entry.stat(follow_symlinks=False)
                seen[entry.path] = f"{found.st_mode:o} {found.st_uid}:{found.st_gid} {found.st_size} {found.st_mtime_ns}"
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            words = line.split()
            ours = f"{words[4]}/".startswith(f"{root}/")
            others = OTHERS.match(words[4]) is not None
            if (ours or not others) and not f"{words[4]}/".startswith((f"{self.inside}/", f"{tempfile.gettempdir()}/")):
                seen[f"mount {words[0]}"] = line
        for pid in helper_processes(self.installation):
            seen[f"process {pid}"] = "runs"
        return seen


def _entries(folder: str, leave_out: set[str]) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.path in leave_out:
                continue
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path, leave_out)


def helper_processes(installation: Installation) -> list[int]:
    """Return all processes that belong to the installed helper: its monitors, its workers, and what those execute."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            owner = entry.stat().st_uid
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        ours = installation.layout.start_file.encode() in command
        # The account of the workers is the same in every installation of this machine: whose they are, their command line says,
        # which is empty once a process is ending.
        if ours or (command and owner == installation.worker.uid and ANY_START_FILE not in command):
            found.append(int(entry.name))
    return found


def wait_until_gone(pids: list[int]) -> None:
    """Wait for processes that are not ours to wait for; fail if one stays."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            assert poller.poll(TIMEOUT_S * 1000), f"process {pid} stays"
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def mount_root(installation: Installation, more: str = "") -> Iterator[Path]:
    """Have a policy with one mount root, a folder of the tests'; afterwards nothing is mounted there, and the folder is left.

    :param more: further lines of the policy.
    """
    root = installation.root / "mnt"
    root.mkdir()
    policy = Path(installation.layout.policy_file)
    policy.write_text(f'mount_roots = ["{root}"]\n{more}', encoding="utf-8")
    policy.chmod(0o644)
    yield root
    policy.unlink()
    wait_until_gone(helper_processes(installation))
    unmount_below(root)


def unmount_below(folder: Path) -> None:
    """Take away every mount on and below a folder, the latest first."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    for point in reversed([line.split()[4] for line in lines]):
        if f"{point}/".startswith(f"{folder}/"):
            subprocess.run(["/usr/bin/umount", point], check=True)

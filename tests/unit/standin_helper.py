# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A helper that speaks the protocol and misbehaves on demand, so that both sessions meet a real process.

Arguments: the import path as JSON (its environment is empty), how to start, and what that start needs.  What it does with a
request is the request's mount point.  It never sleeps: it waits for input, or for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import sys

sys.path[:] = json.loads(sys.argv[1])

from daos_pbin import PROTOCOL_VERSION, VERSION, envelope  # noqa: E402  # needs the path above
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode  # noqa: E402

FAULT = {
    "code": 101, "domain": "storage", "description": "already formatted", "object": "/mnt/daos", "cause": "", "resolution": "use force",
}  # fmt: skip


def send(message: dict[str, object]) -> None:
    write(encode(message, ANSWER_LIMIT))


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def answer(request: envelope.RequestEnvelope, found: str = "") -> None:
    payload = {"mountpoint": request.payload["mountpoint"], "formatted": True, "mounted": False, "mountable": False, "found": found}
    send(envelope.result(request.id, payload))


def fail(id: int, code: int) -> None:
    send({"type": "failure", "id": id, "fault": {**FAULT, "code": code}})


def say_hello() -> None:
    send(envelope.hello(PROTOCOL_VERSION, VERSION, ["Ping", "ScmCheckFormat"]))


class Helper:
    """The state of one session: the requests that are not answered yet."""

    def __init__(self) -> None:
        self.held: list[envelope.RequestEnvelope] = []
        self.ignored: set[int] = set()

    def run(self) -> None:
        reader = FrameReader(REQUEST_LIMIT)
        while data := os.read(0, 65536):
            for message in reader.feed(data):
                received = envelope.parse_from_server(message)
                if isinstance(received, envelope.Cancel):
                    self.cancel(received.id)
                elif received.method == "Ping":
                    send(envelope.result(received.id, {"version": VERSION, "app_name": "daos_server_helper"}))
                else:
                    self.act(received)
        if self.ignored:
            signal.pause()

    def cancel(self, id: int) -> None:
        if id not in self.ignored:
            self.held = [request for request in self.held if request.id != id]
            fail(id, 2009)

    def act(self, request: envelope.RequestEnvelope) -> None:
        name = str(request.payload["mountpoint"]).removeprefix("/").replace("-", "_")
        getattr(self, name, self.plain)(request)

    def plain(self, request: envelope.RequestEnvelope) -> None:
        answer(request, found=f"deadline {request.deadline_s}")

    def progress(self, request: envelope.RequestEnvelope) -> None:
        for done in (1, 2, 3):
            send(envelope.progress(request.id, done, 3, "steps", f"step {done}"))
        answer(request)

    def hold(self, request: envelope.RequestEnvelope) -> None:
        send(envelope.progress(request.id, 0, 1, "", "held"))
        self.held.append(request)

    def release(self, request: envelope.RequestEnvelope) -> None:
        for held in reversed(self.held):
            answer(held, found=f"held {held.id}")
        self.held.clear()
        answer(request)

    def ignore(self, request: envelope.RequestEnvelope) -> None:
        self.ignored.add(request.id)
        send(envelope.progress(request.id, 0, 1, "", "ignored"))

    def crash(self, request: envelope.RequestEnvelope) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def garbage(self, request: envelope.RequestEnvelope) -> None:
        write(b"\x00\x00\x00\x05hello")

    def too_long(self, request: envelope.RequestEnvelope) -> None:
        write((ANSWER_LIMIT + 1).to_bytes(4, "big"))

    def exit_early(self, request: envelope.RequestEnvelope) -> None:
        os.write(2, b"nothing more to say\n")
        os._exit(0)

    def half_an_answer(self, request: envelope.RequestEnvelope) -> None:
        write(b"\x00\x00\x00\x20\x81")
        os._exit(3)

    def answer_and_die(self, request: envelope.RequestEnvelope) -> None:
        answer(request, found="last words")
        os.kill(os.getpid(), signal.SIGKILL)

    def orphan(self, request: envelope.RequestEnvelope) -> None:
        """Die, while a child holds the pipes open until the reader is gone."""
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        os._exit(5)

    def close_output(self, request: envelope.RequestEnvelope) -> None:
        os.close(1)
        os.read(0, 1)
        os._exit(6)

    def close_output_and_stay(self, request: envelope.RequestEnvelope) -> None:
        os.close(1)
        signal.pause()

    def close_input(self, request: envelope.RequestEnvelope) -> None:
        os.close(0)
        answer(request)
        signal.pause()

    def fault(self, request: envelope.RequestEnvelope) -> None:
        fail(request.id, 101)

    def session_fault(self, request: envelope.RequestEnvelope) -> None:
        fail(0, 2013)

    def unknown_id(self, request: envelope.RequestEnvelope) -> None:
        fail(request.id + 1, 101)

    def second_hello(self, request: envelope.RequestEnvelope) -> None:
        say_hello()

    def wrong_payload(self, request: envelope.RequestEnvelope) -> None:
        send(envelope.result(request.id, {"mountpoint": "/x", "formatted": 1, "mounted": False, "mountable": False}))

    def chatter(self, request: envelope.RequestEnvelope) -> None:
        """Write more to standard error than a pipe holds, and two log lines, then answer."""
        for number in range(40):
            os.write(2, b"%03d " % number + b"x" * 8000 + b"\n")
        send(envelope.log(0, "info", "of the session"))
        send(envelope.log(request.id, "warning", "of the request"))
        answer(request)

    def surroundings(self, request: envelope.RequestEnvelope) -> None:
        fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]
        with open("/proc/self/environ", "rb") as environment, open("/proc/self/status") as status:
            ignored = next(line.split()[1] for line in status if line.startswith("SigIgn"))
            answer(request, found=json.dumps([fds, environment.read().decode(), ignored]))


def start(how: str, arguments: list[str]) -> None:
    if how == "exit":
        os.write(2, arguments[1].encode())
        os._exit(int(arguments[0]))
    if how == "signal":
        os.kill(os.getpid(), int(arguments[0]))
    if how == "send":
        send(json.loads(arguments[0]))
    elif how == "gate":
        with open(arguments[0], "rb") as gate:
            gate.read()
        say_hello()
    elif how == "bytewise":
        frame = encode(envelope.hello(PROTOCOL_VERSION, VERSION, ["Ping"]), ANSWER_LIMIT)
        for position in range(len(frame)):
            write(frame[position : position + 1])
    elif how == "hello":
        say_hello()


if __name__ == "__main__":
    # Standard input's interpreter-made SIGINT handling has no place in a helper.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start(sys.argv[2], sys.argv[3:])
    Helper().run()

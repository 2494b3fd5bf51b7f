# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Both sessions against a real process: ``standin_helper.py``, and programs that are no helper at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daos_pbin import PROTOCOL_VERSION, VERSION, codes, endings, envelope, process
from daos_pbin.conversation import Pong
from daos_pbin.faults import Fault
from daos_pbin.messages import ScmCheckFormat, ScmFormatResult
from daos_pbin.plain import PlainSession
from daos_pbin.process import HelperProcess
from daos_pbin.session import HelperSession

pytestmark = pytest.mark.unit

STANDIN = Path(__file__).with_name("standin_helper.py")
SHORT_S = 0.05
"""A grace period for tests that wait for its end."""


def standin(how: str = "hello", *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-B", str(STANDIN), json.dumps(sys.path), how, *arguments]


def ask(what: str) -> ScmCheckFormat:
    """Make the request that lets the stand-in do this."""
    return ScmCheckFormat(mountpoint=f"/{what}")


def descriptors() -> set[str]:
    return {f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}" for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")}


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Every test leaves the descriptors and children that it found."""
    before, before_children = descriptors(), children()
    yield
    assert descriptors() == before
    assert children() == before_children


async def fault_of(session: HelperSession, what: str, deadline_s: float = 60) -> Fault:
    with pytest.raises(Fault) as caught:
        await session.call(ask(what), deadline_s=deadline_s)
    return caught.value


def plain_fault_of(what: str, grace_s: float = 5, deadline_s: float = 60) -> Fault:
    with PlainSession(standin(), grace_s=grace_s, stop_s=grace_s) as helper, pytest.raises(Fault) as caught:
        helper.call(ask(what), deadline_s=deadline_s)
    return caught.value


def async_fault_of(what: str, grace_s: float = 5, deadline_s: float = 60) -> Fault:
    async def main() -> Fault:
        async with HelperSession(standin(), grace_s=grace_s, stop_s=grace_s) as helper:
            return await fault_of(helper, what, deadline_s)

    return asyncio.run(main())


def async_start_fault(program: str | list[str], start_s: float = 30) -> Fault:
    async def main() -> None:
        async with HelperSession(program, start_s=start_s, grace_s=SHORT_S, stop_s=SHORT_S):
            pytest.fail("the session was entered")

    with pytest.raises(Fault) as caught:
        asyncio.run(main())
    return caught.value


def plain_start_fault(program: str | list[str], start_s: float = 30) -> Fault:
    with pytest.raises(Fault) as caught, PlainSession(program, start_s=start_s, grace_s=SHORT_S, stop_s=SHORT_S) as helper:
        helper.call(ask("plain"))
    return caught.value


BOTH = pytest.mark.parametrize("outcome_of", [async_fault_of, plain_fault_of])
BOTH_STARTS = pytest.mark.parametrize("start_fault", [async_start_fault, plain_start_fault])


def test_calls_and_pings_are_answered() -> None:
    async def main() -> None:
        async with HelperSession(standin()) as helper:
            assert helper.hello == envelope.Hello(PROTOCOL_VERSION, VERSION, ("Ping", "ScmCheckFormat"))
            assert str(helper.pid) in children()
            assert await helper.ping() == Pong(VERSION, "daos_server_helper")
            answer = await helper.call(ask("plain"), deadline_s=2.5)
            assert answer == ScmFormatResult(mountpoint="/plain", formatted=True, mounted=False, mountable=False, found="deadline 2.5")

    asyncio.run(main())


def test_plain_calls_and_pings_are_answered() -> None:
    with PlainSession(standin()) as helper:
        assert helper.ping() == Pong(VERSION, "daos_server_helper")
        assert helper.hello.methods == ("Ping", "ScmCheckFormat")
        assert str(helper.pid) in children()
        assert helper.call(ask("plain")).found == "deadline 600.0"
        assert helper.call(ask("plain"), deadline_s=1).found == "deadline 1"


def test_progress_and_logs_arrive_before_the_answer() -> None:
    seen: list[str] = []
    logs: list[str] = []

    async def main() -> None:
        async with HelperSession(standin(), on_log=lambda log: logs.append(f"{log.id} {log.level}")) as helper:
            await helper.call(ask("progress"), on_progress=lambda progress: seen.append(progress.what))
            await helper.call(ask("chatter"))

    asyncio.run(main())
    with PlainSession(standin(), on_log=lambda log: logs.append(f"{log.id} {log.level}")) as helper:
        helper.call(ask("progress"), on_progress=lambda progress: seen.append(progress.what))
        helper.call(ask("chatter"))
    assert seen == ["step 1", "step 2", "step 3"] * 2
    assert logs == ["0 info", "2 warning"] * 2


def test_concurrent_calls_are_answered_in_the_helpers_order() -> None:
    order: list[str] = []

    async def main() -> None:
        async with HelperSession(standin()) as helper:
            held = [asyncio.Event() for _ in range(5)]

            async def hold(event: asyncio.Event) -> None:
                answer = await helper.call(ask("hold"), on_progress=lambda _: event.set())
                order.append(answer.found)

            async with asyncio.TaskGroup() as tasks:
                for event in held:
                    tasks.create_task(hold(event))
                    await event.wait()
                await helper.ping()
                await helper.call(ask("release"))

    asyncio.run(main())
    assert order == [f"held {number}" for number in (5, 4, 3, 2, 1)]


def test_more_requests_than_a_pipe_holds() -> None:
    """The stand-in reads nothing until its start is let through, so the requests have to wait in the client."""

    async def main() -> None:
        async with HelperSession(standin()) as helper:
            os.kill(helper.pid, signal.SIGSTOP)
            request = ScmCheckFormat(mountpoint="/" + "x" * 4000)
            tasks = [asyncio.ensure_future(helper.call(request)) for _ in range(60)]
            while not helper._unsent:
                await asyncio.wait(tasks, timeout=0)
            os.kill(helper.pid, signal.SIGCONT)
            answers = await asyncio.gather(*tasks)
            assert {answer.mountpoint for answer in answers} == {request.mountpoint}

    asyncio.run(main())


def test_cancelling_the_task_cancels_the_request_and_waits_for_the_answer() -> None:
    async def main() -> None:
        async with HelperSession(standin()) as helper:
            held = asyncio.Event()
            task = asyncio.ensure_future(helper.call(ask("hold"), on_progress=lambda _: held.set()))
            await held.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not helper._conversation._calls
            await helper.ping()

    asyncio.run(main())


def test_a_helper_that_ignores_a_cancel_is_killed() -> None:
    async def main() -> None:
        async with HelperSession(standin(), grace_s=SHORT_S, stop_s=SHORT_S) as helper:
            ignored = asyncio.Event()
            task = asyncio.ensure_future(helper.call(ask("ignore"), on_progress=lambda _: ignored.set()))
            await ignored.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(Fault) as caught:
                await helper.ping()
            assert caught.value.code == codes.HELPER_SESSION_CLOSED

    asyncio.run(main())


@BOTH
def test_a_helper_that_ignores_a_deadline_is_killed(outcome_of: object) -> None:
    assert callable(outcome_of)
    fault = outcome_of("ignore", grace_s=SHORT_S, deadline_s=SHORT_S)
    assert fault.code == codes.HELPER_DEADLINE_EXCEEDED
    assert "ScmCheckFormat" in str(fault)


def test_when_one_deadline_kills_the_helper_the_other_calls_learn_why() -> None:
    async def main() -> None:
        async with HelperSession(standin(), grace_s=SHORT_S, stop_s=SHORT_S) as helper:
            held = asyncio.Event()
            other = asyncio.ensure_future(helper.call(ask("hold"), on_progress=lambda _: held.set()))
            await held.wait()
            assert (await fault_of(helper, "ignore", SHORT_S)).code == codes.HELPER_DEADLINE_EXCEEDED
            with pytest.raises(Fault, match="did not keep the deadline of ScmCheckFormat") as caught:
                await other
            assert caught.value.code == codes.HELPER_SESSION_CLOSED

    asyncio.run(main())


ENDS = {
    "crash": (codes.HELPER_SESSION_CLOSED, "SIGSEGV"),
    "exit-early": (codes.HELPER_SESSION_CLOSED, "exit code 0"),
    "half-an-answer": (codes.HELPER_SESSION_CLOSED, "exit code 3"),
    "close-output": (codes.HELPER_SESSION_CLOSED, "exit code 6"),
    "orphan": (codes.HELPER_SESSION_CLOSED, "exit code 5"),
    "garbage": (codes.HELPER_FRAME_INVALID, ""),
    "too-long": (codes.HELPER_FRAME_INVALID, "more than"),
    "unknown-id": (codes.HELPER_FRAME_INVALID, "not open"),
    "second-hello": (codes.HELPER_FRAME_INVALID, "second hello"),
    "session-fault": (codes.HELPER_AUDIT_UNAVAILABLE, ""),
    "fault": (codes.STORAGE_ALREADY_FORMATTED, "already formatted"),
    "wrong-payload": (codes.HELPER_MESSAGE_INVALID, "formatted"),
}


@BOTH
@pytest.mark.parametrize("what", ENDS)
def test_every_way_to_fail_is_one_fault(outcome_of: object, what: str) -> None:
    assert callable(outcome_of)
    code, text = ENDS[what]
    fault = outcome_of(what)
    assert fault.code == code
    assert text in str(fault)


@BOTH
def test_the_last_line_on_standard_error_is_the_cause(outcome_of: object) -> None:
    assert callable(outcome_of)
    assert outcome_of("exit-early").cause == "nothing more to say"


@BOTH
def test_a_helper_that_hangs_up_and_stays_is_killed(outcome_of: object) -> None:
    assert callable(outcome_of)
    fault = outcome_of("close-output-and-stay", grace_s=SHORT_S)
    assert fault.code == codes.HELPER_SESSION_CLOSED
    assert "closed its end of a pipe" in str(fault)


def test_an_answer_before_the_end_is_not_lost() -> None:
    async def main() -> str:
        async with HelperSession(standin()) as helper:
            return (await helper.call(ask("answer-and-die"))).found

    assert asyncio.run(main()) == "last words"
    with PlainSession(standin()) as helper:
        assert helper.call(ask("answer-and-die")).found == "last words"


def test_after_the_end_every_call_gets_the_same_fault() -> None:
    async def main() -> None:
        async with HelperSession(standin()) as helper:
            assert (await fault_of(helper, "crash")).code == codes.HELPER_SESSION_CLOSED
            again = await fault_of(helper, "plain")
            assert (again.code, "SIGSEGV" in str(again)) == (codes.HELPER_SESSION_CLOSED, True)

    asyncio.run(main())


def test_leaving_the_session_ends_open_calls() -> None:
    async def main() -> Fault:
        async with HelperSession(standin()) as helper:
            held = asyncio.Event()
            task = asyncio.ensure_future(fault_of(helper, "hold"))
            other = asyncio.ensure_future(helper.call(ask("hold"), on_progress=lambda _: held.set()))
            await held.wait()
        with contextlib.suppress(Fault):
            await other
        return await task

    fault = asyncio.run(main())
    assert fault.code == codes.HELPER_SESSION_CLOSED
    assert "left" in str(fault)


def test_outside_of_the_session_nothing_can_be_called() -> None:
    session = PlainSession(standin())
    with pytest.raises(RuntimeError, match="not entered"):
        session.ping()
    with session:
        session.ping()
    with pytest.raises(RuntimeError, match="was left"):
        session.ping()
    with pytest.raises(RuntimeError, match="was left"):
        session.call(ask("plain"))
    with pytest.raises(RuntimeError, match="not entered"):
        _ = HelperSession(standin()).hello

    async def main() -> Fault:
        async with HelperSession(standin()) as helper:
            await helper.ping()
        return await fault_of(helper, "plain")

    assert asyncio.run(main()).code == codes.HELPER_SESSION_CLOSED


def test_an_exception_in_the_session_still_ends_the_helper() -> None:
    async def main() -> None:
        async with HelperSession(standin()):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        asyncio.run(main())
    with pytest.raises(LookupError, match="mine"), PlainSession(standin()):
        raise LookupError("mine")


def test_a_task_that_is_cancelled_while_it_enters_leaves_nothing(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def main() -> None:
        session = HelperSession(standin("gate", str(gate)), grace_s=SHORT_S, stop_s=SHORT_S)
        task = asyncio.ensure_future(session.__aenter__())
        while not hasattr(session, "_process"):
            await asyncio.wait([task], timeout=0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_helper_that_does_not_end_is_killed_when_the_session_is_left() -> None:
    async def main() -> None:
        async with HelperSession(standin(), grace_s=SHORT_S, stop_s=SHORT_S) as helper:
            ignored = asyncio.Event()
            task = asyncio.ensure_future(helper.call(ask("ignore"), on_progress=lambda _: ignored.set()))
            await ignored.wait()
        with pytest.raises(Fault):
            await task

    asyncio.run(main())

    def stop(_: envelope.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), PlainSession(standin(), grace_s=SHORT_S, stop_s=SHORT_S) as helper:
        helper.call(ask("ignore"), on_progress=stop)


def test_a_callback_that_raises_goes_to_the_loop_and_changes_nothing() -> None:
    complaints: list[object] = []

    def refuse(progress: envelope.Progress) -> None:
        raise LookupError(progress.what)

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        async with HelperSession(standin()) as helper:
            assert (await helper.call(ask("progress"), on_progress=refuse)).formatted
            await helper.ping()

    asyncio.run(main())
    assert complaints
    assert {type(complaint) for complaint in complaints} == {LookupError}


def test_a_callback_that_raises_comes_out_of_a_plain_call() -> None:
    def refuse(progress: envelope.Progress) -> None:
        raise LookupError(progress.what)

    with PlainSession(standin()) as helper:
        with pytest.raises(LookupError, match="step 1"):
            helper.call(ask("progress"), on_progress=refuse)
        assert helper.ping().version == VERSION


def test_the_helper_gets_three_descriptors_and_an_empty_environment() -> None:
    spare = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(spare, True)
    try:
        with PlainSession(standin()) as helper:
            found = json.loads(helper.call(ask("surroundings")).found)
    finally:
        os.close(spare)
    fds, environment, ignored = found
    assert fds == [0, 1, 2]
    assert environment in ("", "LC_CTYPE=C.UTF-8\0")  # what the interpreter itself adds
    assert int(ignored, 16) & 1 << (signal.SIGXFSZ - 1) == 1 << (signal.SIGXFSZ - 1)  # Python's own doing, again


def test_a_program_that_has_closed_its_own_standard_descriptors_can_have_a_session(tmp_path: Path) -> None:
    found = tmp_path / "found"
    code = (
        f"import sys, os; sys.path[:] = {sys.path!r}\n"
        "os.closerange(0, 3)\n"
        "from daos_pbin.plain import PlainSession\n"
        f"with PlainSession({standin()!r}) as helper: version = helper.ping().version\n"
        f"fd = os.open({str(found)!r}, os.O_CREAT | os.O_WRONLY)\n"
        "os.write(fd, version.encode())\n"
    )
    subprocess.run([sys.executable, "-S", "-B", "-c", code], check=True)
    assert found.read_text() == VERSION


@BOTH_STARTS
@pytest.mark.parametrize("exit_code", range(70, 79))
def test_the_launchers_refusals_become_faults_with_its_words(start_fault: object, exit_code: int) -> None:
    assert callable(start_fault)
    fault = start_fault(standin("exit", str(exit_code), f"refused for reason {exit_code}\n"))
    expected = {70: 3, 71: 3, 72: 3, 73: codes.HELPER_CALLER_REFUSED}.get(exit_code, codes.HELPER_START_FAILED)
    assert fault.code == expected
    assert fault.cause == f"refused for reason {exit_code}"
    assert endings.LAUNCHER_EXITS[exit_code][0] == expected


@BOTH_STARTS
@pytest.mark.parametrize("exit_code", [70, 72, 73, 77])
def test_without_its_words_the_exit_code_speaks(start_fault: object, exit_code: int) -> None:
    assert callable(start_fault)
    assert endings.LAUNCHER_EXITS[exit_code][1] in str(start_fault(standin("exit", str(exit_code), "")))


@BOTH_STARTS
def test_other_ends_before_the_hello_are_ends_of_the_session(start_fault: object) -> None:
    assert callable(start_fault)
    assert "exit code 1" in str(start_fault(standin("exit", "1", "")))
    assert "SIGTERM" in str(start_fault(standin("signal", str(int(signal.SIGTERM)))))
    assert "signal 40" in str(start_fault(standin("signal", "40")))
    assert start_fault("/bin/true").code == codes.HELPER_SESSION_CLOSED


@BOTH_STARTS
def test_another_release_is_one_fault(start_fault: object) -> None:
    assert callable(start_fault)
    for message in (envelope.hello(2, VERSION, []), envelope.hello(PROTOCOL_VERSION, "0.0.9", []), {"type": "hello", "protocol": 3}):
        assert start_fault(standin("send", json.dumps(message))).code == codes.HELPER_PROTOCOL_MISMATCH


@BOTH_STARTS
def test_a_helper_that_says_nothing_is_given_up(start_fault: object) -> None:
    assert callable(start_fault)
    fault = start_fault(standin("silent"), start_s=SHORT_S)
    assert fault.code == codes.HELPER_SESSION_CLOSED
    assert "said nothing" in str(fault)


@BOTH_STARTS
def test_a_program_that_is_no_helper_is_refused(start_fault: object) -> None:
    assert callable(start_fault)
    assert start_fault(["/bin/echo", "Usage: something else entirely"]).code == codes.HELPER_FRAME_INVALID


@BOTH_STARTS
def test_what_cannot_be_executed_is_not_available(start_fault: object, tmp_path: Path) -> None:
    assert callable(start_fault)
    plain_file = tmp_path / "file"
    plain_file.write_text("x")
    for program in (str(tmp_path / "missing"), str(plain_file), str(tmp_path), f"{plain_file}/below"):
        fault = start_fault(program)
        assert (fault.code, fault.object) == (codes.PRIVILEGED_HELPER_NOT_AVAILABLE, program)
    plain_file.chmod(0o755)
    assert start_fault(str(plain_file)).code == codes.HELPER_START_FAILED


def test_a_relative_program_is_the_callers_mistake() -> None:
    for program in ("helper", "", [], ["bin/helper"]):
        with pytest.raises(ValueError, match="absolute"):
            HelperProcess(program)


def test_a_slow_start_is_waited_for(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    async def main() -> None:
        session = HelperSession(standin("gate", str(gate)))
        entering = asyncio.ensure_future(session.__aenter__())
        while not hasattr(session, "_process"):
            await asyncio.wait([entering], timeout=0)
        assert not entering.done()
        await asyncio.to_thread(gate.write_bytes, b"")
        helper = await entering
        await helper.ping()
        await helper.__aexit__(None, None, None)

    asyncio.run(main())


def test_a_hello_that_comes_byte_by_byte_is_a_hello() -> None:
    async def main() -> None:
        async with HelperSession(standin("bytewise")) as helper:
            assert helper.hello.methods == ("Ping",)

    asyncio.run(main())
    with PlainSession(standin("bytewise")) as helper:
        assert helper.hello.methods == ("Ping",)


def test_standard_error_is_kept_only_at_its_end() -> None:
    with PlainSession(standin()) as helper:
        helper.call(ask("chatter"))
        with pytest.raises(Fault) as caught:
            helper.call(ask("exit-early"))
        kept = helper._process.errors()
    assert len(kept) <= process.ERRORS_KEPT
    assert kept.endswith("nothing more to say")
    assert len(caught.value.cause) <= endings.CAUSE_LIMIT


def test_a_program_that_ignores_its_children_still_has_a_session() -> None:
    """Then the kernel throws the exit status away; the session must neither hang nor complain."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with PlainSession(standin()) as helper:
            assert helper.ping().version == VERSION
            with pytest.raises(Fault, match="the helper ended"):
                helper.call(ask("crash"))
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user who may not signal root's processes")
def test_a_helper_that_may_not_be_killed_is_left_behind_and_collected_later() -> None:
    """A helper that became root cannot be signalled by the account; what matters is that the session comes to an end."""
    helper = PlainSession(standin(), grace_s=SHORT_S, stop_s=SHORT_S).__enter__()
    helper.ping()
    os.setresuid(65534, 65534, 0)
    try:
        with pytest.raises(Fault) as caught:
            helper.call(ask("ignore"), deadline_s=SHORT_S)
        assert not helper._process.kill()
        helper.__exit__(None, None, None)
    finally:
        os.setresuid(0, 0, 0)
    assert caught.value.code == codes.HELPER_DEADLINE_EXCEEDED
    assert process._unreaped == [helper.pid]
    os.kill(helper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, helper.pid, os.WEXITED | os.WNOWAIT)
    process._unreaped.append(os.getpid())  # no child of ours, as one that somebody else has collected
    with PlainSession(standin()) as other:
        other.ping()
    assert process._unreaped == []


def test_a_plain_session_sends_more_than_a_pipe_holds() -> None:
    with PlainSession(standin()) as helper:
        os.kill(helper.pid, signal.SIGSTOP)
        calls = [helper._conversation.ping(5) for _ in range(2000)]
        helper._send()
        assert helper._unsent
        os.kill(helper.pid, signal.SIGCONT)
        helper.ping()
        assert all(call.done for call in calls)


def test_a_session_that_is_left_while_requests_wait_to_be_sent_ends() -> None:
    with PlainSession(standin()) as helper:
        os.kill(helper.pid, signal.SIGSTOP)
        for _ in range(2000):
            helper._conversation.ping(5)
        helper._send()
        os.kill(helper.pid, signal.SIGCONT)


def test_a_helper_that_does_not_read_any_more_is_killed() -> None:
    async def main() -> Fault:
        async with HelperSession(standin(), stop_s=SHORT_S) as helper:
            await helper.call(ask("close-input"))
            return await fault_of(helper, "plain")

    fault = asyncio.run(main())
    assert fault.code == codes.HELPER_SESSION_CLOSED
    with PlainSession(standin(), stop_s=SHORT_S) as helper:
        helper.call(ask("close-input"))
        with pytest.raises(Fault, match="closed its end") as caught:
            helper.call(ask("plain"))
        assert caught.value.code == codes.HELPER_SESSION_CLOSED


def test_a_task_that_is_cancelled_while_it_leaves_kills_the_helper() -> None:
    async def main() -> None:
        session = HelperSession(standin(), stop_s=60)
        ignored = asyncio.Event()

        async def visit() -> None:
            async with session:
                ignoring = asyncio.ensure_future(fault_of_ignoring())
                await ignored.wait()
            await ignoring

        async def fault_of_ignoring() -> None:
            with contextlib.suppress(Fault):
                await session.call(ask("ignore"), on_progress=lambda _: ignored.set())

        visiting = asyncio.ensure_future(visit())
        await ignored.wait()
        while session._process.stdin != process.GONE:
            await asyncio.wait([visiting], timeout=0)
        visiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await visiting
        assert session._process.status == signal.SIGKILL

    asyncio.run(main())


def ended(program: list[str]) -> HelperProcess:
    """Start a program and return it after its end."""
    child = HelperProcess(program)
    watch = select.poll()
    watch.register(child.pidfd, select.POLLIN)
    assert watch.poll(30_000)
    child.reap()
    return child


def test_what_a_child_leaves_in_its_pipes_is_read() -> None:
    child = ended(standin("exit", "3", "x" * 60_000))
    assert (child.status, child.errors(), child.last_output()) == (3 << 8, "x" * 60_000, b"")
    assert child.kill()
    child.release()
    assert child.kill()
    talker = ended(["/bin/echo", "hello"])
    assert talker.last_output() == b"hello\n"
    talker.release()


def test_a_thousand_pings_through_one_session() -> None:
    with PlainSession(standin()) as helper:
        for _ in range(1000):
            helper.ping()


# A helper behind a socket

LISTENER = """
import os, signal, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.write(1, b"ready")
connection, _ = listening.accept()
listening.close()
pid = os.fork()
if pid == 0:
    os.dup2(connection.fileno(), 0), os.dup2(connection.fileno(), 1)
    os.execv(sys.argv[2], sys.argv[2:])
connection.close()
os.read(0, 1)
try:
    os.kill(pid, signal.SIGKILL)
finally:
    os.waitpid(pid, 0)
"""
"""Gives the first connection a helper of its own, as systemd does, and ends it with standard input."""


@contextlib.contextmanager
def behind_socket(path: Path, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-S", "-c", LISTENER, str(path), *standin(*arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        assert listener.stdout is not None
        assert listener.stdout.read(5) == b"ready"
        yield str(path)


def async_socket_outcome(path: str, what: str) -> ScmFormatResult | Fault:
    async def main() -> ScmFormatResult:
        async with HelperSession("/nowhere/helper", socket=path, grace_s=SHORT_S, stop_s=SHORT_S) as helper:
            assert helper.pid == 0
            await helper.ping()
            return await helper.call(ask(what), deadline_s=SHORT_S if what == "ignore" else 60)

    try:
        return asyncio.run(main())
    except Fault as fault:
        return fault


def plain_socket_outcome(path: str, what: str) -> ScmFormatResult | Fault:
    try:
        with PlainSession("/nowhere/helper", socket=path, grace_s=SHORT_S, stop_s=SHORT_S) as helper:
            assert helper.pid == 0
            helper.ping()
            return helper.call(ask(what), deadline_s=SHORT_S if what == "ignore" else 60)
    except Fault as fault:
        return fault


BOTH_SOCKETS = pytest.mark.parametrize("outcome", [async_socket_outcome, plain_socket_outcome])


@BOTH_SOCKETS
def test_socket_is_preferred_and_serves(outcome: Callable[[str, str], ScmFormatResult | Fault], tmp_path: Path) -> None:
    with behind_socket(tmp_path / "s") as path:
        answer = outcome(path, "progress")
    assert isinstance(answer, ScmFormatResult)
    assert answer.mountpoint == "/progress"


@BOTH_SOCKETS
@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("crash", codes.HELPER_SESSION_CLOSED),
        ("exit-early", codes.HELPER_SESSION_CLOSED),
        ("half-an-answer", codes.HELPER_SESSION_CLOSED),
        ("fault", codes.STORAGE_ALREADY_FORMATTED),
        ("session-fault", codes.HELPER_AUDIT_UNAVAILABLE),
        ("garbage", codes.HELPER_FRAME_INVALID),
        ("ignore", codes.HELPER_DEADLINE_EXCEEDED),
    ],
)
def test_helper_that_misbehaves_behind_a_socket_is_one_fault(
    outcome: Callable[[str, str], ScmFormatResult | Fault], tmp_path: Path, what: str, code: int
) -> None:
    with behind_socket(tmp_path / "s") as path:
        answer = outcome(path, what)
    assert isinstance(answer, Fault)
    assert answer.code == code


@BOTH_SOCKETS
def test_last_words_behind_a_socket_are_heard(outcome: Callable[[str, str], ScmFormatResult | Fault], tmp_path: Path) -> None:
    with behind_socket(tmp_path / "s") as path:
        answer = outcome(path, "answer-and-die")
    assert isinstance(answer, ScmFormatResult)
    assert answer.found == "last words"


@BOTH_SOCKETS
def test_silent_end_behind_a_socket_says_where_the_reason_is(
    outcome: Callable[[str, str], ScmFormatResult | Fault], tmp_path: Path
) -> None:
    with behind_socket(tmp_path / "s", "exit", "73", "refused\n") as path:
        fault = outcome(path, "plain")
    assert isinstance(fault, Fault)
    assert fault.code == codes.HELPER_SOCKET_CLOSED
    assert fault.object == path
    assert "journalctl" in fault.resolution


@pytest.mark.parametrize("there", ["absent", "stale", "file"])
def test_without_a_listener_the_program_is_started(tmp_path: Path, there: str) -> None:
    path = tmp_path / "s"
    if there == "stale":
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as gone:
            gone.bind(str(path))
    elif there == "file":
        path.touch()
    with PlainSession(standin(), socket=str(path)) as helper:
        assert helper.pid > 0
        helper.ping()
    with pytest.raises(Fault) as caught, PlainSession("/nowhere/helper", socket=str(path)):
        pytest.fail("there is no such program")
    assert caught.value.code == codes.PRIVILEGED_HELPER_NOT_AVAILABLE
    assert ("does not answer: Connection refused" in caught.value.cause) == (there != "absent")


def test_requests_larger_than_a_socket_takes_arrive(tmp_path: Path) -> None:
    async def main(path: str) -> list[ScmFormatResult]:
        async with HelperSession("/nowhere/helper", socket=path) as helper:
            return list(await asyncio.gather(*(helper.call(ask("x" * 4000)) for _ in range(200))))

    with behind_socket(tmp_path / "s") as path:
        assert len(asyncio.run(main(path))) == 200

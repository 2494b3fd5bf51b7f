# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Asking libfabric and UCX: layouts against the real headers, the real libraries, and libraries that misbehave."""

from __future__ import annotations

import os
import select
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_world import EVENT_S, compile_standin

from daos_bindings._fabric import ffi
from daos_bindings.fabric.ask import ANSWER_LIMIT, FabricDevice, ask, decode
from daos_pbin import codes
from daos_pbin.faults import Fault

LIBFABRIC = ("#include <rdma/fabric.h>", "/usr/include/rdma/fabric.h", "libfabric-dev")
UCT = ("#include <uct/api/uct.h>", "/usr/include/uct/api/uct.h", "libucx-dev")
STRUCTURES = {
    "struct fi_info": LIBFABRIC,
    "struct fi_domain_attr": LIBFABRIC,
    "struct fi_fabric_attr": LIBFABRIC,
    "uct_md_resource_desc_t": UCT,
    "uct_component_attr_t": UCT,
    "uct_tl_resource_desc_t": UCT,
}
IN_ARRAYS = ("uct_md_resource_desc_t", "uct_tl_resource_desc_t")


@pytest.mark.parametrize("name", STRUCTURES)
def test_layouts_are_those_of_the_headers(name: str, tmp_path: Path) -> None:
    include, header, package = STRUCTURES[name]
    if not os.path.exists(header):
        pytest.skip(f"no {header}: install {package}")
    lines = [f"_Static_assert(sizeof({name}) >= {ffi.sizeof(name)}, \"size\");"]
    if name in IN_ARRAYS:
        lines.append(f"_Static_assert(sizeof({name}) == {ffi.sizeof(name)}, \"size in an array\");")
    for field, kind in ffi.typeof(name).fields:
        member = f"(({name} *)0)->{field}"
        lines.append(f"_Static_assert(__builtin_offsetof({name}, {field}) == {kind.offset}, \"offset of {field}\");")
        lines.append(f"_Static_assert(sizeof({member}) == {ffi.sizeof(kind.type)}, \"size of {field}\");")
    source = tmp_path / "layout.c"
    source.write_text("\n".join(["#include <stdint.h>", include, *lines, ""]), encoding="ascii")
    done = subprocess.run(["/usr/bin/gcc", "-fsyntax-only", str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wrong = source.read_text(encoding="ascii").replace(f"sizeof({name}) >= {ffi.sizeof(name)}", f"sizeof({name}) >= 99999")
    source.write_text(wrong, encoding="ascii")
    assert subprocess.run(["/usr/bin/gcc", "-fsyntax-only", str(source)], capture_output=True, check=False).returncode != 0


def test_the_real_libfabric() -> None:
    found = ask("libfabric")
    if found is None:
        pytest.skip("libfabric is not installed")
    pairs = [(device.provider, device.device) for device in found]
    assert len(pairs) == len(set(pairs))
    assert ("shm", "shm") in pairs
    assert [device.place for device in found] == sorted(device.place for device in found)
    only = ask("libfabric", "shm")
    assert only is not None
    assert {(device.provider, device.device) for device in only} == {("shm", "shm")}
    assert ask("libfabric", "no_such_provider") == ()


def test_the_real_ucx() -> None:
    found = ask("ucx")
    if found is None:
        pytest.skip("UCX is not installed")
    assert ("tcp", "lo") in {(device.provider, device.device) for device in found}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_standin(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def standin(library: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    return monkeypatch


def test_places_count_every_entry_and_each_pair_is_told_once(standin: pytest.MonkeyPatch) -> None:
    standin.setenv("LIKE", "verbs@mlx5_0 verbs@ tcp@eth0 verbs@mlx5_0 tcp@eth1")
    assert ask("libfabric") == (
        FabricDevice("verbs", "mlx5_0", 0),
        FabricDevice("tcp", "eth0", 2),
        FabricDevice("tcp", "eth1", 4),
    )
    assert ask("libfabric", "tcp") == (FabricDevice("tcp", "eth0", 0), FabricDevice("tcp", "eth1", 1))


def test_an_interface_of_a_strange_name_spoils_nothing_for_the_others(standin: pytest.MonkeyPatch) -> None:
    standin.setenv("LIKE", "tcp@\u00e4 tcp@e\x1b[31m tcp@eth0")
    assert ask("libfabric") == (FabricDevice("tcp", "eth0", 2),)


@pytest.mark.parametrize(
    ("like", "deadline_s", "reason"),
    [
        ("crash", 60, r"crashed: Segmentation fault \(signal 11\)"),
        ("hang", 1, "did not answer within 1 s"),
        ("fail", 60, r"fi_getinfo: Cannot allocate memory \(-12\)"),
    ],
)
def test_a_library_that_misbehaves_is_one_fault(standin: pytest.MonkeyPatch, like: str, deadline_s: float, reason: str) -> None:
    standin.setenv("LIKE", like)
    with pytest.raises(Fault, match=reason) as caught:
        ask("libfabric", deadline_s=deadline_s)
    assert caught.value.code == codes.NETWORK_LIBRARY_FAILED
    assert caught.value.object == "libfabric"


def test_a_library_that_is_not_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        "import sys\nsys.path[:] = sys.argv[5:]\n"
        "from daos_bindings.fabric import libfabric, child\nlibfabric.NAMES = ('libnone.so.9',)\n"
        "child.main(sys.argv[1], sys.argv[2], int(sys.argv[3]), 60)\n",
        encoding="ascii",
    )
    assert ask("libfabric", child=str(tmp_path / "child.py")) is None


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("out.write(b'{}')", "exit code 0 and without an answer"),
        ("out.write(b'rubbish\\n')", "cannot be read"),
        ("out.write(b'[' * 200000 + b'\\n')", "cannot be read"),
        ('out.write(b\'{"devices": [], "more": 1}\\n\')', "cannot be read"),
        ('out.write(b\'{"devices": [{"provider": "tcp", "device": "e\\\\u001b", "place": 0}]}\\n\')', "cannot be read"),
        (f"out.write(b' ' * {ANSWER_LIMIT + 2})", "exit code 0 and without an answer|crashed: Broken pipe|exit code 1"),
        ("out.write(b'\\xff\\n')", "cannot be read"),
    ],
)
def test_an_answer_that_is_none_is_one_fault(tmp_path: Path, program: str, reason: str) -> None:
    child = tmp_path / "child.py"
    child.write_text(f"import sys\nout = open(int(sys.argv[3]), 'wb', 0)\n{program}\n", encoding="ascii")
    with pytest.raises(Fault, match=reason) as caught:
        ask("libfabric", child=str(child), deadline_s=60)
    assert caught.value.code == codes.NETWORK_LIBRARY_FAILED


@pytest.mark.parametrize("then", ['out.write(b\'{"missing": "x"}\\n\')', "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_what_a_library_left_running_is_ended(tmp_path: Path, then: str) -> None:
    child = tmp_path / "child.py"
    left = tmp_path / "pid"
    child.write_text(
        f"import os, signal, sys\nout = open(int(sys.argv[3]), 'wb', 0)\npid = os.fork()\nif not pid:\n    signal.pause()\n"
        f"open({str(left)!r}, 'w').write(str(pid))\n{then}\n",
        encoding="ascii",
    )
    with suppress(Fault):
        ask("libfabric", child=str(child), deadline_s=3)
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(int(left.read_text(encoding="ascii")))
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = poll.poll(EVENT_S * 1000)
        os.close(pidfd)
        assert ended


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    ask("libfabric", "no_such_provider")
    with pytest.raises(Fault):
        ask("libfabric", child=str(tmp_path / "missing.py"))
    assert os.listdir("/proc/self/fd") == before


WORDS = st.sampled_from([b"{", b"}", b"[", b"]", b":", b",", b'"devices"', b'"missing"', b'"place"', b'""', b"1", b"-1", b"null", b"\xff"])


@settings(max_examples=60)
@given(st.lists(WORDS, max_size=12).map(b"".join))
def test_whatever_comes_is_an_answer_or_the_fault(data: bytes) -> None:
    with suppress(Fault):
        found = decode("libfabric", data)
        assert all(device.place >= 0 for device in found.devices)

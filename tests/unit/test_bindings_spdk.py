# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The typed layer over SPDK, held against a stand-in whose drives misbehave as no drive in a lab does.

The real SPDK is asked in tests/host/test_bindings_spdk_tcp.py and tests/vm/inside/test_spdk.py.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import cast

import pytest
from daos_install import stages
from spdk_world import QUICK, VERSIONS, Spdk, compile_in, make_libraries, pkg_config

from daos_bindings.linux import pci_address
from daos_bindings.spdk import locks, use
from daos_pbin.faults import Fault

pytestmark = pytest.mark.unit

A, B = "0000:01:00.0", "0000:02:00.0"
SCAN = "from daos_bindings.spdk import operations\nvalue = operations.scan({devices!r}, vmd={vmd})"
WIPE = "from daos_bindings.spdk import operations\nvalue = operations.wipe({devices!r})"
Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Spdk:
    folder = tmp_path_factory.mktemp("spdk")
    return compile_in(folder, pkg_config(folder, VERSIONS, make_libraries(folder, shared=False)))


@pytest.fixture(autouse=True)
def lock_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(locks, "FOLDER", str(tmp_path))
    return tmp_path


def ask(standin: Spdk, code: str, drives: str = "", **more: str) -> tuple[Rows, list[str]]:
    """Return the rows of a call, and what it asked of SPDK; its lock files are in the test's own folder."""
    patch = f"from daos_bindings.spdk import locks\nlocks.FOLDER = {locks.FOLDER!r}\n"
    found, log = standin.call(patch + code, STANDIN_DRIVES=drives, **more)
    return cast(Rows, found["value"]), log


def scan(standin: Spdk, drives: str, *devices: str, prefix: str = "", vmd: bool = False, **more: str) -> tuple[Rows, list[str]]:
    return ask(standin, prefix + SCAN.format(devices=devices, vmd=vmd), drives, **more)


def wipe(standin: Spdk, drives: str, *devices: str, prefix: str = "") -> tuple[Rows, list[str]]:
    return ask(standin, prefix + WIPE.format(devices=devices), drives)


def fault(row: dict[str, object]) -> tuple[int, str]:
    """Return code and words of a row's fault."""
    found = cast("dict[str, object]", row["fault"])
    return int(str(found["code"])), str(found["text"])


def spaces(row: dict[str, object]) -> list[tuple[object, object, object]]:
    return [(space["id"], space["done"], space["reason"]) for space in cast(Rows, row["namespaces"])]


def test_a_scan_reads_every_controller_and_gives_it_back(standin: Spdk, lock_folder: Path) -> None:
    rows, log = scan(standin, f"{B}/intel,{A}", A, B)
    assert [(row["address"], row["numa_node"], row["fault"]) for row in rows] == [(A, 1, None), (B, 0, None)]
    record = cast("dict[str, object]", rows[0]["record"])
    assert (record["model"], record["serial"], record["fw_rev"], record["vendor"]) == ("MODEL", "SERIAL", "FW1", 0x1B36)
    assert record["namespaces"] == [{"id": 1, "size": 1 << 20}, {"id": 3, "size": 1 << 20}]
    assert cast("dict[str, object]", record["health_stats"])["temperature"] == 300
    intel = cast("dict[str, dict[str, object]]", rows[1]["record"])["health_stats"]
    assert (intel["program_fail_cnt_norm"], intel["program_fail_cnt_raw"]) == (100, 7)
    assert sorted(line for line in log if line.startswith("detach")) == [f"detach {A}", f"detach {B}"]
    assert os.listdir(lock_folder) == []


def test_the_environment_is_the_reference_s(standin: Spdk) -> None:
    cpu = min(os.sched_getaffinity(0))
    _, log = scan(standin, A, A, "5d0505:01:00.0", A)
    assert log[:2] == ["log level 0", f"init name=daos_server_helper lcores=0@{cpu} mask=none mem=-1 pci=1 huge=1"]
    # What the reference hands to DPDK; the address behind the VMD 0000:5d:05.5 stands for that.
    assert log[2] == (
        "context --log-level=lib.eal:4 --log-level=lib.malloc:4 --log-level=lib.ring:4 --log-level=lib.mempool:4 --log-level=lib.timer:4 "
        "--log-level=pmd:4 --log-level=lib.hash:4 --log-level=lib.lpm:4 --log-level=lib.kni:4 --log-level=lib.acl:4 "
        "--log-level=lib.power:4 --log-level=lib.meter:4 --log-level=lib.sched:4 --log-level=lib.port:4 --log-level=lib.table:4 "
        "--log-level=lib.pipeline:4 --log-level=lib.mbuf:4 --log-level=lib.cryptodev:4 --log-level=lib.efd:4 --log-level=lib.eventdev:4 "
        "--log-level=lib.gso:4 --log-level=user1:4 --log-level=user2:4 --log-level=user3:4 --log-level=user4:4 --log-level=user5:4 "
        "--log-level=user6:4 --log-level=user7:4 --log-level=user8:4 --no-telemetry --in-memory"
    )
    assert log[3:5] == [f"allowed {A}", "allowed 0000:5d:05.5"]
    assert "vmd" not in log


def test_the_thread_may_run_where_it_could_before(standin: Spdk) -> None:
    code = "import os\nbefore = os.sched_getaffinity(0)\n" + SCAN.format(devices=(A,), vmd=False)
    found, _ = standin.call(code + "\nvalue = [sorted(before), sorted(os.sched_getaffinity(0))]")
    assert found["value"] == [sorted(os.sched_getaffinity(0))] * 2


def test_it_starts_once(standin: Spdk) -> None:
    code = "from daos_bindings.spdk import environment\nenvironment.start_for_fabrics()\ntry:\n    environment.start_for_fabrics()\n"
    found, _ = standin.call(code + "except RuntimeError as error:\n    value = str(error)")
    assert found["value"] == "SPDK can be started only once in a process"


def test_no_controllers_are_no_error_and_spdk_is_not_started(standin: Spdk) -> None:
    assert scan(standin, A) == ([], [])


def test_others_are_left_alone(standin: Spdk) -> None:
    rows, log = scan(standin, f"{A},{B}", B)
    assert [row["address"] for row in rows] == [B]
    assert [line for line in log if line.startswith("detach")] == [f"detach {B}"]


@pytest.mark.parametrize("asked", ["0000:05:05.5", "050505:01:00.0"])
def test_what_is_behind_a_vmd_is_named_by_either_address(standin: Spdk, asked: str, lock_folder: Path) -> None:
    rows, log = scan(standin, f"50505:01:00.0,50505:02:00.0,{A}", asked, vmd=True)
    behind = ["050505:01:00.0", "050505:02:00.0"]
    assert [row["address"] for row in rows] == (behind if asked == "0000:05:05.5" else behind[:1])
    assert log[3:5] == ["allowed 0000:05:05.5", "vmd"]
    assert os.listdir(lock_folder) == []


def test_a_drive_that_spdk_does_not_see_is_a_row(standin: Spdk) -> None:
    rows, _ = scan(standin, A, A, B)
    assert rows[0]["fault"] is None
    assert fault(rows[1]) == (2142, f"SPDK could not take over the NVMe SSD {B}: SPDK finds nothing there that it can drive")


@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ("dead", 2142, "it did not start, or another process has it (-19)"),
        ("denied", 2142, "Permission denied (-13)"),
        ("slow", 2142, "it was not ready after 20 seconds"),
        ("twice", 2142, "SPDK reported it twice"),
        ("hang", 2125, "did not do Identify Controller: it did not answer in time, or was reset meanwhile"),
        ("full", 2125, "did not do Identify Controller: Cannot allocate memory"),
        ("lost", 2124, "there is no NVMe SSD at"),
        ("bad-log", 2125, "did not do Get Log Page 0x02: internal error (status 0x006)"),
        ("empty", 2126, "answered Identify Controller with data that cannot be true"),
        ("backwards", 2126, "answered Active Namespace ID list with data that cannot be true: the id 3 cannot come after 9"),
    ],
)
def test_one_that_misbehaves_costs_the_others_nothing(standin: Spdk, wrong: str, code: int, words: str, lock_folder: Path) -> None:
    rows, log = scan(standin, f"{A}/{wrong},{B}", A, B, prefix=QUICK)
    found, text = fault(rows[0])
    assert found == code
    assert words in text
    assert A in text
    assert rows[0]["record"] is None
    assert rows[1]["fault"] is None
    assert rows[1]["record"] is not None
    assert f"detach {B}" in log
    assert os.listdir(lock_folder) == []


def test_no_log_is_no_fault(standin: Spdk) -> None:
    (row,), _ = scan(standin, f"{A}/no-log", A)
    health = cast("dict[str, dict[str, object]]", row["record"])["health_stats"]
    assert health is not None
    assert not health.get("temperature")


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"STANDIN_INIT": "-12"}, 803, "return code -12: spdk_env_init(): Cannot allocate memory"),
        ({"STANDIN_VMD": "-1"}, 803, "return code -1: spdk_vmd_init(): no reason given"),
    ],
)
def test_what_fails_at_start_is_the_whole_answer(standin: Spdk, more: dict[str, str], code: int, words: str) -> None:
    found, _ = standin.call(SCAN.format(devices=(A,), vmd=True), STANDIN_DRIVES=A, **more)
    assert fault(found)[0] == code
    assert words in fault(found)[1]


def test_a_search_that_returns_nothing_is_a_fault_of_each(standin: Spdk) -> None:
    rows, _ = scan(standin, f"{B}/no-probe", A)
    assert [fault(row)[0] for row in rows] == [802]
    assert "spdk_nvme_probe_async_ext()" in fault(rows[0])[1]


def test_a_text_that_is_no_address_is_refused_before_anything(standin: Spdk) -> None:
    found, log = standin.call(SCAN.format(devices=("nonsense",), vmd=False))
    assert fault(found)[0] == 303
    assert log == []


def test_no_memory_is_a_fault_of_each(standin: Spdk) -> None:
    rows, _ = scan(standin, f"{A},{B}", A, B, STANDIN_NO_MEMORY="1")
    assert [fault(row)[0] for row in rows] == [2125, 2125]


def test_a_wipe_takes_4_kib_or_one_block_of_every_namespace(standin: Spdk) -> None:
    rows, log = wipe(standin, f"{A},{B}/circle", A, B)
    assert [spaces(row) for row in rows] == [[(1, True, ""), (3, True, "")]] * 2
    assert [row["fault"] for row in rows] == [None, None]
    lines = [f"write {A} ns=1 lba=0 count=8 flags=0x40000000", f"write {A} ns=3 lba=0 count=1 flags=0x40000000"]
    assert [line for line in log if line.startswith(f"write {A}")] == lines
    # All controllers at once: the second begins before the first has ended.
    assert log.index(f"write {B} ns=1 lba=0 count=8 flags=0x40000000") < log.index(lines[1])
    assert f"free queue {A}" in log


def test_a_wipe_stops_at_the_first_namespace_that_fails(standin: Spdk) -> None:
    rows, log = wipe(standin, f"{A}/first-fails,{B}", A, B)
    reason = "Write: it answered with an error (status 0x280)"
    assert spaces(rows[0]) == [(1, False, reason), (3, False, "not tried, because namespace 1 failed")]
    assert fault(rows[0]) == (302, f"'{A}' could not be formatted: namespaces [1, 3] are not wiped (namespace 1: {reason})")
    assert not [line for line in log if line.startswith(f"write {A} ns=3")]
    assert rows[1]["fault"] is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("lies", "Compare: Input/output error"),
        ("no-queue", "Create I/O queue: Cannot allocate memory"),
        ("no-block", "Write: No such device or address"),
        ("io-hang", "Write: it did not answer in time, or was reset meanwhile"),
        ("bare", "it has no active namespace"),
    ],
)
def test_a_wipe_that_did_not_happen_is_no_success(standin: Spdk, wrong: str, words: str) -> None:
    rows, _ = wipe(standin, f"{A}/{wrong},{B}", A, B, prefix=QUICK)
    assert fault(rows[0])[0] == 302
    assert words in fault(rows[0])[1]
    assert rows[1]["fault"] is None


LOOK = """
import os
from daos_bindings.spdk import looking, operations
looking.KEPT_LIMIT = {limit}
file = os.memfd_create("copies")
rows = operations.look({devices!r}, file)
value = [[row.address, row.fault, row.namespaces, [os.pread(file, 12288, one.offset).hex() for one in row.namespaces]] for row in rows]
"""
LOOK_AND_WIPE = """
import os
from daos_bindings.spdk import looking, operations
from daos_bindings.spdk.sessions import over_pci
from daos_bindings.spdk.tasks import run_all
copies = looking.Copies(os.memfd_create("copies"))
with over_pci({devices!r}) as session:
    (copied,) = run_all([looking.copy(one, copies) for one in session.controllers.values()])
    value = operations.wipe_session(session, copies, [operations.Looked({devices!r}[0], copied[:{known}])])
"""


def test_what_is_on_namespaces_is_copied_without_their_metadata(standin: Spdk) -> None:
    rows, log = ask(standin, LOOK.format(devices=(A, B), limit=1 << 20), f"{A},{B}/dead")
    (address, fault_, namespaces, copies), (other, dead, _, _) = cast("list[list[object]]", rows)
    assert (address, fault_, other, cast("dict[str, object]", dead)["code"]) == (A, None, B, 2142)
    assert namespaces == [
        {"id": 1, "size": 1 << 20, "offset": 0, "reason": ""},
        {"id": 3, "size": 1 << 20, "offset": 1 << 20, "reason": ""},
    ]
    first, third = (bytes.fromhex(one) for one in cast("list[str]", copies))
    assert first == b"\xa5" * 8192 + bytes(4096)
    assert third == b"\xa5" * (8192 - 8) + bytes(4096 + 8), "8 bytes of the second block's are behind the metadata of the first"
    assert not [line for line in log if line.startswith("write")]
    assert f"free queue {A}" in log


def test_what_cannot_be_copied_has_a_reason(standin: Spdk) -> None:
    for drive, limit, reason in (
        (A, 4096, "its copy cannot be kept: No space left on device"),
        (f"{A}/no-queue", 1 << 20, "Create I/O queue: Cannot allocate memory"),
        (f"{A}/io-hang", 1 << 20, "Read: it did not answer in time, or was reset meanwhile"),
    ):
        ((_, fault_, namespaces, _),) = cast("list[list[object]]", ask(standin, QUICK + LOOK.format(devices=(A,), limit=limit), drive)[0])
        assert fault_ is None
        assert [one["reason"] for one in cast(Rows, namespaces)] == [reason] * 2


def test_only_what_was_looked_at_is_wiped(standin: Spdk) -> None:
    (row,), _ = ask(standin, LOOK_AND_WIPE.format(devices=(A,), known=2), A)
    assert (row["fault"], spaces(row)) == (None, [(1, True, ""), (3, True, "")])
    changed = "somebody changed it after it was looked at; nothing was written to it"
    (row,), log = ask(standin, LOOK_AND_WIPE.format(devices=(A,), known=2), f"{A}/changes")
    assert spaces(row) == [(1, False, changed), (3, False, "not tried, because namespace 1 failed")]
    assert not [line for line in log if line.startswith("write")]
    (row,), log = ask(standin, LOOK_AND_WIPE.format(devices=(A,), known=1), A)
    assert spaces(row) == [(1, True, ""), (3, False, changed)]
    assert fault(row)[0] == 302


def test_controllers_over_a_network_are_known_by_name(standin: Spdk) -> None:
    code = """
from daos_bindings.spdk import operations, sessions
with sessions.over_fabrics("trtype:TCP traddr:127.0.0.1") as session:
    value = operations.scan_session(session, health=False)
"""
    rows, log = ask(standin, code, f"{A},{B}/dead")
    assert [(row["address"], row["fault"] is None) for row in rows] == [(f"nqn:{A}", True), (f"nqn:{B}", False)]
    assert cast("dict[str, object]", rows[0]["record"])["health_stats"] is None
    assert "mem=256 pci=0 huge=0" in log[1]


def test_a_transport_that_cannot_be_read_is_a_fault(standin: Spdk) -> None:
    code = "from daos_bindings.spdk import sessions\nwith sessions.over_fabrics('nonsense') as value:\n    pass"
    found, _ = standin.call(code)
    assert fault(found)[0] == 803


def address_of(text: str) -> pci_address.PciAddress:
    found = pci_address.parse(text)
    assert found is not None
    return found


def test_lock_files_have_spdk_s_names(lock_folder: Path) -> None:
    assert locks.path(address_of(A)) == f"{lock_folder}/spdk_pci_lock_{A}"
    assert locks.path(address_of("5d0505:01:00.0")) == f"{lock_folder}/spdk_pci_lock_5d0505:01:00.0"
    assert locks.path(address_of("050505:01:00.0")) == f"{lock_folder}/spdk_pci_lock_50505:01:00.0"


def test_a_lock_of_a_living_process_names_it(standin: Spdk) -> None:
    path = Path(locks.path(address_of(A)))
    with path.open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        rows, log = scan(standin, f"{A},{B}", A, B)
    assert fault(rows[0]) == (
        2141,
        f"another SPDK process drives the NVMe SSD {A}: {path} is locked by process {os.getpid()} of uid {os.getuid()}",
    )
    assert rows[1]["fault"] is None
    assert f"allowed {A}" not in log
    assert path.exists()


def test_a_file_that_another_process_has_by_now_stays() -> None:
    locks.reserve(address_of(A))
    path = Path(locks.path(address_of(A)))
    locked, end = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with path.open("r+") as held:
            fcntl.lockf(held, fcntl.LOCK_EX)
            os.write(locked[1], b"x")
            os.read(end[0], 1)
        os._exit(0)
    os.read(locked[0], 1)
    locks.release([address_of(A)])
    assert path.exists()
    os.write(end[1], b"x")
    os.waitpid(pid, 0)
    locks.release([address_of(A)])
    assert not path.exists()
    for descriptor in (*locked, *end):
        os.close(descriptor)


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "hard link"])
def test_what_lies_in_the_place_of_a_lock_is_not_written_to(kind: str, lock_folder: Path) -> None:
    path, precious = Path(locks.path(address_of(A))), lock_folder / "precious"
    if kind != "dangling":
        precious.write_text("precious")
    if kind == "file":
        path.write_text("1234")
    elif kind == "hard link":
        path.hardlink_to(precious)
    else:
        path.symlink_to(precious)
    locks.reserve(address_of(A))
    assert not path.is_symlink()
    assert (path.stat().st_size, path.stat().st_nlink, path.stat().st_mode & 0o7777) == (0, 1, 0o600)
    assert kind == "dangling" or precious.read_text() == "precious"
    locks.release([address_of(A), address_of(A), address_of(B)])
    assert not path.exists()
    assert precious.exists() == (kind != "dangling")


def test_a_folder_in_the_place_of_a_lock_is_a_fault() -> None:
    Path(locks.path(address_of(A))).mkdir()
    with pytest.raises(Fault, match="cannot be made: Is a directory") as caught:
        locks.reserve(address_of(A))
    assert caught.value.code == 2142
    with pytest.raises(OSError, match="directory"):
        locks.release([address_of(A)])


def test_shared_libraries_are_found_again(tmp_path: Path) -> None:
    shared = compile_in(tmp_path, pkg_config(tmp_path, VERSIONS, make_libraries(tmp_path, shared=True)))
    assert scan(shared, A, A)[0][0]["fault"] is None
    (tmp_path / "libspdk_nvme.so").unlink()
    found, _ = shared.call(SCAN.format(devices=(A,), vmd=False))
    code, text = fault(found)
    assert code == 2140
    assert "libspdk_nvme.so" in text


def test_without_spdk_vmd_only_vmds_are_out_of_reach(tmp_path: Path) -> None:
    versions = {name: version for name, version in VERSIONS.items() if name != "spdk_vmd"}
    bare = compile_in(tmp_path, pkg_config(tmp_path, versions, make_libraries(tmp_path, shared=False)))
    assert scan(bare, A, A)[0][0]["fault"] is None
    found, _ = bare.call(SCAN.format(devices=(A,), vmd=True))
    assert fault(found)[0] == 2140
    assert "spdk_vmd" in fault(found)[1]


@pytest.mark.parametrize("versions", [{}, {"spdk_nvme": "14.0"}, {**VERSIONS, "spdk_nvme": "13.0"}])
def test_a_build_without_spdk_says_what_is_missing(tmp_path: Path, versions: dict[str, str]) -> None:
    with pytest.raises(RuntimeError, match=r"pkg-config does not find spdk_nvme >= 14\.0 and spdk_env_dpdk >= 15\.0"):
        compile_in(tmp_path, pkg_config(tmp_path, versions, tmp_path))


def test_an_install_is_made_anew_when_spdk_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKG_CONFIG_PATH", "")
    monkeypatch.setenv("PKG_CONFIG_LIBDIR", str(tmp_path))
    assert stages.spdk() == ""
    pkg_config(tmp_path, VERSIONS, tmp_path)
    before = stages.spdk()
    pkg_config(tmp_path, {**VERSIONS, "spdk_nvme": "14.1"}, tmp_path)
    assert len({"", before, stages.spdk()}) == 3
    monkeypatch.setenv("PATH", str(tmp_path))
    assert stages.spdk() == ""


def test_its_use_without_it_is_a_fault_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "MODULE", "daos_bindings._nothing")
    assert not use.available()
    with pytest.raises(Fault) as caught:
        use.check()
    assert caught.value.code == 2140
    assert "make install" in caught.value.resolution


def test_whether_it_is_there_is_found_out_without_loading_it(standin: Spdk) -> None:
    code = "import sys\nfrom daos_bindings.spdk import use\nvalue = [use.available(), use.MODULE in sys.modules]"
    assert standin.call(code)[0]["value"] == [True, False]

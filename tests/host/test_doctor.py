# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Doctor on the real machine: hugepages made and taken, files left in them, locks held and left, ports in use; root and others."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import ACCOUNT, Tree, by_subject, complete, installation, setting

from daos_bindings.linux import hugepages as kernel_hugepages
from daos_bindings.linux import memory
from daos_bindings.spdk import locks
from daos_server.doctor import configuration, hugepage_files, hugepages, ports, spdk_locks
from daos_server.doctor.machine import Machine, Setting
from daos_server.storage.host_facts import read_host

STRANGER = 64321
SSD = "0000:81:00.0"


@pytest.fixture
def pages() -> Iterator[Path]:
    """The file with the number of hugepages of node 0; put back afterwards."""
    path = Path(kernel_hugepages.nr_path(0, kernel_hugepages.default_size_kib()))
    before = path.read_text(encoding="ascii")
    yield path
    path.write_text(before, encoding="ascii")


def test_hugepages_that_are_short_are_found_and_made_ones_are_ok(pages: Path, tmp_path: Path) -> None:
    asked = setting(tmp_path, f'"{SSD}"', targets=1, more="nr_hugepages: 6", host=read_host(user=ACCOUNT))
    pages.write_text("3", encoding="ascii")
    point = by_subject(hugepages.check(Machine(), asked))["hugepages of node 0"]
    assert point.found.startswith("3 of 8 wanted, 5 missing")
    assert (point.verdict in ("warning", "stops"), complete(point)) == (True, True)
    pages.write_text("8", encoding="ascii")
    point = by_subject(hugepages.check(Machine(), asked))["hugepages of node 0"]
    assert (point.verdict, point.found[:13]) == ("ok", "8 of 8 wanted")


def test_no_more_hugepages_are_promised_than_there_is_memory() -> None:
    (node, *_) = hugepages.read_nodes(Machine(), kernel_hugepages.default_size_kib())
    total_kib = memory.read().mem_total_kb
    assert 0 < node.unbroken * kernel_hugepages.default_size_kib() <= total_kib
    assert 0 < node.possible * kernel_hugepages.default_size_kib() <= total_kib


def test_files_in_a_real_hugetlbfs_are_told_by_process(pages: Path, tmp_path: Path) -> None:
    """In a mount namespace of its own, where the mount is also found in mountinfo; the dead process has really lived."""
    pages.write_text("2", encoding="ascii")
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    script = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from daos_server.doctor import hugepage_files
from daos_server.doctor.machine import Machine, Setting
from daos_server.installation import Installation
for name in ("spdk_pid{dead.pid}map_0", f"spdk_pid{{os.getpid()}}map_0"):
    with open({str(tmp_path)!r} + "/" + name, "wb") as file:
        file.truncate(2 << 20)
for point in hugepage_files.check(Machine(), Setting(Installation())):
    print(point.verdict, point.subject, point.found, point.advice, sep="|")
"""
    inner = '/bin/mount -t hugetlbfs none "$1" && exec "$2" -c "$3"'
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", inner, "sh", str(tmp_path), sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if str(tmp_path) in line and "spdk_pid" in line]
    gone = (
        f"warning|{tmp_path}/spdk_pid{dead.pid}map*|1 file, 2.0 MiB; process {dead.pid} is gone|  rm -f {tmp_path}/spdk_pid{dead.pid}map*"
    )
    assert gone in lines
    assert [line.split("|")[0] for line in lines if line != gone] == ["ok"]


@contextmanager
def held_by_a_child(path: Path) -> Iterator[int]:
    """Lock a file as SPDK does, in another process, and yield that process."""
    ready, tell = os.pipe()
    stay, leave = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(leave)
        descriptor = os.open(path, os.O_RDWR)
        fcntl.fcntl(descriptor, fcntl.F_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        os.write(tell, b"x")
        os.read(stay, 1)
        os._exit(0)
    os.read(ready, 1)
    try:
        yield pid
    finally:
        for descriptor in (leave, stay, ready, tell):
            os.close(descriptor)
        os.waitpid(pid, 0)


def lock_file(tree: Tree, owner: str, address: str = SSD) -> Path:
    tree.folder("var/tmp")
    path = tree.root / f"var/tmp/spdk_pci_lock_{address}"
    path.write_bytes(b"\0" * 4096)
    path.chmod(0o600)
    os.chown(path, pwd.getpwnam(owner).pw_uid, -1)
    return path


def test_a_lock_is_told_from_a_file_that_was_left(tmp_path: Path) -> None:
    tree, asked = Tree(tmp_path), setting(tmp_path, f'"{SSD}"')
    path = lock_file(tree, ACCOUNT)
    with held_by_a_child(path) as pid:
        assert locks.holder(str(path)) == pid
        (point,) = spdk_locks.check(tree.machine, asked)
        assert (point.verdict, f"held by process {pid}" in point.found) == ("ok", True)
    assert locks.holder(str(path)) is None
    (point,) = spdk_locks.check(tree.machine, asked)
    assert (point.verdict, point.found) == ("ok", f"belongs to {ACCOUNT}, and no process holds it")


@pytest.mark.parametrize(("address", "verdict"), [(SSD, "stops"), ("0000:82:00.0", "warning")])
def test_a_lock_file_of_root_is_in_the_way_held_or_left(address: str, verdict: str, tmp_path: Path) -> None:
    tree, asked = Tree(tmp_path), setting(tmp_path, f'"{SSD}"')
    path = lock_file(tree, "root", address)
    with held_by_a_child(path) as pid:
        (point,) = spdk_locks.check(tree.machine, asked)
        assert (point.verdict, complete(point)) == (verdict, True)
        assert point.advice.endswith(f"kill {pid}")
    (point,) = spdk_locks.check(tree.machine, asked)
    assert (point.verdict, complete(point)) == (verdict, True)
    assert f"rm {path}" in point.advice


def test_a_port_in_use_is_found_with_its_process(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        number = busy.getsockname()[1]
        asked = setting(tmp_path, more=f"port: {number}")
        (point,) = ports.check(Machine(), asked)
        assert (point.verdict, complete(point)) == ("stops", True)
        assert f"process {os.getpid()} " in point.found
    (point,) = ports.check(Machine(), asked)
    assert point.verdict == "ok"


def test_a_port_of_ipv6_is_found(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as busy:
        try:
            busy.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        busy.listen()
        (point,) = ports.check(Machine(), setting(tmp_path, more=f"port: {busy.getsockname()[1]}"))
        assert point.verdict == "stops"


def test_control_metadata_on_a_foreign_nosuid_mount_stops_engines(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        + """
from pathlib import Path
from made_up import setting
from daos_server.doctor import configuration
from daos_server.doctor.machine import Machine
asked = setting(Path(sys.argv[1]), more="control_metadata: {path: %s/mount/metadata}" % sys.argv[1])
print(*[(point.verdict, bool(point.advice)) for point in configuration.metadata(Machine(), asked)])
"""
    )
    (tmp_path / "mount").mkdir()
    inner = '/bin/mount -t ramfs -o nosuid none "$1/mount" && exec "$2" -c "$3" "$1"'
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", inner, "sh", str(tmp_path), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "('stops', True)"


def doctor_as(uid: int, *, as_json: bool) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path[:0] = {sys.path!r}\n" + (
        "from daos_server.cli.doctor import doctor\nfrom daos_server.cli.options import Invocation\n"
        f"invocation = Invocation(json={as_json})\ndoctor(invocation)\nsys.exit(invocation.exit_code)\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, user=uid, group=uid, extra_groups=[], check=False)


def test_the_whole_of_it_as_root_and_as_anybody() -> None:
    seen = {}
    for uid in (0, STRANGER):
        done = doctor_as(uid, as_json=True)
        answer = json.loads(done.stdout)
        findings = answer["response"]["findings"]
        stops = [point for point in findings if point["verdict"] == "stops"]
        assert done.returncode == (1 if stops else 0)
        assert [point for point in findings if "could not be checked" in point["found"]] == []
        assert [point for point in findings if point["verdict"] in ("stops", "warning") and not (point["why"] and point["advice"])] == []
        assert len({point["subject"] for point in findings}) == len(findings)
        seen[uid] = findings
    subjects = {uid: {point["subject"] for point in findings} for uid, findings in seen.items()}
    assert len(subjects[0] ^ subjects[STRANGER]) <= 2, "others see the same checks, if not the same answers"


def test_the_text_tells_anybody_what_only_root_sees() -> None:
    done = doctor_as(STRANGER, as_json=False)
    assert "run it again as root" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[-1].endswith("unknown.")


def test_what_others_may_not_list_is_unknown(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    lock_file(tree, "root")
    (tmp_path / "closed").mkdir(mode=0o700)
    for above in (tmp_path, *list(tmp_path.parents)[:2]):
        above.chmod(above.stat().st_mode | 0o011)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(STRANGER, STRANGER, STRANGER)
            os.setresuid(STRANGER, STRANGER, STRANGER)
            (folder,) = hugepage_files.folder(tree.machine, f"{tmp_path}/closed")
            (lock,) = spdk_locks.check(tree.machine, Setting(replace(installation(), account="no_such_account_")))
            status = 0 if (folder.verdict, lock.verdict) == ("unknown", "unknown") else 1
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_what_a_configuration_comes_to_is_read_from_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "none.yml"
    path.write_text("name: daos_server\n", encoding="ascii")
    config, _ = configuration.load(str(path), named=True)
    found = configuration.derived(config, ACCOUNT)
    assert found is not None
    assert found.hugepages is not None
    assert found.hugepages.page_kib == kernel_hugepages.default_size_kib()

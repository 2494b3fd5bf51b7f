# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``helper check`` on trees made right, and then wrong in one point each; as root, as the account and as anybody."""

from __future__ import annotations

import json
import os
import pwd
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from callers import ROOT as ROOT_CALLER
from callers import STRANGER as STRANGER_CALLER
from callers import Caller
from installed import Installation as Installed

from daos_bindings.linux import capabilities
from daos_pbin.bounding import HELPER_BOUNDING
from daos_server.doctor.finding import Finding
from daos_server.doctor.helper_program import policy
from daos_server.doctor.ownership import folders_above, tree, way_to
from daos_server.doctor.process import LIMIT_FLOORS, limits, this_process
from daos_server.helper_check import findings
from daos_server.installation import Installation

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, WORKER = "daemon", "bin"
"""Two system accounts that every distribution has, in place of ours, which need not exist here."""
STRANGER = 64321
INTERPRETER = os.path.realpath("/usr/bin/python3")

HELPER = f"""#!{sys.executable}
import os, sys
sys.path[:0] = {sys.path!r}
from daos_pbin import PROTOCOL_VERSION, VERSION, envelope
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode
def send(message):
    os.write(1, encode(message, ANSWER_LIMIT))
send(envelope.hello(PROTOCOL_VERSION, VERSION, ["Ping"]))
reader = FrameReader(REQUEST_LIMIT)
while data := os.read(0, 65536):
    for message in reader.feed(data):
        send(envelope.result(message["id"], {{"version": VERSION, "app_name": "daos_server_helper"}}))
"""
"""In place of the launcher: as the kernel ignores a script's setuid bit, it is whoever starts it."""


@pytest.fixture
def tree_of() -> Iterator[Installation]:
    """An installation that is right in every point, in a folder that root alone can change."""
    base = Path(tempfile.mkdtemp(prefix="daos-helper-check-", dir="/opt"))
    base.chmod(0o755)
    try:
        where = Installation.under(f"{base}/prefix", sysconfdir=f"{base}/etc", localstatedir=f"{base}/var")
        where = Installation(**{**vars(where), "account": ACCOUNT, "worker_account": WORKER})
        for folder in (f"{where.prefix}/bin", f"{where.helper_lib}/lib/package", f"{base}/etc"):
            os.makedirs(folder, mode=0o755)
        write(where.helper, HELPER)
        os.chown(where.helper, 0, pwd.getpwnam(ACCOUNT).pw_gid)
        chmod(where.helper, 0o4750)
        write(f"{where.helper_lib}/start.py", f"#!{INTERPRETER} -ISB\n")
        write(f"{where.helper_lib}/lib/package/module.py", "")
        for name, owner in (("account", ACCOUNT), ("worker", WORKER)):
            write(f"{where.helper_lib}/{name}", "")
            entry = pwd.getpwnam(owner)
            os.chown(f"{where.helper_lib}/{name}", entry.pw_uid, entry.pw_gid)
            chmod(f"{where.helper_lib}/{name}", 0)
        write(where.policy_file, 'mount_roots = ["/mnt/daos"]\n')
        yield where
    finally:
        shutil.rmtree(base)


def chmod(path: str, mode: int) -> None:
    Path(path).chmod(mode)


def write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="utf-8")
    chmod(path, 0o644)


def wrong(where: Installation) -> dict[str, Finding]:
    return {point.subject: point for point in findings(where) if point.verdict == "stops"}


def as_user(uid: int, where: Installation) -> dict[str, Finding]:
    """Return the findings of a process of another user."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            gid = pwd.getpwnam(ACCOUNT).pw_gid if uid == pwd.getpwnam(ACCOUNT).pw_uid else uid
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            with open(writing, "w", encoding="utf-8") as answer:
                json.dump([point.as_json() for point in findings(where)], answer)
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
    os.close(writing)
    with open(reading, encoding="utf-8") as answer:
        text = answer.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return {point["subject"]: Finding(**point) for point in json.loads(text)}


def test_a_right_installation_is_right_in_every_point(tree_of: Installation) -> None:
    found = {point.subject: point for point in findings(tree_of)}
    assert {subject for subject, point in found.items() if point.verdict != "ok"} <= {"seccomp"}
    assert found["answer of the helper"].found.startswith("version ")
    assert len(found) == len(findings(tree_of)), "two points have the same name"


def replace_by_link(path: str) -> None:
    os.rename(path, f"{path}2")
    os.symlink(f"{path}2", path)


def name_a_link(at: Installation) -> None:
    os.symlink(INTERPRETER, f"{at.prefix}/py")
    write(f"{at.helper_lib}/start.py", f"#!{at.prefix}/py\n")


def name_anothers(at: Installation) -> None:
    write(f"{at.prefix}/py", "#!/bin/sh\n")
    chmod(f"{at.prefix}/py", 0o755)
    os.chown(f"{at.prefix}/py", 1, -1)
    write(f"{at.helper_lib}/start.py", f"#!{at.prefix}/py\n")


Damage = Callable[[Installation], None]

DAMAGES: dict[str, tuple[Damage, str, str]] = {
    "helper missing": (lambda at: os.unlink(at.helper), "{helper}", "install"),
    "helper is a link": (lambda at: replace_by_link(at.helper), "{helper}", "link"),
    "mode without setuid": (lambda at: chmod(at.helper, 0o750), "mode of the helper", "chmod 4750"),
    "mode for all": (lambda at: chmod(at.helper, 0o4755), "mode of the helper", "chmod 4750"),
    "mode writable": (lambda at: chmod(at.helper, 0o4770), "mode of the helper", "chmod 4750"),
    "owner": (lambda at: os.chown(at.helper, 1, -1), "owner of the helper", "chown root:daemon"),
    "group": (lambda at: os.chown(at.helper, -1, 0), "owner of the helper", "chown root:daemon"),
    "folder of others": (lambda at: os.chown(f"{at.prefix}/bin", 1, -1), "folders above {helper}", "chown root"),
    "folder writable": (lambda at: chmod(at.prefix, 0o775), "folders above {helper}", "chmod go-w"),
    "start missing": (lambda at: os.unlink(f"{at.helper_lib}/start.py"), "{lib}/start.py", "install"),
    "start writable": (lambda at: chmod(f"{at.helper_lib}/start.py", 0o666), "{lib}/start.py", "chmod"),
    "library of others": (lambda at: os.chown(f"{at.helper_lib}/lib/package/module.py", 1, -1), "{lib}/lib", "chown -R"),
    "no account file": (lambda at: os.unlink(f"{at.helper_lib}/account"), "{lib}/account", "install"),
    "account file of others": (lambda at: os.chown(f"{at.helper_lib}/account", 0, 0), "{lib}/account", "chown daemon:"),
    "account file readable": (lambda at: chmod(f"{at.helper_lib}/account", 0o400), "{lib}/account", "chmod 0000"),
    "account file not empty": (lambda at: write(f"{at.helper_lib}/account", "x"), "{lib}/account", "chmod 0000"),
    "account file twice": (lambda at: os.link(f"{at.helper_lib}/account", f"{at.helper_lib}/again"), "{lib}/account", "chown"),
    "worker file of the account": (lambda at: os.chown(f"{at.helper_lib}/worker", 1, 1), "{lib}/worker", "chown bin:"),
    "policy of others": (lambda at: os.chown(at.policy_file, 1, -1), "policy {policy}", "chown root:root"),
    "policy writable": (lambda at: chmod(at.policy_file, 0o664), "policy {policy}", "chmod 0644"),
    "policy not TOML": (lambda at: write(at.policy_file, "mount_roots = [\n"), "policy {policy}", "correct"),
    "no interpreter named": (lambda at: write(f"{at.helper_lib}/start.py", "x\n"), "interpreter of the helper", "install"),
    "interpreter missing": (
        lambda at: write(f"{at.helper_lib}/start.py", f"#!{at.prefix}/python\n"),
        "folders above {prefix}/python",
        "install",
    ),
    "interpreter is a link": (lambda at: name_a_link(at), "folders above {prefix}/py", "install again, naming"),
    "interpreter of others": (lambda at: name_anothers(at), "{prefix}/py", "interpreter of the distribution"),
    "helper does not answer": (lambda at: write_program(at.helper, "exit 71"), "answer of the helper", ""),
}


def write_program(path: str, line: str) -> None:
    gid = os.stat(path).st_gid
    write(path, f"#!/bin/sh\n{line}\n")
    os.chown(path, 0, gid)
    chmod(path, 0o4750)


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_wrong_is_found_and_comes_with_what_to_do(name: str, tree_of: Installation) -> None:
    damage, subject, advice = DAMAGES[name]
    damage(tree_of)
    names = {"helper": tree_of.helper, "lib": tree_of.helper_lib, "policy": tree_of.policy_file, "prefix": tree_of.prefix}
    found = wrong(tree_of)
    point = found[subject.format_map(names)]
    assert advice in point.advice
    assert point.found
    others = [each for each in findings(tree_of) if each.verdict == "stops" and not each.advice]
    assert others == [], "something is wrong and nobody says what to do"


def test_without_any_of_it_there_is_one_thing_to_say(tree_of: Installation) -> None:
    os.unlink(tree_of.helper)
    shutil.rmtree(tree_of.helper_lib)
    found = wrong(tree_of)
    assert list(found) == ["helper"]
    assert "install" in found["helper"].advice


def test_after_the_advice_is_followed_all_is_right(tree_of: Installation) -> None:
    os.chown(tree_of.helper, 1, 1)
    chmod(tree_of.helper, 0o755)
    os.chown(f"{tree_of.helper_lib}/lib", 1, 1)
    chmod(tree_of.policy_file, 0o666)
    advices = {point.advice for point in wrong(tree_of).values() if point.subject != "answer of the helper"}
    for advice in advices:
        for command in advice.split(" && "):
            subprocess.run(command.split(), check=True, env={"PATH": "/usr/bin:/bin"})
    assert wrong(tree_of) == {}


def test_root_does_not_run_an_interpreter_or_helper_that_others_may_change(tree_of: Installation) -> None:
    marker = Path(tree_of.prefix) / "ran"
    write(f"{tree_of.prefix}/py", f"#!/bin/sh\ntouch {marker}\n")
    chmod(f"{tree_of.prefix}/py", 0o777)
    write(f"{tree_of.helper_lib}/start.py", f"#!{tree_of.prefix}/py\n")
    write_program(tree_of.helper, f"touch {marker}")
    os.chown(tree_of.helper, 1, -1)
    found = {point.subject: point for point in findings(tree_of)}
    assert found[f"version of {tree_of.prefix}/py"].verdict == "unknown"
    assert found["answer of the helper"].verdict == "unknown"
    assert "not asked" in found["answer of the helper"].found
    assert not marker.exists()


def test_the_account_may_ask_the_helper(tree_of: Installation) -> None:
    found = as_user(pwd.getpwnam(ACCOUNT).pw_uid, tree_of)
    assert found["mode of the helper"].verdict == "ok"
    assert found[f"{tree_of.helper_lib}/account"].verdict == "ok"
    assert "not asked" not in found["answer of the helper"].found


def test_anybody_may_look_and_is_told_what_could_not_be_seen(tree_of: Installation) -> None:
    chmod(os.path.dirname(tree_of.policy_file), 0o700)
    chmod(f"{tree_of.helper_lib}/lib/package", 0o700)
    found = as_user(STRANGER, tree_of)
    assert {subject for subject, point in found.items() if point.verdict == "stops"} == set()
    unknown = {subject for subject, point in found.items() if point.verdict == "unknown"} - {"seccomp"}
    assert unknown == {f"policy {tree_of.policy_file}", f"{tree_of.helper_lib}/lib", "answer of the helper"}
    assert "ask again as root" in found[f"policy {tree_of.policy_file}"].advice
    assert ACCOUNT in found["answer of the helper"].found


def test_no_policy_means_the_defaults(tree_of: Installation) -> None:
    os.unlink(tree_of.policy_file)
    assert policy(tree_of.policy_file).verdict == "ok"


def test_accounts_that_are_missing_root_or_one(tree_of: Installation) -> None:
    def having(account: str, worker: str) -> dict[str, Finding]:
        return wrong(Installation(**{**vars(tree_of), "account": account, "worker_account": worker}))

    assert "create" in having("no_such_account_", WORKER)["account no_such_account_"].advice
    assert "root" in having("root", WORKER)["account root"].advice
    assert "uid" in having(ACCOUNT, ACCOUNT)["the two accounts"].advice


def status(folder: Path, **fields: str) -> str:
    """A /proc/PID/status of this process with some fields changed."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    for name, value in fields.items():
        text = re.sub(rf"^{name}:.*$", f"{name}:\t{value}", text, flags=re.MULTILINE)
    (folder / "status").write_text(text, encoding="utf-8")
    return str(folder / "status")


def points(path: str, uid_map: str = "/proc/self/uid_map") -> dict[str, Finding]:
    return {point.subject: point for point in this_process(path, uid_map)}


def test_what_this_shell_hands_down(tmp_path: Path) -> None:
    blocked = points(status(tmp_path, NoNewPrivs="1"))["no_new_privs"]
    assert blocked.verdict == "stops"
    assert "NoNewPrivileges" in blocked.advice
    needed = capabilities.mask(HELPER_BOUNDING)
    for missing in sorted(HELPER_BOUNDING):
        held = needed & ~capabilities.mask({missing})
        point = points(status(tmp_path, CapBnd=f"{held:016x}"))["capability bounding set"]
        assert point.verdict == ("ok" if missing == "CAP_SYS_RESOURCE" else "stops")
        assert missing in point.found
    assert points(status(tmp_path, CapBnd=f"{needed:016x}"))["capability bounding set"].verdict == "ok"
    verdicts = {value: points(status(tmp_path, Seccomp=value))["seccomp"].verdict for value in "012"}
    assert verdicts == {"0": "ok", "1": "stops", "2": "unknown"}


def test_a_user_namespace_is_recognised(tmp_path: Path) -> None:
    mapped = tmp_path / "uid_map"
    mapped.write_text("         0       1000          1\n", encoding="ascii")
    assert points("/proc/self/status", str(mapped))["user namespace"].verdict == "stops"
    mapped.write_text("         0          0 4294967295\n", encoding="ascii")
    assert points("/proc/self/status", str(mapped))["user namespace"].verdict == "ok"
    assert points("/proc/self/status", str(tmp_path / "none"))["user namespace"].verdict == "stops"


def both_as(hard: dict[int, int]) -> Callable[[int], tuple[int, int]]:
    return lambda number: (hard[number], hard[number])


def test_limits_are_held_against_the_launchers_floors() -> None:
    for name, (number, floor) in LIMIT_FLOORS.items():
        for hard, enough in ((floor - 1, False), (floor, True), (resource.RLIM_INFINITY, True)):
            in_force = {other: resource.RLIM_INFINITY for other, _ in LIMIT_FLOORS.values()} | {number: hard}
            found = {each.subject: each for each in limits(both_as(in_force))}
            assert set(found) == {"hard limits" if enough else f"hard limit {name}"}
            assert enough or (found[f"hard limit {name}"].verdict == "stops" and str(floor) in found[f"hard limit {name}"].advice)


def test_floors_are_those_of_the_launcher() -> None:
    source = (ROOT / "helper" / "launcher" / "launcher.c").read_text(encoding="utf-8")
    units = {"mib": 1 << 20}
    in_c = {}
    for name, floor in re.findall(r"\{RLIMIT_(\w+), [^,]+, ([^,]+), \"RLIMIT_\w+\"\}", source):
        number, _, unit = floor.partition(" * ")
        whole, _, divisor = number.partition(" / ")
        in_c[name] = (units.get(whole) or int(whole)) * units.get(unit, 1) // int(divisor or 1)
    assert len(in_c) == source.count('"RLIMIT_')
    assert {name: floor for name, (_, floor) in LIMIT_FLOORS.items()} == {n: f for n, f in in_c.items() if f}


def test_mounts_that_do_not_reach_the_host_are_found() -> None:
    script = "from daos_server.doctor.process import mount_propagation as m; print(*[p.verdict for p in m()])"
    code = f"import sys; sys.path[:0] = {sys.path!r}; {script}"
    for propagation, verdict in (("slave", "stops"), ("private", "ok")):
        inner = ["/usr/bin/unshare", "--mount", "--propagation", propagation, sys.executable, "-c", code]
        # The shell stays in the outer namespace: without a peer a slave would be private.
        outer = ["/usr/bin/unshare", "--mount", "--propagation", "shared", "/bin/sh", "-c", '"$@"; exit $?', "sh"]
        done = subprocess.run([*outer, *inner], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == verdict


def test_mount_flags_are_read_from_the_mount(tmp_path: Path) -> None:
    script = "from daos_server.doctor.helper_program import mount_flags as m; print([p.found for p in m(sys.argv[1], setuid=True)])"
    code = f"import sys; sys.path[:0] = {sys.path!r}; {script}"
    mounting = '/bin/mount -t tmpfs -o nosuid,noexec none "$1" && exec "$2" -c "$3" "$1"'
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", mounting, "sh", str(tmp_path), sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{tmp_path} has noexec, nosuid" in done.stdout


def test_every_folder_on_the_way_is_walked_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("", encoding="ascii")
    (tmp_path / "there").symlink_to("real/../there2")
    (tmp_path / "there2").symlink_to(tmp_path / "real")
    folders, end = way_to(f"{tmp_path}/there/file")
    assert end == f"{tmp_path}/real/file"
    assert {str(tmp_path), f"{tmp_path}/real", "/"} <= set(folders)
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="symbolic links"):
        way_to(f"{tmp_path}/round/x")
    assert folders_above(f"{tmp_path}/round/x").verdict == "stops"
    assert folders_above(f"{tmp_path}/none/x").verdict == "stops"


def test_nobody_is_told_to_close_a_folder_that_is_meant_for_all(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "shared" / "file").write_text("", encoding="ascii")
    point = folders_above(f"{tmp_path}/shared/file")
    assert point.verdict == "stops"
    assert "chmod" not in point.advice
    assert "not below" in point.advice


def test_a_tree_names_the_first_that_is_wrong_and_counts_the_others(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("", encoding="ascii")
        (tmp_path / name).chmod(0o622)
    tmp_path.chmod(0o755)
    point = tree(str(tmp_path))
    assert point.verdict == "stops"
    assert "0622" in point.found
    assert "and 1 more" in point.found


def check(installation: Installed, caller: Caller) -> tuple[int, dict[str, dict[str, object]]]:
    done = caller.run([installation.server, "helper", "check", "--json"])
    answer = json.loads(done.stdout)
    return done.returncode, {point["subject"]: point for point in answer["response"]["findings"]}


def test_a_real_installation_is_right_for_root_and_for_the_account(installation: Installed) -> None:
    for caller in (ROOT_CALLER, installation.account):
        code, found = check(installation, caller)
        wrong_ones = {subject: point for subject, point in found.items() if point["verdict"] == "stops"}
        assert wrong_ones == {}
        assert code == 0
        assert found["answer of the helper"]["verdict"] == "ok"


def test_a_policy_that_the_helper_refuses_is_not_passed_as_right(installation: Installed) -> None:
    path, subject = Path(installation.layout.policy_file), "policy as the helper reads it"
    _, found = check(installation, ROOT_CALLER)
    assert found[subject]["found"] == "understood; set by the file: nothing"
    path.write_text("devices_deny = []\ndevice_allow = ['/dev/sdb']\n")
    path.chmod(0o644)
    try:
        code, found = check(installation, ROOT_CALLER)
    finally:
        path.unlink()
    assert code == 1
    assert found[f"policy {path}"]["verdict"] == found["answer of the helper"]["verdict"] == "ok"
    assert found[subject]["verdict"] == "stops"
    assert "'device_allow'" in str(found[subject]["found"])
    assert "devices_allow" in str(found[subject]["found"])


def test_a_real_installation_is_not_wrong_for_a_stranger(installation: Installed) -> None:
    code, found = check(installation, STRANGER_CALLER)
    assert {subject: point for subject, point in found.items() if point["verdict"] == "stops"} == {}
    assert code == 0
    assert found["answer of the helper"]["verdict"] == "unknown"


def test_a_real_installation_under_no_new_privs_is_wrong_and_says_so(installation: Installed) -> None:
    command = ["/usr/bin/setpriv", "--no-new-privs", str(installation.server), "helper", "check"]
    done = installation.account.run(command)
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert {line.split(":")[0] for line in lines if "STOPS" in line} == {"  STOPS   no_new_privs", "  STOPS   answer of the helper"}

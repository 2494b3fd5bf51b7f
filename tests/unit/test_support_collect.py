# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``support collect-log`` with real programs, files and folders."""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path

import pytest

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.cli.run import run
from daos_server.installation import Installation
from daos_server.support import collect, programs
from daos_server.support.folder import CUT, Folder
from daos_server.support.programs import Program, ProgramError, output_of

SH = "/bin/sh"


def script(text: str, deadline_s: float = 60, bad_news: int = 0) -> Program:
    return Program(name=SH, arguments=("-c", text), deadline_s=deadline_s, bad_news=bad_news)


# Programs


def test_a_program_is_found_in_fixed_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "tool").chmod(0o755)
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.find("tool") is None
    assert programs.find("tool", (str(tmp_path),)) == f"{tmp_path}/tool"
    assert programs.find("folder", (str(tmp_path),)) is None
    assert programs.find(f"{tmp_path}/tool") == f"{tmp_path}/tool"
    with pytest.raises(ProgramError, match="not installed"):
        list(output_of(Program(name="tool")))


def test_both_streams_are_kept_and_nothing_of_the_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "secret")
    assert list(output_of(script("echo out; echo err >&2; echo ${MINE-none}; read x || echo no input"))) == [
        b"out\n",
        b"err\n",
        b"none\n",
        b"no input\n",
    ]


@pytest.mark.parametrize(("text", "reason"), [("echo a; exit 3", "status 3"), ("echo a; kill -9 $$", "SIGKILL")])
def test_what_a_failed_program_printed_is_kept(text: str, reason: str) -> None:
    output = output_of(script(text))
    assert next(output) == b"a\n"
    with pytest.raises(ProgramError, match=reason):
        next(output)


def test_a_status_can_be_an_answer() -> None:
    assert list(output_of(script("echo bad; exit 1", bad_news=1))) == [b"bad\n"]


def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    os.mkfifo(tmp_path / "alive")
    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ProgramError, match=r"within 0\.5 s"):
        list(output_of(script(f"exec 9> {tmp_path}/alive; cat {tmp_path}/never & cat {tmp_path}/never", deadline_s=0.5)))
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # comes when the last of them is dead
    os.close(reader)


def test_an_endless_line_comes_in_pieces() -> None:
    pieces = list(output_of(script("head -c 200000 /dev/zero")))
    assert [len(piece) for piece in pieces] == [programs.LINE_LIMIT] * 3 + [200000 - 3 * programs.LINE_LIMIT]


# The folder


def test_the_folder_is_new_and_private(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "made"))
    folder.write("a/b/c.txt", [b"x\n"])
    folder.write("a/empty.txt", [])
    folder.close()
    assert (tmp_path / "made" / "a" / "b" / "c.txt").read_bytes() == b"x\n"
    modes = {path.relative_to(tmp_path).as_posix(): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"made": 0o700, "made/a": 0o700, "made/a/b": 0o700, "made/a/b/c.txt": 0o600, "made/a/empty.txt": 0o600}


@pytest.mark.parametrize("kind", ["folder", "file", "link", "orphan"])
def test_what_is_there_already_is_not_used(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    match kind:
        case "folder":
            path.mkdir()
        case "file":
            path.touch()
        case "link":
            path.symlink_to(tmp_path)
        case _:
            path = tmp_path / "none" / "made"
    with pytest.raises(Fault) as caught:
        Folder(str(path))
    assert caught.value.code == codes.SUPPORT_FOLDER_UNUSABLE


def test_nothing_in_it_is_followed_or_overwritten(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("old")
    folder = Folder(str(tmp_path / "made"))
    (tmp_path / "made" / "link").symlink_to(tmp_path)
    (tmp_path / "made" / "file").symlink_to(victim)
    for name in ("link/victim", "file"):
        with pytest.raises(OSError, match=r"Not a directory|File exists|Too many levels"):
            folder.write(name, [b"new"])
    folder.close()
    assert victim.read_text() == "old"


def test_a_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daos_server.support.folder.FILE_LIMIT", 10)
    folder = Folder(str(tmp_path / "made"))
    folder.write("long", [b"12345\n", b"78901\n", b"more\n"])
    folder.close()
    assert (tmp_path / "made" / "long").read_bytes() == b"12345\n" + CUT


def test_the_archive_takes_the_folders_place(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "made"))
    folder.write("a/b", [b"x\n"])
    path = folder.archive()
    folder.close()
    assert [each.name for each in tmp_path.iterdir()] == ["made.tar.gz"]
    assert os.stat(path).st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["made", "made/a", "made/a/b"]


def test_an_archive_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "made"))
    (tmp_path / "made.tar.gz").write_text("old")
    with pytest.raises(Fault) as caught:
        folder.archive()
    folder.close()
    assert caught.value.code == codes.SUPPORT_FOLDER_UNUSABLE
    assert (tmp_path / "made.tar.gz").read_text() == "old"
    assert (tmp_path / "made").is_dir()


# The command

CONFIG = """
provider: ofi+tcp
fabric_auth_key: swordfish
control_log_file: {folder}/control.log
helper_log_file: {folder}/helper.log
engines:
- targets: 2
  fabric_iface: lo
  fabric_iface_port: 31416
  log_file: {folder}/engine.log
  storage:
  - {{class: dcpm, scm_mount: /mnt/daos, scm_list: [/dev/pmem0]}}
"""
OWN = f"""#!{SH}
case "$*" in
*doctor*) echo '{{"response": "ill"}}'; exit 1 ;;
*topology*) exit 2 ;;
*) echo "$* swordfish" ;;
esac
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A configuration with logs, and in place of the installed program a script that says what it was asked."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "daos_server").write_text(OWN)
    (tmp_path / "bin" / "daos_server").chmod(0o755)
    (tmp_path / "etc" / "daos_server.yml").write_text(CONFIG.format(folder=tmp_path))
    (tmp_path / "control.log").write_text(
        "2026-01-01 08:00:00 early\n2026-01-02 08:00:00 swordfish used\n  more\n2026-01-03 08:00:00 late\n"
    )
    (tmp_path / "engine.log").write_text("01/02-08:00:00.00 engine\n")
    (tmp_path / "engine.log.old").write_text("01/01-08:00:00.00 engine before\n")
    return tmp_path


def collected(site: Path, *options: str) -> tuple[int, Path]:
    installation = Installation.under(str(site), sysconfdir=str(site / "etc"))
    target = site / "target"
    return run(["support", "collect-log", "-t", str(target), *options], installation), target


def test_everything_is_collected_in_one_folder(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, target = collected(site)
    out = capsys.readouterr().out
    assert code == 0
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert {"summary.txt", "system/df.txt", "system/mount.txt", "system/printenv.txt"} <= names
    assert {name for name in names if name.startswith(("daos/", "logs/"))} == {
        "daos/version.txt",
        "daos/doctor.json",
        "daos/config.json",
        "daos/daos_server.yml",
        "logs/control/control.log",
        "logs/engine0/engine.log",
        "logs/engine0/engine.log.old",
    }
    summary = (target / "summary.txt").read_text()
    assert "failed     daos/topology.txt: daos_server dump-topology: it ended with status 2" in summary
    assert "failed     logs/helper/helper.log: " in summary
    assert "failed     daos/metrics.0.csv: daos_metrics -S 0 --csv: it is not installed" in summary
    assert "collecting df -h\n" in out
    assert re.search(r"^[0-9]+ collected, [0-9]+ failed: " + str(target), out, re.MULTILINE)
    assert (target / "daos" / "config.json").read_text() == f"config show {site}/etc/daos_server.yml --json (hidden)\n"
    for path in target.rglob("*"):
        assert path.is_dir() or b"swordfish" not in path.read_bytes()


def test_only_logs_of_a_type_and_a_time(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, target = collected(site, "-e", "control", "-D", "2026-01-02", "-F", "2026-01-02", "--json")
    assert code == 0
    response = json.loads(capsys.readouterr().out)["response"]
    assert response == {"folder": str(target), "archive": None, "collected": ["logs/control/control.log"], "failed": []}
    assert (target / "logs" / "control" / "control.log").read_text() == "2026-01-02 08:00:00 (hidden) used\n  more\n"


def test_the_archive_holds_it_all(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, target = collected(site, "-z", "-j", "-e", "server")
    assert code == 0
    response = json.loads(capsys.readouterr().out)["response"]
    assert (response["folder"], response["archive"]) == (None, f"{target}.tar.gz")
    assert not target.exists()
    with tarfile.open(f"{target}.tar.gz") as archive:
        assert {"target/logs/engine0/engine.log", "target/summary.txt"} <= set(archive.getnames())


def test_the_first_failure_stops_it_if_asked(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, target = collected(site, "-s", "-e", "admin,control")
    assert code == 1
    err = capsys.readouterr().err
    assert f"code = {codes.SUPPORT_STOPPED} " in err
    assert "helper.log failed: No such file or directory" in err
    assert "failed     logs/helper/helper.log" in (target / "summary.txt").read_text()


def test_a_signal_leaves_what_was_collected(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(collect, "text_of", interrupted)
    code, target = collected(site, "--json")
    assert code == 1
    printed = capsys.readouterr()
    assert printed.err.endswith(f"NOTICE: stopped; what was collected so far is in {target}\n")
    assert json.loads(printed.out)["error"] == f"stopped; what was collected so far is in {target}"
    assert (target / "system" / "df.txt").is_file()


def test_another_folder_is_collected_without_following_links(site: Path) -> None:
    extra = site / "extra"
    (extra / "below").mkdir(parents=True)
    (extra / "below" / "file").write_text("password=swordfish\n")
    (extra / "link").symlink_to("/etc/hostname")
    (extra / "two\nlines \udcff").touch()
    (extra / "folder").symlink_to("/etc")
    os.mkfifo(extra / "fifo")
    code, target = collected(site, "-c", str(extra), "-e", "server")
    assert code == 0
    assert (target / "extra" / "below" / "file").read_text() == "password=(hidden)\n"
    assert {path.name for path in (target / "extra").iterdir()} == {"below", "two\nlines \udcff"}
    summary = (target / "summary.txt").read_text()
    assert "collected  extra/two\\nlines \\udcff: " in summary
    assert "failed     extra/link: " in summary
    assert "failed     extra/fifo: " in summary
    assert "it is no regular file" in summary


def test_the_collection_does_not_collect_itself(site: Path) -> None:
    code, target = collected(site, "-c", str(site), "-e", "admin")
    assert code == 0
    assert {"etc", "bin", "control.log"} <= {path.name for path in (target / "extra").iterdir()}
    assert not (target / "extra" / "target").exists()


def test_a_folder_that_is_none_is_refused_before_anything_is_made(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, target = collected(site, "-c", f"{site}/nowhere")
    assert code == 1
    assert f"code = {codes.SUPPORT_FOLDER_UNUSABLE} " in capsys.readouterr().err
    assert not target.exists()


def test_a_folder_with_too_much_in_it_is_refused(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "EXTRA_LIMIT", 1)
    (site / "extra").mkdir()
    (site / "extra" / "1").touch()
    (site / "extra" / "2").touch()
    code, _ = collected(site, "-c", f"{site}/extra", "-e", "admin")
    assert code == 1


@pytest.mark.parametrize("text", [None, "nonsense: [", "nonsense: 1\ncontrol_log_file: {folder}/control.log\n"])
def test_a_broken_configuration_is_no_reason_to_collect_nothing(text: str | None, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = site / "etc" / "daos_server.yml"
    if text is None:
        config.unlink()
    else:
        config.write_text(text.format(folder=site) if "{folder}" in text else text)
    code, target = collected(site, "--json")
    assert code == 0
    printed = capsys.readouterr()
    assert "NOTICE: " in printed.err
    names = json.loads(printed.out)["response"]["collected"]
    assert "system/df.txt" in names
    assert ("daos/daos_server.yml" in names) is (text is not None)
    assert ("logs/control/control.log" in names) is (text is not None and "control_log_file" in text)
    assert target.is_dir()


def test_the_configuration_can_be_left_out(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = collected(site, "--ignore-config", "--json")
    assert code == 0
    names = json.loads(capsys.readouterr().out)["response"]["collected"]
    assert not [name for name in names if name.startswith("logs/") or "config" in name or name.endswith(".yml")]


def test_the_default_folder_has_the_time_in_its_name(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(site))
    installation = Installation.under(str(site), sysconfdir=str(site / "etc"))
    assert run(["support", "collect-log", "-e", "control", "-j"], installation) == 0
    folder = json.loads(capsys.readouterr().out)["response"]["folder"]
    stamp = r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[-+][0-9]{2}:[0-9]{2})"
    assert re.fullmatch(rf"{re.escape(str(site))}/daos_support_server_logs_{stamp}", folder)

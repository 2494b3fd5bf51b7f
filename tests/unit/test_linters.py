# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The linters, run as tests; and the few rules of this tree that no linter knows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from daos_install.launcher import LAUNCHER, LauncherPaths, compile_launcher
from daos_install.layout import SOURCE

SPDX = "SPDX-License-Identifier: BSD-2-Clause-Patent"
SOURCES = (".py", ".c", ".h", ".sh", ".toml", ".yml", ".conf", ".in", ".service", ".rules")
SOURCE_NAMES = ("Makefile", "run", ".gitignore")
FOREIGN = ("tests/data/config/",)
"""Files that are somebody else's, byte for byte."""
LAUNCHER_LINES = 200
ROOMS = {
    "pbin": {"daos_pbin", "msgpack", "msgspec"},
    "bindings": {"daos_pbin", "daos_bindings", "msgspec", "cffi", "_cffi_backend", "prctl"},
    "helper": {"daos_pbin", "daos_bindings", "daos_helper", "msgpack", "msgspec", "prctl"},
    "server": {"daos_pbin", "daos_bindings", "daos_server", "msgspec", "pydantic", "pydantic_core", "typer", "pyroute2", "rich", "yaml"},
}
"""What each room may import besides the standard library, packages from outside included, which import-linter cannot say."""
PRIVILEGED_BINDINGS = {"syscalls", "signatures"}
"""Modules of ``daos_bindings.linux`` that the server may not name: they change the machine, or parse hostile bytes."""


def tracked() -> list[Path]:
    """Return the files of the tree, new ones included, that are ours to keep in order."""
    git = ["/usr/bin/git", "-C", str(SOURCE), "-c", f"safe.directory={SOURCE}"]
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this is no git work tree, or git is missing: which files are ours is unknown")
    names = [name for name in listing.split("\0") if name and not name.startswith(FOREIGN)]
    return [path for name in names if (path := SOURCE / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    """Return every text file with its content."""
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            found.append((path.relative_to(SOURCE), content.decode("utf-8")))
    return found


def lint(*command: str) -> None:
    """Run a linter of this environment over the tree."""
    program = f"{sysconfig.get_path('scripts')}/{command[0]}"
    environment = {**os.environ, "PYTHONPATH": ":".join(str(SOURCE / room) for room in ROOMS)}
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, cwd=SOURCE, env=environment)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff() -> None:
    lint("ruff", "check", "--quiet", "--output-format", "concise", ".")


def test_mypy_strict() -> None:
    lint("mypy", "--no-error-summary")


def test_import_rules() -> None:
    lint("lint-imports", "--no-cache")


def imported(tree: ast.Module) -> set[str]:
    """Return the dotted names that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules(room: str) -> list[Path]:
    return sorted((SOURCE / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_what_they_may(room: str) -> None:
    assert modules(room)
    for path in modules(room):
        names = {name.partition(".")[0] for name in imported(ast.parse(path.read_bytes()))}
        assert names - sys.stdlib_module_names <= ROOMS[room], path


def test_server_names_only_the_read_only_bindings() -> None:
    for path in modules("server"):
        names = {tuple(name.split(".")) for name in imported(ast.parse(path.read_bytes()))}
        used = {name[2] for name in names if name[:2] == ("daos_bindings", "linux") and len(name) > 2}
        assert not used & PRIVILEGED_BINDINGS, path


def test_launcher_passes_the_analyser(tmp_path: Path) -> None:
    paths = LauncherPaths(sys.executable, "/opt/start.py", "/opt/account", "/opt/worker", "/opt/launcher", "/opt/log")
    compile_launcher(paths, tmp_path / "launcher", extra=("-fanalyzer",))
    assert (tmp_path / "launcher").exists()


def test_launcher_is_short_enough_to_be_read() -> None:
    assert len(LAUNCHER.read_text(encoding="utf-8").splitlines()) < LAUNCHER_LINES


def test_every_source_names_its_licence() -> None:
    sources = [(path, text) for path, text in texts() if path.suffix in SOURCES or path.name in SOURCE_NAMES]
    assert len(sources) > 10
    assert [str(path) for path, text in sources if text and SPDX not in "\n".join(text.splitlines()[:2])] == []


def test_no_tabs_no_trailing_space_one_newline_at_the_end() -> None:
    wrong = []
    for path, text in texts():
        tabs = path.name not in ("Makefile",) and "\t" in text
        if tabs or re.search(r"[ \t]+$", text, re.MULTILINE) or "\r" in text or (text and not text.endswith("\n")) or text.endswith("\n\n"):
            wrong.append(str(path))
    assert wrong == []


def test_lock_files_name_no_place() -> None:
    locks = sorted((SOURCE / "requirements").glob("*.txt"))
    assert {path.stem for path in locks} == {"build", "dev", "helper", "server"}
    for path in locks:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"^--|@ ", text, re.MULTILINE)
        pinned = [line for line in text.splitlines() if line and line[0].isalpha()]
        assert pinned
        assert all("==" in line and line.endswith("\\") for line in pinned)


def test_helper_lock_is_part_of_the_others() -> None:
    def versions(name: str) -> set[str]:
        lines = (SOURCE / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        return {line.split()[0] for line in lines if line and line[0].isalpha()}

    assert versions("helper") <= versions("server") <= versions("dev")
    assert versions("build") <= versions("dev")

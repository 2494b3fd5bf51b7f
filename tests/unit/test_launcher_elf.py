# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The launcher's program file: hardened as far as this compiler can, which is read off its headers; and found clean by analysers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import elf
import pytest
from daos_install.launcher import OPTIONAL, LauncherPaths, bounding_header, compile_launcher, supported

GCC = Path("/usr/bin/gcc")
CPPCHECK = Path("/usr/bin/cppcheck")
SINCE = {"-ftrivial-auto-var-init=zero": 12, "-D_FORTIFY_SOURCE=3": 12, "-fstrict-flex-arrays=3": 13}
"""The first gcc that has a flag; the others are older than any that compiles this."""
PATHS = LauncherPaths(sys.executable, "/opt/start.py", "/opt/account", "/opt/worker", "/opt/launcher", "/opt/log")

pytestmark = pytest.mark.skipif(not GCC.exists(), reason="no gcc: the launcher cannot be compiled")


def compiled(folder: Path, *extra: str) -> Path:
    compile_launcher(PATHS, folder / "launcher", extra=extra)
    return folder / "launcher"


def test_launcher_is_hardened(tmp_path: Path) -> None:
    assert elf.weaknesses(compiled(tmp_path)) == []


@pytest.mark.parametrize(
    ("extra", "weakness"),
    [
        (("-fno-pie", "-no-pie"), "not position-independent"),
        (("-static",), "static"),
        (("-Wl,-z,execstack",), "a stack that can be executed"),
        (("-Wl,-z,norelro",), "no part that becomes read-only"),
        (("-Wl,-z,lazy",), "functions bound when they are first called"),
        (("-Wl,-rpath,/tmp",), "a library path of its own"),
        (("-Wl,--no-as-needed", "-lm"), "libraries ['libm.so.6']"),
        (("-fno-stack-protector",), "no guard of the stack"),
        (("-U_FORTIFY_SOURCE",), "no fortified functions"),
        (("-Wl,-z,noseparate-code",), "headers that can be executed"),
    ],
)  # fmt: skip
def test_a_flag_that_is_missing_is_seen(tmp_path: Path, extra: tuple[str, ...], weakness: str) -> None:
    assert weakness in elf.weaknesses(compiled(tmp_path, *extra))


def test_a_function_that_reads_the_environment_is_seen(tmp_path: Path) -> None:
    source = tmp_path / "curious.c"
    source.write_text('#include "launcher.c"\n#include <stdlib.h>\nchar *curious(void);\nchar *curious(void) { return getenv("A"); }\n')
    compile_launcher(PATHS, tmp_path / "launcher", source=source)
    assert elf.weaknesses(tmp_path / "launcher") == ["functions ['getenv']"]


def test_every_flag_that_this_compiler_has_is_used() -> None:
    version = int(subprocess.run([GCC, "-dumpversion"], capture_output=True, text=True, check=True).stdout.split(".")[0])
    chosen = supported(str(GCC))
    for group in OPTIONAL:
        assert group[0] in chosen or version < SINCE.get(group[0], 0) or group[-1] in chosen, group


def test_launcher_passes_cppcheck(tmp_path: Path) -> None:
    if not CPPCHECK.exists():
        pytest.skip("no cppcheck: 'make deps-tests' installs it")
    (tmp_path / "bounding.h").write_text(bounding_header(), encoding="ascii")
    source = Path(elf.__file__).parents[2] / "helper" / "launcher" / "launcher.c"
    checks = ["--enable=warning,style,performance,portability", "--inconclusive", "--std=c11", "--error-exitcode=1", "--quiet"]
    command = [str(CPPCHECK), *checks, "--suppress=missingIncludeSystem", f"-I{tmp_path}", *PATHS.macros(), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

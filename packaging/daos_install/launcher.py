# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Compiles the setuid launcher with its paths, the hardening flags that this compiler has, and the generated bounding set."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from daos_install.errors import InstallError
from daos_install.layout import SOURCE

LAUNCHER = SOURCE / "helper" / "launcher" / "launcher.c"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wvla", "-Wformat=2", "-Werror")
HARDENING = (
    "-std=gnu11",
    "-O2",
    "-fPIE",
    "-pie",  # not static: a corrected libc reaches it at once, and the loader clears what AT_SECURE forbids
    "-fstack-protector-all",
    "-fno-strict-aliasing",
    "-fno-strict-overflow",
    "-fno-delete-null-pointer-checks",
    "-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-z,text",
    "-U_FORTIFY_SOURCE",  # Ubuntu presets it, and a second value would be a warning
)
OPTIONAL = (
    ("-D_FORTIFY_SOURCE=3", "-D_FORTIFY_SOURCE=2"),
    ("-fcf-protection=full", "-mbranch-protection=standard"),
    ("-fstack-clash-protection",),
    ("-ftrivial-auto-var-init=zero",),
    ("-fzero-call-used-regs=used-gpr",),
    ("-fstrict-flex-arrays=3",),
)
"""Of each group, the first that the compiler takes."""

LAST_WORDS = 30
"""Lines of a failed program's output that are shown."""


@dataclass(frozen=True)
class LauncherPaths:
    """What is compiled in: absolute paths of the installed system."""

    interpreter: str
    start_file: str
    account_file: str
    worker_file: str
    launcher: str
    refusals_file: str

    def macros(self) -> list[str]:
        """Return the compiler's -D arguments."""
        values = {
            "INTERPRETER": self.interpreter,
            "START_FILE": self.start_file,
            "ACCOUNT_FILE": self.account_file,
            "WORKER_FILE": self.worker_file,
            "SELF_FILE": self.launcher,
            "REFUSALS_FILE": self.refusals_file,
        }
        return [f'-D{name}="{value}"' for name, value in values.items()]


def compile_launcher(
    paths: LauncherPaths, output: Path, *, extra: tuple[str, ...] = (), compiler: str = "/usr/bin/gcc", source: Path = LAUNCHER
) -> None:
    """Compile the launcher to ``output``.

    :param extra: further compiler arguments, such as ``-fanalyzer``.
    :param source: the file to compile: for tests, one that includes the launcher.
    :raises InstallError: with the compiler's own words.
    """
    with tempfile.TemporaryDirectory(prefix="daos-launcher-") as folder:
        (Path(folder) / "bounding.h").write_text(bounding_header(), encoding="ascii")
        flags = [*HARDENING, *supported(compiler), *WARNINGS, *extra]
        run([compiler, *flags, f"-I{folder}", f"-I{LAUNCHER.parent}", *paths.macros(), str(source), "-o", str(output)])


def bounding_header() -> str:
    """Return the header that the privilege table gives."""
    return run([sys.executable, "-I", "-S", "-B", str(SOURCE / "packaging" / "generate_bounding.py")])


@functools.cache
def supported(compiler: str) -> tuple[str, ...]:
    """Return the first flag of each optional group that the compiler takes without a warning."""
    with tempfile.TemporaryDirectory(prefix="daos-probe-") as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text("int main(void) { return 0; }\n", encoding="ascii")

        def takes(flag: str) -> bool:
            command = [compiler, "-O2", "-Werror", flag, str(probe), "-o", f"{folder}/probe"]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        return tuple(flag for group in OPTIONAL for flag in [next(filter(takes, group), "")] if flag)


def run(command: list[str], *, folder: Path | None = None) -> str:
    """Run a program of the build and return what it prints.

    :param folder: its working directory; ours if left out.
    :raises InstallError: if it fails, with its own words.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, stdin=subprocess.DEVNULL).stdout
    except FileNotFoundError as error:
        raise InstallError(f"{command[0]} is missing: run 'make deps', or install the C compiler") from error
    except subprocess.CalledProcessError as error:
        words = "\n".join((error.stderr or error.stdout).splitlines()[-LAST_WORDS:])
        raise InstallError(f"{command[0]} {' '.join(command[1:4])} failed:\n{words}") from error

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What takes time, done once: each stage is a folder in build/ named after the hash of everything that goes into it.

A stage is made under a temporary name and renamed when it is complete, so a killed install leaves nothing half done that
would be taken for whole.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daos_install.interpreter import Interpreter
from daos_install.launcher import run
from daos_install.layout import SOURCE

RECIPE = "1"
"""Raised when this module makes something else of the same inputs."""

PACKAGE_FOLDERS = ("pbin", "bindings", "helper", "server")
BUILD_ONLY = ("cffi", "pycparser", "bin", "share", "include")
"""In a library folder, what only builds need: compiled extensions use _cffi_backend, never cffi."""
HELPER_EXTRA = ("typing_extensions.py",)
TEST_FOLDERS = ("tests", "test", "testing")


@dataclass(frozen=True)
class Stages:
    """Folders of the finished stages.

    :param helper_libs: what the helper depends on.
    :param server_libs: what the server depends on.
    :param ours: our own four packages.
    """

    helper_libs: Path
    server_libs: Path
    ours: Path


def build(interpreter: Interpreter, folder: Path, say: Callable[[str], None]) -> Stages:
    """Build, or find built, everything that is installed but the launcher.

    :param folder: where stages are kept between installs.
    :param say: told what is being done.
    :raises InstallError: if a program of the build fails.
    """
    maker = Maker(interpreter, folder, say)
    venv = maker.stage("venv", [requirement("build")], "build tools", maker.make_venv)
    helper = maker.stage(
        "helper-libs",
        [requirement("build"), requirement("helper")],
        "the helper's libraries",
        lambda to: maker.make_libs(venv, to, "helper"),
    )
    server = maker.stage(
        "server-libs",
        [requirement("build"), requirement("server")],
        "the server's libraries",
        lambda to: maker.make_libs(venv, to, "server"),
    )
    system = spdk()
    if not system:
        say("without SPDK, which pkg-config does not find (docs/spdk.md)")
    ours = maker.stage("ours", [requirement("build"), *own_sources()], "our packages", lambda to: maker.make_ours(venv, to), system)
    return Stages(helper, server, ours)


def requirement(name: str) -> Path:
    """Return a lock file."""
    return SOURCE / "requirements" / f"{name}.txt"


def spdk() -> str:
    """Return what changes when SPDK's development files come, go or change; empty if there are none to compile in."""
    command = ["pkg-config", "--modversion", "--cflags", "--libs", "spdk_nvme", "spdk_env_dpdk"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def own_sources() -> list[Path]:
    """Return every file that our packages are built from."""
    found = [path for name in PACKAGE_FOLDERS for path in (SOURCE / name).rglob("*") if path.name == "py.typed" or path.suffix == ".py"]
    return [*(SOURCE / name for name in ("LICENSE", "pyproject.toml", "setup.py")), *sorted(found)]


class Maker:
    """Makes stages for one interpreter."""

    def __init__(self, interpreter: Interpreter, folder: Path, say: Callable[[str], None]) -> None:
        self.interpreter = interpreter
        self.folder = folder
        self.say = say

    def stage(self, name: str, inputs: list[Path], shown: str, make: Callable[[Path], None], system: str = "") -> Path:
        """Return the finished stage of these inputs, made now if it is not there; older ones of that name go.

        :param system: what else it depends on, from outside the source tree.
        """
        digest = hashlib.sha256(f"{RECIPE}\0{self.interpreter.path}\0{self.build_of_interpreter()}\0{self.folder}\0{system}".encode())
        for path in inputs:
            digest.update(f"\0{path.relative_to(SOURCE)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
        done = self.folder / f"{name}-{digest.hexdigest()[:16]}"
        if done.is_dir():
            return done
        self.say(f"building {shown}")
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob(f"{name}-*"):
            shutil.rmtree(stale)
        making = self.folder / f"{name}-making"
        make(making)  # an environment's scripts do not survive the rename; only its bin/python is used
        making.rename(done)
        return done

    def build_of_interpreter(self) -> str:
        """Return what changes when the distribution replaces the interpreter."""
        found = Path(self.interpreter.path).stat()
        return f"{found.st_size}.{found.st_mtime_ns}"

    def make_venv(self, to: Path) -> None:
        """Make the environment that builds the rest."""
        run([self.interpreter.path, "-I", "-m", "venv", str(to)])
        self.pip(to, ["--requirement", str(requirement("build"))])

    def make_libs(self, venv: Path, to: Path, name: str) -> None:
        """Install the dependencies of one program into a folder of their own, without what only builds and tests need."""
        self.pip(venv, ["--no-build-isolation", "--no-compile", "--target", str(to), "--requirement", str(requirement(name))])
        trim(to, (*BUILD_ONLY, *(HELPER_EXTRA if name == "helper" else ())))
        self.precompile(to)

    def make_ours(self, venv: Path, to: Path) -> None:
        """Build our packages, C extensions included, from a copy of the sources, so that nothing is written beside them."""
        source = to.with_name("source")
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        for path in own_sources():
            copied = source / path.relative_to(SOURCE)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)
        # Not isolated: setup.py's own folder, its working directory, is where setuptools looks for the sources.
        run([str(venv / "bin" / "python"), "setup.py", "--quiet", "build", "--build-base", "build", "--build-lib", str(to)], folder=source)
        shutil.rmtree(source)
        for path in to.rglob("_build_*.py"):
            path.unlink()
        self.precompile(to)

    def pip(self, venv: Path, arguments: list[str]) -> None:
        """Install with the environment's pip, every file checked against the lock's hashes."""
        run(
            [
                str(venv / "bin" / "python"),
                "-I",
                "-m",
                "pip",
                "--disable-pip-version-check",
                "--no-input",
                "install",
                "-qq",
                "--require-hashes",
                *arguments,
            ]
        )

    def precompile(self, folder: Path) -> None:
        """Compile to .pyc files that are never compared with their sources: only root can change either."""
        run(
            [
                self.interpreter.path,
                "-I",
                "-m",
                "compileall",
                "-q",
                "-j",
                "2",
                "--invalidation-mode",
                "unchecked-hash",
                "-s",
                str(folder),
                str(folder),
            ]
        )


def trim(folder: Path, names: tuple[str, ...]) -> None:
    """Remove named entries, metadata, type stubs and tests from a library folder."""
    for name in names:
        discard(folder / name)
    for path in [*folder.glob("*.dist-info"), *folder.rglob("*.pyi")]:
        discard(path)
    for name in TEST_FOLDERS:
        for path in folder.glob(f"*/{name}"):
            discard(path)


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

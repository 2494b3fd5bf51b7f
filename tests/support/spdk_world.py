# SPDX-License-Identifier: BSD-2-Clause-Patent
"""SPDK for tests: a stand-in that our own builder compiles in, and processes that call it, one for each call as in the helper."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
STANDIN = Path(__file__).parent / "spdk_standin"
BUILDER = SOURCE / "bindings" / "daos_bindings" / "_build_spdk.py"
HEADERS = ("env", "log", "nvme", "version", "vmd")
VERSIONS = {"spdk_nvme": "14.0", "spdk_env_dpdk": "15.0", "spdk_vmd": "6.0"}

BUILD = """
import runpy, sys
found = runpy.run_path(sys.argv[1])
if found["MISSING"]:
    sys.exit(found["MISSING"])
found["ffibuilder"].compile(tmpdir=sys.argv[2])
"""

CALL = """
import json, os, sys, types
import daos_bindings
daos_bindings.__path__.insert(0, sys.argv[1])
from daos_pbin.faults import Fault
import msgspec

def said(value):
    return {"code": value.code, "text": value.description}

names = {"encode": lambda value: msgspec.to_builtins(value, enc_hook=said)}
try:
    exec(sys.argv[2], names)
    found = {"value": names["encode"](names["value"])}
except Fault as fault:
    found = {"fault": said(fault)}
with os.fdopen(int(sys.argv[3]), "w") as answer:
    json.dump(found, answer)
"""

QUICK = """
from daos_bindings.spdk import tasks
class Clock:
    # A second between two looks, so that no test waits for a deadline.
    now = 0.0
    def monotonic(self):
        self.now += 1.0
        return self.now
    def sleep(self, seconds):
        pass
tasks.time = Clock()
"""
"""Makes deadlines pass at once; before the code of a call."""


def pkg_config(folder: Path, versions: dict[str, str], libraries: Path) -> dict[str, str]:
    """Write pkg-config's files about the stand-in; return the environment in which there are no others."""
    for name, version in versions.items():
        text = f"Name: {name}\nDescription: stand-in\nVersion: {version}\nCflags: -I{folder}/include -I{STANDIN}\n"
        (folder / f"{name}.pc").write_text(f"{text}Libs: -L{libraries} -l{name}\n")
    return {**os.environ, "PKG_CONFIG_LIBDIR": str(folder), "PKG_CONFIG_PATH": ""}


def make_libraries(folder: Path, *, shared: bool) -> Path:
    """Compile the stand-in as SPDK's libraries: static archives, or shared ones."""
    (folder / "include" / "spdk").mkdir(parents=True)
    for name in HEADERS:
        more = "int spdk_vmd_init(void);\n" if name == "vmd" else ""
        (folder / "include" / "spdk" / f"{name}.h").write_text(f'#include "standin.h"\n{more}')
    sources = {"spdk_nvme": STANDIN / "standin.c", "spdk_env_dpdk": STANDIN / "driver.c", "spdk_vmd": None}
    for name, source in sources.items():
        given = ["-x", "c", "/dev/null" if source is None else str(source)]
        needs = ["-L.", "-lspdk_nvme"] if shared and name != "spdk_nvme" else []
        made = f"lib{name}.so" if shared else f"{name}.o"
        how = ["-shared", "-Wl,--no-as-needed"] if shared else ["-c"]
        run(["gcc", "-fPIC", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", *how, "-o", made, *given, "-x", "none", *needs], folder)
        if not shared:
            run(["ar", "rcs", f"lib{name}.a", made], folder)
    return folder


def run(command: list[str], folder: Path) -> None:
    """Run a program of the build."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr}")


@dataclass(frozen=True)
class Spdk:
    """A compiled ``_spdk``.

    :param package: the folder that it is in.
    :param log: where the stand-in writes its calls.
    """

    package: Path
    log: Path

    def call(self, code: str, **environment: str) -> tuple[dict[str, object], list[str]]:
        """Run code, which puts something into ``value``, in a process that has SPDK.

        :return: ``{"value": ...}`` or ``{"fault": {"code", "text"}}``, and the stand-in's log.
        """
        self.log.write_text("")
        answer, answer_end = os.pipe()
        try:
            done = subprocess.run(
                [sys.executable, "-B", "-c", CALL, str(self.package), code, str(answer_end)],
                env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "STANDIN_LOG": str(self.log), **environment},
                pass_fds=(answer_end,),
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.close(answer_end)
            with os.fdopen(answer) as file:
                text = file.read()
        if done.returncode:
            raise RuntimeError(f"exit status {done.returncode}: {done.stderr}")
        return json.loads(text), self.log.read_text().splitlines()


def compile_in(folder: Path, environment: dict[str, str]) -> Spdk:
    """Build ``_spdk`` with our builder.

    :raises RuntimeError: with its words, if it finds no SPDK.
    """
    command = [sys.executable, "-B", "-c", BUILD, str(BUILDER), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Spdk(folder / "daos_bindings", folder / "calls.log")

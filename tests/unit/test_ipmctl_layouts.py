# SPDX-License-Identifier: BSD-2-Clause-Patent
"""libipmctl's structures, functions and numbers, as we have them, against the distribution's header."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pmem_world import HEADER

from daos_bindings._build_ipmctl import API
from daos_bindings._ipmctl import ffi
from daos_bindings.ipmctl import firmware, library, memory, raw
from daos_pbin.pmem import MODULES_LIMIT

pytestmark = pytest.mark.unit

STRUCTURES = ("device_discovery", "device_status", "region", "config_goal_input", "config_goal", "device_fw_info")
FUNCTIONS = [line.removeprefix("int ") for line in API.splitlines() if line.startswith("int nvm_")]
NUMBERS = {
    "NVM_SUCCESS": 0,
    "NVM_SUCCESS_FW_RESET_REQUIRED": 1,
    "NVM_ERR_INVALID_PERMISSIONS": raw.INVALID_PERMISSIONS,
    "NVM_ERR_INIT_FAILED_NO_MODULES_FOUND": raw.NO_MODULES,
    "NVM_ERR_NO_USABLE_DIMMS": 18,
    "NVM_ERR_CREATE_GOAL_NOT_ALLOWED": 36,
    "NVM_ERR_DUMP_FILE_OPERATION_FAILED": 132,
    "NVM_ERR_ARS_IN_PROGRESS": 261,
    "NVM_ERR_UNKNOWN": 267,
    "NVM_ERR_BAD_SIZE": 273,
    "NVM_ERR_FW_UPDATE_AUTH_FAILURE": 308,
    "NVM_ERR_INCOMPATIBLE_SOFTWARE_REVISION": 321,
    "NVM_VERSION_LEN": library.VERSION_SIZE,
    "NVM_PATH_LEN": firmware.PATH_LIMIT,
    "HEALTH_STATUS_HEALTHY": 1,
    "HEALTH_STATUS_NON_FUNCTIONAL": 6,
    "REGION_TYPE_PERSISTENT": 1,
    "REGION_HEALTH_NORMAL": 1,
    "REGION_HEALTH_LOCKED": 5,
    "CONFIG_GOAL_STATUS_NEW": 2,
    "CONFIG_GOAL_STATUS_ERR_UNKNOWN": 6,
    "FW_UPDATE_FAILED": 3,
}


def compiles(lines: list[str], folder: Path) -> str:
    """Return what the compiler says against these lines after the header; empty for nothing."""
    if not HEADER.exists():
        pytest.skip(f"no {HEADER}: install libipmctl-dev")
    source = folder / "layout.c"
    includes = [f"#include <{name}.h>" for name in ("stdint", "limits", "nvm_management")]
    source.write_text("\n".join([*includes, *lines, ""]), encoding="ascii")
    command = ["/usr/bin/gcc", "-Wall", "-Werror", "-fsyntax-only", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not done.stderr)
    return done.stderr


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_those_of_the_header(name: str, tmp_path: Path) -> None:
    kind = f"struct {name}"
    lines = [f'_Static_assert(sizeof({kind}) == {ffi.sizeof(kind)}, "size");']
    for field, member in ffi.typeof(kind).fields:
        lines.append(f'_Static_assert(__builtin_offsetof({kind}, {field}) == {member.offset}, "offset of {field}");')
        lines.append(f'_Static_assert(sizeof((({kind} *)0)->{field}) == {ffi.sizeof(member.type)}, "size of {field}");')
    assert compiles(lines, tmp_path) == ""
    assert "static assertion failed" in compiles([lines[0].replace("==", "!=")], tmp_path)


@pytest.mark.parametrize("declaration", FUNCTIONS, ids=lambda declaration: declaration.partition("(")[0])
def test_functions_take_what_the_header_says(declaration: str, tmp_path: Path) -> None:
    """Declared once more, with our types: the compiler refuses any other."""
    parameters = declaration.partition("(")[2].removesuffix(");")
    name = declaration.partition("(")[0]
    arguments = [] if parameters == "void" else [one.strip() for one in parameters.split(",")]
    made = [f"{one.rpartition('*')[0]}*" if "*" in one else one.rpartition(" ")[0] for one in arguments]
    values = ", ".join(f"({kind})0" for kind in made)
    assert compiles([f"int call(void); int call(void) {{ return {name}({values}); }}"], tmp_path) == ""


def test_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    lines = [f'_Static_assert({name} == {number}, "{name}");' for name, number in NUMBERS.items()]
    assert compiles(lines, tmp_path) == ""


def test_words_are_for_errors_that_the_header_has(tmp_path: Path) -> None:
    assert all(0 < number < 323 for number in raw.WORDS)
    assert compiles([f'_Static_assert(NVM_LAST_STATUS_VALUE > {max(raw.WORDS)}, "last");'], tmp_path) == ""


def test_enumerations_are_as_wide_as_declared(tmp_path: Path) -> None:
    names = ("region_type", "region_health", "config_goal_status", "fw_update_status", "memory_type", "interleave_type")
    assert compiles([f'_Static_assert(sizeof(enum {name}) == 4, "{name}");' for name in names], tmp_path) == ""


def test_room_for_goals_is_what_the_library_may_fill() -> None:
    """It fills up to MAX_DIMMS, 128 in its source, whatever room it was given."""
    assert MODULES_LIMIT >= 128
    assert set(memory.GOAL_STATUS) == set(range(1, 7))

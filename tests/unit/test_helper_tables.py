# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The helper's tables agree with each other and with the contract."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from daos_bindings.nvme import admin, kernel
from daos_helper import attach, content, mkfs, privileges, targets
from daos_helper.methods import (
    bdev,
    nvme_ask,
    nvme_bind,
    nvme_drivers,
    nvme_firmware,
    nvme_format,
    nvme_machine,
    nvme_spdk,
    nvme_table,
    pmem_firmware,
    pmem_machine,
    pmem_prepare,
    pmem_table,
)
from daos_helper.methods.table import TABLE as STORAGE_TABLE
from daos_helper.methods.table import Method, find
from daos_pbin.bounding import HELPER_BOUNDING
from daos_pbin.messages import REQUESTS as STORAGE_REQUESTS
from daos_pbin.methods import METHODS, NVME_METHODS, PING, PMEM_METHODS
from daos_pbin.nvme_messages import NVME_REQUESTS
from daos_pbin.pmem_messages import PMEM_REQUESTS

REQUESTS = STORAGE_REQUESTS | NVME_REQUESTS | PMEM_REQUESTS
TABLE = STORAGE_TABLE | nvme_table.TABLE | pmem_table.TABLE
WITHOUT_STEPS = {"HelperPolicy"}
STEPS = (
    attach, content, mkfs, targets, bdev, nvme_ask, nvme_bind, nvme_drivers, nvme_firmware, nvme_format, nvme_machine, nvme_spdk,
    pmem_firmware, pmem_machine, pmem_prepare,
)  # fmt: skip


def test_every_method_of_the_contract_is_answered() -> None:
    assert set(TABLE) == set(REQUESTS)
    assert (PING, *REQUESTS) == METHODS
    assert tuple(NVME_REQUESTS) == NVME_METHODS
    assert tuple(PMEM_REQUESTS) == PMEM_METHODS
    assert all(find(name) is TABLE[name] for name in REQUESTS)
    assert find("NoSuchMethod") is None
    assert all(TABLE[name].request is request for name, request in REQUESTS.items())


def test_a_method_cannot_be_made_without_an_authorisation() -> None:
    with pytest.raises(TypeError, match="authorise"):
        Method(request=REQUESTS["ScmMount"], resources=lambda _: (), changes=False, subject=lambda _: "", work=TABLE["ScmMount"].work)  # type: ignore[call-arg]


def test_every_method_that_is_named_in_the_privilege_table_exists_and_the_reverse() -> None:
    assert {method for row in privileges.TABLE for method in row.methods} == set(TABLE) - WITHOUT_STEPS


def test_every_row_is_used_and_every_used_row_is_in_the_table() -> None:
    source = "".join(inspect.getsource(module) for module in STEPS)
    names = {name for name, value in vars(privileges).items() if isinstance(value, privileges.Row)}
    assert len(names) == len(privileges.TABLE)
    unused = {name for name in names if f"Step({name}," not in source and f", {name}, owner=" not in source and f": {name}" not in source}
    assert not unused


WITH_SYS_ADMIN = {"attach", "command"}
"""Kinds of steps that are root in effect, and nothing else but that."""
SPDK = {"spdk-vfio", "spdk-uio"}
"""Foreign code with capabilities: it can only work so, and comes in only where the machine has SPDK."""
IPMCTL = {"ipmctl-read", "ipmctl-goal", "ipmctl-firmware"}
"""Foreign code as uid 0, without capabilities: it works for nobody else."""


def test_rows_are_of_the_five_kinds_and_give_reasons() -> None:
    for row in privileges.TABLE:
        assert row.reason, row.step
        if row.step != "spdk-uio":
            assert (row.kind in WITH_SYS_ADMIN) == ("CAP_SYS_ADMIN" in row.capabilities), row.step
        if row.kind == "library" and row.step not in SPDK:
            identity = "root" if row.step in IPMCTL else "worker"
            assert (row.identity, row.capabilities) == (identity, privileges.NOTHING), row.step
        assert 0 <= row.threads <= 16, row.step
        if row.threads and row.step not in SPDK:
            assert row.identity == "worker", f"{row.step}: the kernel does not limit the threads of uid 0"
        if row.kind in WITH_SYS_ADMIN:
            assert row.identity == "worker", row.step
            assert row.capabilities == {"CAP_SYS_ADMIN"}, row.step
        if row.kind == "program":
            assert row.identity == "root", row.step
            assert not row.capabilities, row.step


def test_the_server_leaves_exactly_what_the_helper_may_ever_need() -> None:
    assert privileges.EVER == HELPER_BOUNDING
    assert HELPER_BOUNDING - set(privileges.LAUNCHER) == privileges.BOUNDING


def test_steps_with_cap_sys_admin_import_nothing_that_executes_or_parses() -> None:
    """What runs as root in effect is on one page; this keeps the page's imports as they were reviewed."""
    imported = {line for line in inspect.getsource(attach).splitlines() if line.startswith(("import ", "from "))}
    assert imported == {
        "from __future__ import annotations",
        "import errno",
        "import os",
        "import stat",
        "from typing import Final",
        "from msgspec import Struct",
        "from daos_bindings.linux import syscalls",
        "from daos_helper.filesystems import Option",
        "from daos_helper.privileges import ATTACH_EXT4, ATTACH_TMPFS, DETACH, INSPECT_EXT4",
        "from daos_helper.steps import Built, Step, Work, WorkerIO, perform",
        "from daos_pbin import codes",
        "from daos_pbin.faults import Fault",
    }


def test_steps_that_send_commands_decide_nothing() -> None:
    """Of a drive's answers they take apart only the list of namespaces, which says what to ask next."""
    for module in (admin, kernel):
        source = inspect.getsource(module)
        assert not [name for name in ("subprocess", "ctypes", "importlib", "os.exec", "os.system") if name in source], module.__name__
    assert "decode" not in inspect.getsource(kernel.fetch) + inspect.getsource(kernel.ask)
    assert "decode" not in inspect.getsource(nvme_ask._fetch)


def test_nothing_about_nvme_is_loaded_for_other_methods() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import daos_helper.dispatch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], check=True, capture_output=True, text=True)
    apart = ("nvme", "pmem", "ndctl", "ipmctl")
    hardware = {"queue", "threading", "daos_bindings.linux.pci"}
    assert not [name for name in done.stdout.split() if any(word in name for word in apart) or name in hardware]


BEFORE_FIRST_FRAME = {
    "_cffi_backend", "asyncio", "ctypes", "dataclasses", "enum", "json", "logging", "msgspec", "multiprocessing", "pickle", "prctl", "re",
    "socket", "ssl", "subprocess", "threading", "tomllib", "typing",
}  # fmt: skip


def test_monitor_is_light_before_the_first_payload() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import daos_helper.monitor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], check=True, capture_output=True, text=True)
    assert not BEFORE_FIRST_FRAME & set(done.stdout.split())


def test_bounding_header_needs_no_package() -> None:
    """The launcher's header is generated before anything is installed."""
    path = [entry for entry in sys.path if entry.endswith("/helper")]
    code = f"import sys; sys.path.append({path[0]!r}); import daos_helper.privileges as p; print(*sorted(p.BOUNDING))"
    done = subprocess.run(["/usr/bin/python3", "-I", "-S", "-B", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == sorted(privileges.BOUNDING)


def test_hugepage_record_never_claims_what_others_added() -> None:
    """Requests that were cut short leave additions on record that never happened; a reset must not take them from others."""
    record = bdev.Record({})
    for _ in range(3):
        record = bdev.with_additions(record, {0: 0}, {0: 100})
    assert record.nodes[0] == bdev.Addition(0, 100)
    record = bdev.with_additions(record, {0: 40}, {0: 60})
    assert record.nodes[0] == bdev.Addition(0, 60), "of the 100 only 40 came"

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What root runs: every file of the helper's folder accounted for, and every module that a session loads expected."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import json
import marshal
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType

import pytest
from callers import TIMEOUT_S
from daos_install.launcher import LauncherPaths, compile_launcher
from daos_install.layout import SOURCE
from installed import Installation, new_root

from daos_pbin import envelope
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode
from daos_pbin.methods import METHODS, NVME_METHODS, PMEM_METHODS

LOCK = SOURCE / "requirements" / "helper.txt"
OURS = {"daos_pbin": "pbin", "daos_bindings": "bindings", "daos_helper": "helper"}
SUFFIXES = (".py", ".so", ".typed")
PYC_HEADER, UNCHECKED = 16, b"\x01\0\0\0"


def locked() -> dict[str, str]:
    """Return the version of each locked dependency."""
    return dict(re.findall(r"^([a-z0-9_-]+)==(\S+) \\$", LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def digest(content: bytes) -> str:
    """Return a hash as RECORD files have it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def recorded() -> dict[str, str]:
    """Return path and hash of every file of the locked versions, as their archives (whose hashes the lock has) record them."""
    files: dict[str, str] = {}
    for name, version in locked().items():
        distribution = metadata.distribution(name)
        assert distribution.version == version, f"{name}: 'make venv' was not run since the lock changed"
        for path, found, _ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
            files[path] = found.removeprefix("sha256=")
    return files


def library(installation: Installation) -> dict[str, bytes]:
    """Return every file of the helper's library by its path in it."""
    folder = Path(installation.layout.helper_lib)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


def is_ours(path: str) -> bool:
    return path.partition("/")[0] in OURS


def test_lock_has_a_hash_for_everything() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert set(locked()) == {"cffi", "msgpack", "msgspec", "pycparser", "python-prctl"}
    for block in re.split(r"\n(?=[a-z])", text)[1:]:
        assert re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n?", block), block[:40]


def test_every_file_of_others_is_as_its_locked_archive_has_it(installation: Installation) -> None:
    """What is compiled on the machine, from locked sources, has no hash that could be known; its name has."""
    records = recorded()
    others = {path: content for path, content in library(installation).items() if not is_ours(path) and not path.endswith(".pyc")}
    assert {path.partition("/")[0].partition(".")[0] for path in others} == {"msgpack", "msgspec", "prctl", "_prctl", "_cffi_backend"}
    wrong = [path for path, content in others.items() if records.get(path) != digest(content) and not path.startswith("_prctl.")]
    assert wrong == []


def test_every_file_of_ours_is_as_the_source_tree_has_it(installation: Installation) -> None:
    ours = {path: content for path, content in library(installation).items() if is_ours(path) and path.endswith((".py", ".typed"))}
    assert {path.partition("/")[0] for path in ours} == set(OURS)
    wrong = [path for path, content in ours.items() if (SOURCE / OURS[path.partition("/")[0]] / path).read_bytes() != content]
    assert wrong == []
    built = [path for path in library(installation) if is_ours(path) and path.endswith(".so")]
    recipes = {path.stem.removeprefix("_build") for path in (SOURCE / "bindings" / "daos_bindings").glob("_build_*.py")}
    assert {"_linux", "_blkid"} <= {path.removeprefix("daos_bindings/").partition(".")[0] for path in built} <= recipes


def test_what_is_compiled_is_what_its_source_says(installation: Installation) -> None:
    """Compiled files are run without a look at their source, so each is made again and compared."""
    files = library(installation)
    compiled = {path: content for path, content in files.items() if path.endswith(".pyc")}
    assert len(compiled) == sum(path.endswith(".py") for path in files)
    for path, content in compiled.items():
        source = path.replace("__pycache__/", "").removesuffix(".pyc").rpartition(".")[0] + ".py"
        assert content[:8] == importlib.util.MAGIC_NUMBER + UNCHECKED, path
        assert content[8:PYC_HEADER] == importlib.util.source_hash(files[source]), path
        code = marshal.loads(content[PYC_HEADER:])  # noqa: S302 - root's own, and only compared
        assert isinstance(code, CodeType)
        assert code == compile(files[source], source, "exec", dont_inherit=True), path


def test_nothing_else_is_in_the_helpers_folder(installation: Installation) -> None:
    layout = installation.layout
    assert {path.name for path in Path(layout.helper_dir).iterdir()} == {"account", "worker", "start.py", "lib"}
    assert [path for path in library(installation) if not path.endswith((*SUFFIXES, ".pyc"))] == []
    manifest = json.loads(Path(layout.manifest).read_text(encoding="utf-8"))["files"]
    named = {path for path in manifest if path.startswith(layout.helper_dir)}
    assert named == {str(path) for path in Path(layout.helper_dir).rglob("*") if not path.is_dir()}


# Modules


@pytest.fixture(scope="module")
def told(installation: Installation) -> Iterator[Path]:
    """A launcher for the installed helper, whose first file tells what is loaded."""
    layout = installation.layout
    folder = new_root("told")
    python = Path(layout.start_file).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#!").split()[0]
    launcher = folder / "daos_server_helper"
    paths = LauncherPaths(python, f"{folder}/start.py", layout.account_file, layout.worker_file, str(launcher), "/dev/null")
    compile_launcher(paths, launcher)
    os.chown(launcher, 0, installation.account.gid)
    launcher.chmod(0o4750)
    shutil.copyfile(Path(__file__).parents[1] / "support" / "told_start.py", folder / "start.py")
    (folder / "real").write_text(layout.start_file, encoding="utf-8")
    yield launcher
    shutil.rmtree(folder)


def session(installation: Installation, launcher: Path, method: str, payload: Mapping[str, object]) -> tuple[set[str], set[str]]:
    """Run a session of one request; return the modules that were there before the greeting, and those that came after."""
    with installation.account.start([launcher]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        reader = FrameReader(ANSWER_LIMIT)
        received = list(reader.feed(os.read(process.stdout.fileno(), 1 << 16)))
        assert received[0]["type"] == "hello"
        os.set_blocking(process.stderr.fileno(), False)
        before = process.stderr.read() or b""
        os.set_blocking(process.stderr.fileno(), True)
        process.stdin.write(encode(envelope.request(1, method, payload, 60), REQUEST_LIMIT))
        process.stdin.flush()
        while not any(message["type"] in ("result", "failure") for message in received):
            data = os.read(process.stdout.fileno(), 1 << 16)
            assert data, process.stderr.read()
            received += reader.feed(data)
        process.stdin.close()
        after = process.stderr.read()
        process.wait(TIMEOUT_S)
    workers = "\n".join(str(message["text"]) for message in received if message["type"] == "log")
    return modules(before.decode()), modules(after.decode() + workers)


def modules(text: str) -> set[str]:
    return set(re.findall(r"^loads (\S+)$", text, re.MULTILINE))


BEFORE_THE_GREETING = frozenset({
    "__future__", "__main__", "_abc", "_codecs", "_collections", "_collections_abc", "_datetime", "_frozen_importlib",
    "_frozen_importlib_external", "_imp", "_io", "_operator", "_signal", "_socket", "_stat", "_struct", "_thread", "_warnings",
    "_weakref", "abc", "builtins", "codecs", "collections", "daos_helper", "daos_helper.audit", "daos_helper.monitor", "daos_pbin",
    "daos_pbin.envelope", "daos_pbin.frames", "daos_pbin.methods", "datetime", "encodings", "encodings.aliases", "encodings.utf_8",
    "genericpath", "io", "itertools", "keyword", "marshal", "math", "msgpack", "msgpack._cmsgpack", "msgpack.exceptions", "msgpack.ext",
    "operator", "os", "os.path", "posix", "posixpath", "reprlib", "select", "stat", "struct", "sys", "time", "zipimport",
})  # fmt: skip
"""What the monitor is when it reads the first byte of a caller: nothing that opens a library of hardware, and no type of a payload."""
WITH_A_REQUEST = frozenset({
    "_cffi_backend", "_decimal", "_functools", "_sre", "_typing", "_uuid", "binascii", "collections.abc", "contextlib", "copyreg",
    "daos_bindings", "daos_bindings._linux", "daos_bindings.linux", "daos_bindings.linux.attributes", "daos_bindings.linux.block",
    "daos_bindings.linux.hugepages", "daos_bindings.linux.kernelfiles", "daos_bindings.linux.memory", "daos_bindings.linux.mounts",
    "daos_bindings.linux.numa", "daos_bindings.linux.pci_address", "daos_bindings.linux.syscalls", "daos_helper.accounts",
    "daos_helper.attach", "daos_helper.consent", "daos_helper.content",
    "daos_helper.context", "daos_helper.device", "daos_helper.dispatch", "daos_helper.filesystems",
    "daos_helper.methods", "daos_helper.methods.bdev", "daos_helper.methods.metadata", "daos_helper.methods.scm",
    "daos_helper.methods.shown", "daos_helper.methods.table", "daos_helper.mkfs", "daos_helper.paths",
    "daos_helper.policy", "daos_helper.privileges", "daos_helper.process", "daos_helper.rundir", "daos_helper.steps",
    "daos_helper.targets", "daos_pbin.catalogue", "daos_pbin.codes", "daos_pbin.faults", "daos_pbin.messages", "decimal", "enum",
    "errno", "fcntl", "functools", "gc", "msgspec", "msgspec._core", "msgspec._json_schema", "msgspec._typing_utils", "msgspec._utils",
    "msgspec._version", "msgspec.inspect", "msgspec.json", "msgspec.msgpack", "msgspec.structs", "msgspec.toml", "msgspec.yaml",
    "numbers", "platform", "re", "re._casefix", "re._compiler", "re._constants", "re._parser", "signal", "textwrap", "types", "typing",
    "typing_extensions", "uuid", "warnings",
})  # fmt: skip
"""What the first request but a ping adds, whatever it is: the dispatcher and every method but those of NVMe. msgspec looks for
typing_extensions, which is not there."""
WITH_NVME = frozenset({
    "daos_bindings.linux.binding", "daos_bindings.linux.driver_state", "daos_bindings.linux.inuse", "daos_bindings.linux.kernel",
    "daos_bindings.linux.modules", "daos_bindings.linux.nvme_controller", "daos_bindings.linux.pci", "daos_bindings.linux.remembered",
    "daos_bindings.linux.sysfs", "daos_bindings.linux.vfio", "daos_bindings.nvme", "daos_bindings.nvme.admin",
    "daos_bindings.nvme.firmware", "daos_bindings.nvme.kernel", "daos_bindings.nvme.structures", "daos_bindings.nvme.wipe",
    "daos_bindings.spdk", "daos_bindings.spdk.locks", "daos_bindings.spdk.use", "daos_helper.methods.nvme_ask",
    "daos_helper.methods.nvme_bind", "daos_helper.methods.nvme_drivers", "daos_helper.methods.nvme_firmware",
    "daos_helper.methods.nvme_format", "daos_helper.methods.nvme_machine", "daos_helper.methods.nvme_records",
    "daos_helper.methods.nvme_restore", "daos_helper.methods.nvme_scan", "daos_helper.methods.nvme_spdk",
    "daos_helper.methods.nvme_table", "daos_pbin.nvme", "daos_pbin.nvme_messages", "importlib", "importlib._abc", "importlib.util",
    "daos_helper.image", "daos_helper.methods.nvme_format_spdk", "daos_helper.methods.nvme_seen", "daos_pbin.wire_fault", "mmap",
    "_heapq", "_queue", "_weakrefset", "daos_bindings.linux.parallel", "heapq", "queue", "threading",
})  # fmt: skip
"""What a request about NVMe controllers adds."""
WITH_PMEM = frozenset({
    "daos_bindings.ipmctl", "daos_bindings.ipmctl.recordings", "daos_bindings.ndctl", "daos_bindings.ndctl.commands",
    "daos_bindings.ndctl.listing", "daos_helper.image", "daos_helper.methods.pmem_doomed", "daos_helper.methods.pmem_firmware",
    "daos_helper.methods.pmem_machine", "daos_helper.methods.pmem_prepare", "daos_helper.methods.pmem_record",
    "daos_helper.methods.pmem_scan", "daos_helper.methods.pmem_table", "daos_helper.methods.pmem_words", "daos_pbin.pmem",
    "daos_pbin.pmem_layout", "daos_pbin.pmem_messages", "daos_pbin.pmem_plan", "daos_pbin.pmem_state", "daos_pbin.wire_fault",
})  # fmt: skip
"""What a request about persistent memory adds, in the monitor: libipmctl is opened by workers alone."""
WITH_IPMCTL = frozenset({
    "daos_bindings._ipmctl", "daos_bindings.ipmctl.firmware", "daos_bindings.ipmctl.library", "daos_bindings.ipmctl.memory",
    "daos_bindings.ipmctl.raw",
})  # fmt: skip
"""What a worker with libipmctl adds."""
WITH_A_WORKER = frozenset({
    "_prctl", "_string", "daos_bindings.linux.capabilities", "daos_bindings.linux.landlock", "daos_bindings.linux.privileges",
    "daos_bindings.linux.seccomp", "daos_helper.calls", "daos_helper.confinement", "daos_helper.worker", "importlib", "mmap", "prctl",
    "resource", "string", "tomllib", "tomllib._parser", "tomllib._re", "tomllib._types",
})  # fmt: skip
"""What a policy file and the first step add, in the monitor before the fork and in the worker after it."""

PLACE = "/mnt/daos-nowhere/engine0"
DEVICE = "/dev/daos-nowhere"
REQUESTS: dict[str, tuple[dict[str, object], frozenset[str]]] = {
    "Ping": ({}, frozenset()),
    "HelperPolicy": ({}, WITH_A_REQUEST),
    "ScmCheckFormat": ({"mountpoint": PLACE, "ramdisk": {"size_gib": 1}}, WITH_A_REQUEST | WITH_A_WORKER),
    "ScmFormat": ({"mountpoint": PLACE, "dcpm": {"device": DEVICE}}, WITH_A_REQUEST | WITH_A_WORKER),
    "ScmMount": ({"target": PLACE, "dcpm": {"device": DEVICE}}, WITH_A_REQUEST | WITH_A_WORKER),
    "ScmUnmount": ({"target": PLACE}, WITH_A_REQUEST | WITH_A_WORKER),
    "MetadataNeedsFormat": ({"root_path": PLACE, "device": DEVICE}, WITH_A_REQUEST | WITH_A_WORKER),
    "MetadataFormat": ({"root_path": PLACE, "device": DEVICE}, WITH_A_REQUEST | WITH_A_WORKER),
    "MetadataMount": ({"root_path": PLACE, "device": DEVICE}, WITH_A_REQUEST | WITH_A_WORKER),
    "MetadataUnmount": ({"root_path": PLACE, "device": DEVICE}, WITH_A_REQUEST | WITH_A_WORKER),
    "BdevPrepare": ({}, WITH_A_REQUEST),
    **dict.fromkeys(NVME_METHODS, ({"devices": ["fffe:ff:1f.7"]}, WITH_A_REQUEST | WITH_NVME)),
    **dict.fromkeys(PMEM_METHODS, ({}, WITH_A_REQUEST | WITH_PMEM | WITH_A_WORKER | WITH_IPMCTL)),
    "ScmPrepare": ({"socket": 63, "plan_only": True}, WITH_A_REQUEST | WITH_PMEM | WITH_A_WORKER | WITH_IPMCTL),
}
"""For each method the smallest request that is refused, or changes nothing, and all that it may load."""


def test_every_method_has_its_list() -> None:
    assert set(REQUESTS) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_session_loads_what_its_method_may_and_nothing_else(installation: Installation, told: Path, method: str) -> None:
    payload, allowed = REQUESTS[method]
    before, after = session(installation, told, method, payload)
    assert sorted(before - BEFORE_THE_GREETING) == [], "loaded before the first byte was read"
    assert sorted(after - before - allowed) == [], f"loaded for {method}"
    assert {"daos_helper.monitor", "msgpack"} <= before
    assert method == "Ping" or "daos_helper.dispatch" in after


def test_a_step_loads_nothing_in_its_worker_but_what_its_monitor_may(installation: Installation, told: Path) -> None:
    """A folder for metadata below one that the policy names: it is made, by a worker."""
    root = told.parent / "metadata"
    root.mkdir()
    policy = Path(installation.layout.policy_file)
    policy.write_text(f'mount_roots = ["{root}"]\n', encoding="utf-8")
    policy.chmod(0o644)
    try:
        before, after = session(installation, told, "MetadataFormat", {"root_path": f"{root}/control"})
    finally:
        policy.unlink()
    assert (root / "control").is_dir()
    assert "daos_helper.worker" in after
    assert sorted(after - before - WITH_A_REQUEST - WITH_A_WORKER) == []

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A model of the privileged helper over a folder, for tests of the server's storage commands without root.

What is mounted and what is on devices is kept in that folder, so that it outlives a killed process as the kernel's state does.
Mounting moves a device's content to the mount point and unmounting moves it back; a tmpfs loses it.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from daos_bindings.linux import mounts
from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_pbin.messages import (
    BdevPrepare,
    BdevPrepareResult,
    MetadataFormat,
    MetadataMount,
    MetadataNeedsFormat,
    MetadataNeedsFormatResult,
    MetadataUnmount,
    MountResult,
    NodeGrant,
    ScmCheckFormat,
    ScmFormat,
    ScmFormatResult,
    ScmUnmount,
)
from daos_server.config.load import LoadedConfig, load
from daos_server.installation import Installation
from daos_server.storage.commands import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from daos_bindings.linux.mounts import Mount
    from daos_pbin.envelope import Progress
    from daos_pbin.messages import Request, Result, ResultT
    from daos_server.storage.report import Reporter

REAL_READ = mounts.read
FIRST_MOUNT_ID = 1 << 30


class World:
    """The model, and the helper that works on it: its own session and session factory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mnt = root / "mnt"
        self.requests: list[Request[Result]] = []
        self.fails: dict[str, Fault] = {}
        """Faults to raise instead of an answer, by method, or by method and subject: ``ScmFormat /mnt/daos1``."""
        self.pages = {0: 0}
        self.is_atomic = False
        """Whether something is under way that the kernel does at once, so that no kill comes in between."""

    @classmethod
    def make(cls, root: Path) -> World:
        """Make an empty world below a folder."""
        for name in ("mnt", "state", "dev", "store", "files"):
            (root / name).mkdir()
        world = cls(root)
        world._save({"mounts": {}, "devices": {}})
        return world

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the server see the model's mounts beside the machine's."""
        monkeypatch.setattr(mounts, "read", self.table)

    def add_device(self, name: str, signature: str = "") -> str:
        """Make a device and return its path."""
        path = self.root / "dev" / name
        path.touch()
        state = self.state
        state["devices"][str(path)] = signature
        self._save(state)
        return str(path)

    @property
    def state(self) -> dict[str, dict[str, str]]:
        """What is mounted (mount point to device, or tmpfs) and what is on devices (path to signature)."""
        return cast("dict[str, dict[str, str]]", json.loads((self.root / "world.json").read_text()))

    @property
    def mounted(self) -> dict[str, str]:
        """What is mounted: mount point to device, or tmpfs."""
        return self.state["mounts"]

    def _save(self, state: dict[str, dict[str, str]]) -> None:
        temporary = self.root / "world.json.new"
        temporary.write_text(json.dumps(state))
        temporary.rename(self.root / "world.json")

    def table(self, pid: int | str = "self") -> tuple[Mount, ...]:
        """Return the machine's mounts and the model's."""
        table = REAL_READ(pid)
        for number, (path, device) in enumerate(sorted(self.mounted.items())):
            below = mounts.containing(table, path)
            table = (
                *table,
                mounts.Mount(
                    mount_id=FIRST_MOUNT_ID + number,
                    parent_id=below.mount_id if below else 1,
                    major=0,
                    minor=number,
                    root="/",
                    mount_point=path,
                    options=("rw", "nosuid"),
                    propagation=(),
                    fs_type="tmpfs" if device == "tmpfs" else "ext4",
                    source=device,
                    super_options=(),
                ),
            )
        return table

    # A session, and its factory

    def __call__(self, _reporter: Reporter) -> World:
        return self

    async def __aenter__(self) -> World:
        if "start" in self.fails:
            raise self.fails["start"]
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def call(
        self, request: Request[ResultT], *, deadline_s: float = 1.0, on_progress: Callable[[Progress], None] | None = None
    ) -> ResultT:
        """Answer a request as the helper would."""
        del deadline_s, on_progress
        self.requests.append(cast("Request[Result]", request))
        return cast("ResultT", self._answer(cast("Request[Result]", request)))

    def _answer(self, request: Request[Result]) -> Result:
        name = type(request).__name__
        subject = str(getattr(request, "mountpoint", "") or getattr(request, "target", "") or getattr(request, "root_path", ""))
        for key in (name, f"{name} {subject}"):
            if key in self.fails:
                raise self.fails[key]
        match request:
            case ScmCheckFormat():
                return self._check(request.mountpoint, request.dcpm.device if request.dcpm else "")
            case ScmFormat():
                return self._format_scm(request)
            case ScmUnmount():
                return MountResult(request.target, False, self._unmount(request.target))
            case MetadataNeedsFormat():
                return self._needs_format(request)
            case MetadataFormat():
                self._format(request.root_path, request.device, force=request.force)
                return MountResult(request.root_path, True, True)
            case MetadataMount():
                changed = request.root_path not in self.mounted
                if changed:
                    self._mount(request.root_path, request.device)
                return MountResult(request.root_path, True, changed)
            case MetadataUnmount():
                return MountResult(request.root_path, False, self._unmount(request.root_path))
            case BdevPrepare():
                return self._prepare(request)
        raise Fault(codes.HELPER_METHOD_UNKNOWN, method=name)

    def _check(self, path: str, device: str) -> ScmFormatResult:
        state = self.state
        if path in state["mounts"]:
            return ScmFormatResult(path, True, True, False, found="mounted")
        if not device:
            return ScmFormatResult(path, False, False, False)
        if device not in state["devices"]:
            raise Fault(codes.SCM_FORMAT_MISSING_DEVICE, object=device, device=device)
        signature = state["devices"][device]
        return ScmFormatResult(path, bool(signature), False, signature == "ext4", found=f"{device} carries {signature or 'no signature'}")

    def _format_scm(self, request: ScmFormat) -> ScmFormatResult:
        if request.ramdisk is not None and request.ramdisk.size_gib < 1:
            raise Fault(codes.SCM_FORMAT_INVALID_SIZE)
        self._format(request.mountpoint, request.dcpm.device if request.dcpm else "tmpfs", force=request.force)
        return ScmFormatResult(request.mountpoint, True, True, False, changed=True, options="rw")

    def _format(self, path: str, device: str, *, force: bool) -> None:
        state = self.state
        signature = state["devices"].get(device, "")
        if not force and (path in state["mounts"] or signature):
            raise Fault(codes.STORAGE_ALREADY_FORMATTED, object=path, cause=f"{device} carries {signature}")
        self._unmount(path)
        if device != "tmpfs":
            state = self.state
            state["devices"][device] = "ext4"
            self._save(state)
            shutil.rmtree(self._store(device), ignore_errors=True)
        self._mount(path, device)

    def _store(self, device: str) -> Path:
        return self.root / "store" / device.replace("/", "_")

    @contextmanager
    def _at_once(self) -> Iterator[None]:
        self.is_atomic = True
        try:
            yield
        finally:
            self.is_atomic = False

    def _mount(self, path: str, device: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)
        with self._at_once():
            self._attach(path, device)

    def _attach(self, path: str, device: str) -> None:
        store = self._store(device)
        if device != "tmpfs" and store.is_dir():
            for entry in store.iterdir():
                entry.rename(Path(path) / entry.name)
        state = self.state
        state["mounts"][path] = device
        self._save(state)

    def _unmount(self, path: str) -> bool:
        state = self.state
        device = state["mounts"].get(path)
        if device is None:
            return False
        with self._at_once():
            self._detach(path, device)
        return True

    def _detach(self, path: str, device: str) -> None:
        state = self.state
        store = self._store(device)
        store.mkdir(exist_ok=True)
        for entry in Path(path).iterdir():
            entry.rename(store / entry.name)
        if device == "tmpfs":
            shutil.rmtree(store)
        del state["mounts"][path]
        self._save(state)

    def _needs_format(self, request: MetadataNeedsFormat) -> MetadataNeedsFormatResult:
        state = self.state
        if request.device and request.device not in state["devices"]:
            raise Fault(codes.STORAGE_DEVICE_NOT_BLOCK, object=request.device, path=request.device, what="missing")
        mounted = request.root_path in state["mounts"]
        here = Path(request.root_path) if mounted or not request.device else self._store(request.device)
        has_data = (here / "daos_control").is_dir()
        reason = f"{request.device or request.root_path} holds {'' if has_data else 'no '}daos_control"
        return MetadataNeedsFormatResult(not has_data, reason, mounted)

    def _prepare(self, request: BdevPrepare) -> BdevPrepareResult:
        if request.clean_hugepages_only or request.reset:
            return BdevPrepareResult()
        grants = tuple(NodeGrant(pages.node, self.pages[pages.node], pages.count, pages.count) for pages in request.hugepages)
        self.pages.update({grant.node: grant.granted for grant in grants})
        return BdevPrepareResult(grants, hugetlbfs_owner="daos_server", changed=True)

    # The server's side

    def config(self, text: str) -> LoadedConfig:
        """Load a configuration in which ``@`` stands for the world's folder."""
        path = self.root / "daos_server.yml"
        path.write_text(HEAD + text.replace("@", str(self.root)))
        return load(str(path))

    def context(self, text: str) -> Context:
        """Return a context for a configuration in which ``@`` stands for the world's folder."""
        return Context(self.config(text), Installation(state_dir=str(self.root / "state")), session=self, hostname="hostfoo")

    def listing(self) -> dict[str, tuple[int, int]]:
        """Return every path below the world that the server makes, with mode and size: equal for equal results."""
        found = {}
        for top in ("mnt", "files", "state", "store"):
            for folder, names, files in os.walk(self.root / top):
                for name in (*names, *files):
                    path = Path(folder) / name
                    status = path.lstat()
                    found[str(path.relative_to(self.root))] = (status.st_mode, status.st_size if path.is_file() else 0)
        return found


HEAD = """
name: daos_server
access_points: ['localhost']
provider: ofi+tcp
transport_config: {allow_insecure: true}
"""

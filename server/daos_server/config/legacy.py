# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Old and empty forms, brought into today's before anything is checked.

Works on nodes, so that every value keeps the line it was written on.
"""

from __future__ import annotations

from collections.abc import Callable

from daos_server.config.problems import Notice, Problem, Where
from daos_server.config.scalars import is_null
from daos_server.config.yaml_source import Entry, Mapping, Node, Scalar, Sequence

SCM_KEYS = ("scm_mount", "scm_size", "scm_list")
BDEV_KEYS = ("bdev_list", "bdev_size", "bdev_number", "bdev_busid_range")
_LOST_KEYS = ("scm_hugepages_disabled", "bdev_roles")
"""The reference drops these two when it converts, and so do we: the storage made must be the same."""
CLASS_KEYS = ("scm_class", "bdev_class")
LEGACY_KEYS = frozenset(CLASS_KEYS + SCM_KEYS + BDEV_KEYS + _LOST_KEYS)
"""Keys of the old form, directly below an engine."""
IGNORED_KEYS = ("recreate_superblocks", "hyperthreads", "bypass_health_chk")
"""Keys at the top that are read and have no effect."""


class Modernised:
    """The result: the new root, and what to tell about the way there."""

    def __init__(self, root: Mapping) -> None:
        self.notices: list[Notice] = []
        self.problems: list[Problem] = []
        self.converted: set[Where] = set()
        """The engines whose storage was in the old form."""
        self.root = self._top(root)

    def _top(self, root: Mapping) -> Mapping:
        if entry := root.get("servers"):
            self.problems.append(Problem(("servers",), "is the old name of a section", 'rename it to "engines"', line=entry.line))
            root = _without(root, {"servers"})
        if (entry := root.get("enable_vmd")) and not root.get("disable_vmd"):
            self._tell(("enable_vmd",), entry.line, "is an old form; use disable_vmd, the other way round")
        for key in IGNORED_KEYS:
            if entry := root.get(key):
                self._tell((key,), entry.line, "has no effect at the top of the file")
        return _replaced(root, "engines", self._engines)

    def _engines(self, engines: Node) -> Node:
        if not isinstance(engines, Sequence):
            return engines
        return Sequence(tuple(self._engine(engine, ("engines", index)) for index, engine in enumerate(engines.items)), engines.line)

    def _engine(self, engine: Node, where: Where) -> Node:
        if isinstance(engine, Scalar) and is_null(engine):
            self._tell(where, engine.line, "is empty; it counts as an engine without any settings")
            return Mapping((), engine.line)
        if not isinstance(engine, Mapping):
            return engine
        legacy = [entry for entry in engine.entries if entry.key in LEGACY_KEYS]
        if legacy:
            engine = self._converted(engine, legacy, where)
        return _replaced(engine, "storage", lambda storage: self._tiers(storage, (*where, "storage")))

    def _tiers(self, storage: Node, where: Where) -> Node:
        if not isinstance(storage, Sequence):
            return storage
        empty = [item for item in storage.items if isinstance(item, Scalar) and is_null(item)]
        for item in empty:
            self._tell(where, item.line, "has an empty entry, which is left out; tiers are numbered without it")
        return Sequence(tuple(item for item in storage.items if item not in empty), storage.line)

    def _converted(self, engine: Mapping, legacy: list[Entry], where: Where) -> Mapping:
        rest = _without(engine, LEGACY_KEYS)
        if not any(engine.get(key) and not _is_blank(engine.get(key)) for key in CLASS_KEYS):
            for entry in legacy:
                self._tell((*where, entry.key), entry.line, "is ignored without scm_class or bdev_class; move it into the storage list")
            return rest
        line = legacy[0].line
        self.converted.add(where)
        self._tell(where, line, "has storage in the old form (scm_*, bdev_*), taken as a storage list; move it into one")
        if old := engine.get("storage"):
            self._tell((*where, "storage"), old.line, "is ignored because scm_class or bdev_class is set in the same engine")
        for key in _LOST_KEYS:
            if lost := engine.get(key):
                self._tell((*where, key), lost.line, "is ignored in the old form; move it into the storage list")
        tiers = [_tier(engine, "scm_class", SCM_KEYS), _tier(engine, "bdev_class", BDEV_KEYS)]
        if tiers[1] and _is_nvme_without_devices(engine):
            self._tell((*where, "bdev_class"), line, "is nvme without any device in bdev_list; the tier is left out")
            tiers.pop()
        storage = Sequence(tuple(tier for tier in tiers if tier), line)
        return Mapping((*_without(rest, {"storage"}).entries, Entry("storage", line, storage)), engine.line)

    def _tell(self, where: Where, line: int, message: str) -> None:
        self.notices.append(Notice(where, message, line))


def _tier(engine: Mapping, class_key: str, keys: tuple[str, ...]) -> Mapping | None:
    found = engine.get(class_key)
    if found is None or _is_blank(found):
        return None
    entries = [Entry("class", found.line, found.value), *(entry for entry in engine.entries if entry.key in keys)]
    return Mapping(tuple(entries), found.line)


def _is_blank(entry: Entry | None) -> bool:
    return entry is None or (isinstance(entry.value, Scalar) and (is_null(entry.value) or not entry.value.text))


def _is_nvme_without_devices(engine: Mapping) -> bool:
    kind, devices = engine.get("bdev_class"), engine.get("bdev_list")
    if kind is None or not isinstance(kind.value, Scalar) or kind.value.text != "nvme":
        return False
    return devices is None or _is_blank(devices) or (isinstance(devices.value, Sequence) and not devices.value.items)


def _without(section: Mapping, keys: set[str] | frozenset[str]) -> Mapping:
    return Mapping(tuple(entry for entry in section.entries if entry.key not in keys), section.line)


def _replaced(section: Mapping, key: str, change: Callable[[Node], Node]) -> Mapping:
    entries = (entry._replace(value=change(entry.value)) if entry.key == key else entry for entry in section.entries)
    return Mapping(tuple(entries), section.line)

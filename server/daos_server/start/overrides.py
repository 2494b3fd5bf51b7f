# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Options of ``start`` put into the configuration before it is checked, so that the result keeps every rule.

Works on the nodes of the file: a value from an option stands where the file has it, or would have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.fields import SCM_CLASSES
from daos_server.config.load import LoadedConfig, check, fault_of
from daos_server.config.scalars import is_null
from daos_server.config.yaml_source import Entry, Mapping, Node, Scalar, Sequence, parse, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_server.start.options import StartOptions

DEPRECATED = {
    "--storage": "is deprecated: set scm_mount of the first tier in the configuration",
    "--recreate-superblocks": "is deprecated and has no effect",
}


def load(path: str, options: StartOptions) -> LoadedConfig:
    """Load a configuration with options put before what is in the file.

    :param path: absolute.
    :raises Fault: as ``config.load.load``; 2363 for an option that the file leaves nothing to apply to.
    """
    found = check(_apply(parse(read_text(path), path), path, options), path)
    if found.config is None:
        raise fault_of(found.problems, found.path)
    deprecated = {"--storage": options.storage, "--recreate-superblocks": options.recreate_superblocks}
    notices = (f"{option} {DEPRECATED[option]}" for option, given in deprecated.items() if given)
    return LoadedConfig(found.config, found.path, (*notices, *(notice.text(path) for notice in found.notices)))


def _apply(root: Node | None, path: str, options: StartOptions) -> Node | None:
    """Return the file's nodes with the options in their places; what is no map is left for the check to refuse."""
    if root is None or (isinstance(root, Scalar) and is_null(root)):
        root = Mapping((), 1)
    if not isinstance(root, Mapping):
        return root
    for key, value in _top(options):
        root = _with(root, key, value)
    if options.insecure:
        root = _changed(root, "transport_config", lambda section: _with(_section(section), "allow_insecure", _plain("true")))
    engine_options = tuple(_engine(options))
    if not engine_options and not options.storage:
        return root
    engines = root.get("engines")
    if engines is None or (isinstance(engines.value, Sequence) and not engines.value.items):
        option = engine_options[0][0] if engine_options else "--storage"
        raise Fault(codes.SERVER_OVERRIDE_INVALID, option=option, path=path, reason="it configures no engines")
    if not isinstance(engines.value, Sequence):
        return root
    items = list(engines.value.items)
    for _, key, value in engine_options:
        items = [_with(_section(item), key, value) if _is_section(item) else item for item in items]
    if options.storage and _is_section(items[0]):
        items[0] = _moved(_section(items[0]), options.storage, path)
    return _with(root, "engines", Sequence(tuple(items), engines.value.line))


def _top(options: StartOptions) -> Iterator[tuple[str, Scalar]]:
    if options.port:
        yield "port", _plain(str(options.port))
    if options.group:
        yield "name", _text(options.group)
    if options.socket_dir:
        yield "socket_dir", _text(options.socket_dir)


def _engine(options: StartOptions) -> Iterator[tuple[str, str, Scalar]]:
    if options.modules:
        yield "--modules", "modules", _text(options.modules)
    if options.targets:
        yield "--targets", "targets", _plain(str(options.targets))
    if options.helpers is not None:
        yield "--xshelpernr", "nr_xs_helpers", _plain(str(options.helpers))
    if options.first_core:
        yield "--firstcore", "first_core", _plain(str(options.first_core))


def _moved(engine: Mapping, mount: str, path: str) -> Mapping:
    """Return the engine with another mount point for its first tier, which must be SCM; the old form has that tier too."""
    old_class, storage = engine.get("scm_class"), engine.get("storage")
    if old_class is not None:
        return _with(engine, "scm_mount", _text(mount))
    tiers = storage.value if storage is not None else None
    first = tiers.items[0] if isinstance(tiers, Sequence) and tiers.items else None
    kind = first.get("class") if isinstance(first, Mapping) else None
    if not (isinstance(first, Mapping) and isinstance(tiers, Sequence) and kind and _words(kind.value) in SCM_CLASSES):
        reason = "the first storage tier of engine 0 must be SCM (class ram or dcpm)"
        raise Fault(codes.SERVER_OVERRIDE_INVALID, option="--storage", path=path, reason=reason)
    return _with(engine, "storage", Sequence((_with(first, "scm_mount", _text(mount)), *tiers.items[1:]), tiers.line))


def _words(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _plain(text: str) -> Scalar:
    return Scalar(text, 0)


def _text(text: str) -> Scalar:
    return Scalar(text, 0, plain=False)


def _is_section(node: Node) -> bool:
    return isinstance(node, Mapping) or (isinstance(node, Scalar) and is_null(node))


def _section(node: Node | None) -> Mapping:
    if isinstance(node, Mapping):
        return node
    return Mapping((), node.line if node is not None else 0)


def _with(section: Mapping, key: str, value: Node) -> Mapping:
    return _changed(section, key, lambda _: value)


def _changed(section: Mapping, key: str, change: Callable[[Node | None], Node]) -> Mapping:
    found = section.get(key)
    if found is None:
        entries = (*section.entries, Entry(key, section.line, change(None)))
    else:
        entries = tuple(entry._replace(value=change(entry.value)) if entry.key == key else entry for entry in section.entries)
    return Mapping(entries, section.line, section.size, section.duplicates)

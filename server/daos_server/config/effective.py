# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The configuration in force: every key with its value, and where that comes from.

Values are final as far as the file alone decides: an engine's network settings are those it inherits, old forms are today's.  What is
worked out from the machine (huge pages, RAM disks) stays 0 and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from daos_server.config.fields import BusRange
from daos_server.config.keys import fields_of
from daos_server.config.legacy import CLASS_KEYS, IGNORED_KEYS
from daos_server.config.load import Validation, find
from daos_server.config.model import Section, ServerConfig, StorageTier
from daos_server.config.problems import Where, key_text
from daos_server.config.scalars import is_null
from daos_server.config.yaml_source import Scalar
from daos_server.support.secrets import sounds_secret

Kind = Literal["file", "default", "inherited", "converted", "computed"]
Value = str | int | None | BusRange | tuple[str, ...] | tuple[int, ...]

INHERITED = {
    "provider": "provider",
    "fabric_iface": "interface",
    "fabric_iface_port": "port",
    "secondary_provider_endpoints": "secondary_endpoints",
    "crt_ctx_share_addr": "crt_ctx_share_addr",
    "crt_timeout": "crt_timeout",
    "disable_srx": "disable_srx",
    "fabric_auth_key": "auth_key",
}
"""Keys that an engine has from the top of the file if it has none itself, and what ``ServerConfig.fabric`` calls them."""
_AT_START = {"nr_hugepages": "from the targets", "scm_size": "from the memory", "fault_path": "/<hostname>"}
"""Keys whose empty value is replaced when the server starts, and by what."""
NEEDS_RXM = "ofi+verbs"
RXM = ";ofi_rxm"
"""Added to that provider when the server starts: DAOS needs it on top."""
HIDDEN = "hidden"
SECRET_KEY = "fabric_auth_key"  # noqa: S105 (the name of one)


class Origin(NamedTuple):
    """Where a value comes from, and the line of the file that it rests on; 0 for none."""

    kind: Kind
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key that holds a value."""

    where: Where
    value: Value
    origin: Origin

    @property
    def key(self) -> str:
        """The key as a person writes it."""
        return key_text(self.where)


Tree = dict[str, "Leaf | Tree | list[Tree]"]


class Effective(NamedTuple):
    """The configuration in force, as a tree of leaves, and as the model that this tree makes."""

    config: ServerConfig
    tree: Tree


def effective(found: Validation, *, secrets: bool) -> Effective:
    """Return the configuration in force of a file without problems.

    :param secrets: whether to show what nobody should see over a shoulder; ``hidden`` stands for it otherwise.
    :raises ValueError: if the file has problems.
    """
    if found.config is None:
        raise ValueError(f"{found.path} is not valid")
    tree = _Walk(found, found.config, secrets=secrets).section(found.config, ())
    return Effective(ServerConfig.model_validate(plain(tree)), tree)


def plain(tree: Tree) -> dict[str, object]:
    """Return the tree's values alone."""

    def value(node: Leaf | Tree | list[Tree]) -> object:
        if isinstance(node, Leaf):
            return node.value
        return plain(node) if isinstance(node, dict) else [plain(item) for item in node]

    return {key: value(node) for key, node in tree.items()}


def leaves(tree: Tree) -> Iterator[Leaf]:
    """Yield the leaves in the order of the tree."""
    for node in tree.values():
        if isinstance(node, Leaf):
            yield node
        else:
            for below in node if isinstance(node, list) else [node]:
                yield from leaves(below)


class _Walk:
    def __init__(self, found: Validation, config: ServerConfig, *, secrets: bool) -> None:
        self._found = found
        self._config = config
        self._secrets = secrets

    def section(self, section: Section, where: Where) -> Tree:
        tree: Tree = {}
        for key, name in zip(fields_of(type(section)), type(section).model_fields, strict=True):
            place: Where = (*where, key)
            value = cast(object, getattr(section, name))
            if isinstance(value, Section):
                tree[key] = self.section(value, place)
            elif _is_list_of_sections(value):
                tree[key] = [self.section(item, (*place, index)) for index, item in enumerate(cast(tuple[Section, ...], value))]
            elif self._line(place) or not _is_out_of_place(section, key):
                tree[key] = self._leaf(place, cast(Value, value))
        if not where:
            del tree["enable_vmd"]
        return tree

    def _line(self, where: Where) -> int:
        """Return the line of a key that has a value in the file, else 0."""
        line, node = find(self._found.root, where)
        return 0 if node is None or (isinstance(node, Scalar) and is_null(node)) else line

    def _leaf(self, where: Where, value: Value) -> Leaf:
        leaf = self._derived(where, value) or Leaf(where, value, self._origin(where))
        if how := self._at_start(leaf):
            leaf = _with_note(leaf, leaf.value, f"at start: {how}")
        return leaf if self._secrets else _without_secrets(leaf)

    def _at_start(self, leaf: Leaf) -> str:
        """Return what a value becomes when the server starts, for one that is not final."""
        key, top = str(leaf.where[-1]), self._config.provider
        if key == "provider":
            in_force = f"{top}{RXM}" if top == NEEDS_RXM else top
            return in_force if in_force != leaf.value else ""
        if leaf.value or key not in _AT_START or (key == "nr_hugepages" and self._config.disable_hugepages):
            return ""
        if key == "nr_hugepages" and not any(tier.bdev_list for each in self._config.engines for tier in each.bdev_tiers):
            return "a few, as no engine has block devices"
        return "printed by fault_cb" if key == "fault_path" and self._config.fault_cb else _AT_START[key]

    def _origin(self, where: Where) -> Origin:
        line = self._line(where)
        if not line:
            return Origin("default", 0, "default")
        if where[:2] in self._found.converted and where[2:3] == ("storage",):
            key = str(where[-1])
            old = CLASS_KEYS[int(where[3]) > 0] if key == "class" else key
            return Origin("converted", line, f"converted from {old} (line {line})")
        return Origin("file", line, f"line {line}")

    def _derived(self, where: Where, value: Value) -> Leaf | None:
        """Return the leaf of a key whose value is not simply what stands in the file, or the default."""
        match where:
            case ("access_points",):
                return self._access_points(where)
            case ("disable_vmd",) if self._config.enable_vmd is not None:
                line = self._line(("enable_vmd",))
                return Leaf(where, self._config.vmd_disabled, Origin("converted", line, f"converted from enable_vmd (line {line})"))
            case ("disable_vmd",) if value is None:
                return Leaf(where, False, self._origin(where))
            case ("engines", int(index), "acceleration", "options"):
                options = self._config.engines[index].acceleration.effective_options
                why = "all of them" if options else "no acceleration engine"
                return None if options == value else Leaf(where, options, Origin("computed", 0, f"computed: {why}"))
            case ("engines", int(index), str(key)) if key in INHERITED:
                return self._inherited(where, index, key, value)
        return None

    def _access_points(self, where: Where) -> Leaf | None:
        addresses, line = self._config.access_point_addresses, self._line(where)
        if addresses == self._config.access_points:
            return None
        place = f"line {line}, " if line else ""
        return Leaf(where, addresses, Origin("computed", line, f"{place}with the port of this server"))

    def _inherited(self, where: Where, index: int, key: str, value: Value) -> Leaf | None:
        in_force = cast(Value, getattr(self._config.fabric(index), INHERITED[key]))
        if in_force == value:
            return None
        if line := self._line((key,)):
            return Leaf(where, in_force, Origin("inherited", line, f"inherited from {key} (line {line})"))
        return Leaf(where, in_force, Origin("computed", 0, "computed: one for each secondary provider"))


def _is_list_of_sections(value: object) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, Section) for item in value)


def _is_out_of_place(section: Section, key: str) -> bool:
    """Whether a key has no meaning there, so that only a file that has it makes it worth showing."""
    if isinstance(section, ServerConfig):
        return key in IGNORED_KEYS
    if not isinstance(section, StorageTier):
        return False
    kind = section.storage_class
    if section.is_bdev:
        return key.startswith("scm_") or (key == "bdev_size" and kind != "file")
    of_other_class = {"dcpm": ("scm_size", "scm_hugepages_disabled"), "ram": ("scm_list",)}
    return key.startswith("bdev_") or key in of_other_class.get(kind, ())


def _without_secrets(leaf: Leaf) -> Leaf:
    value = leaf.value
    if leaf.where[-1] == SECRET_KEY and value:
        value = HIDDEN
    elif isinstance(value, tuple) and not isinstance(value, BusRange):
        value = tuple(_hidden_variable(item) for item in value)  # type: ignore[assignment] # the kind of the items stays
    return leaf if value == leaf.value else _with_note(leaf, value, "a secret")


def _hidden_variable(item: str | int) -> str | int:
    name, equals, value = str(item).partition("=")
    return f"{name}={HIDDEN}" if equals and value and sounds_secret(name) else item


def _with_note(leaf: Leaf, value: Value, note: str) -> Leaf:
    return Leaf(leaf.where, value, leaf.origin._replace(text=f"{leaf.origin.text}; {note}"))

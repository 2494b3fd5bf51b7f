# SPDX-License-Identifier: BSD-2-Clause-Patent
"""UCX's list of transports and the network devices that they run on.  Runs in the child process only."""

from __future__ import annotations

from daos_bindings._fabric import ffi
from daos_bindings.fabric.raw import LibraryError, open_library, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NAMES = ("libuct.so.0",)
COMPONENTS = ("ib", "tcp")
"""The components of UCX whose devices are networks."""

FIELD_NAME, FIELD_MD_RESOURCE_COUNT, FIELD_MD_RESOURCES = 1, 2, 4
DEVICE_TYPE_NET = 0
RESOURCES_LIMIT = 4096
"""More memory domains than any machine has: a larger count is no count."""


def devices() -> list[tuple[str, str, int]]:
    """Return (transport, device, place in the list) of each network device, such as ``("rc_mlx5", "mlx5_0:1", 0)``.

    :raises LibraryMissingError: if UCX is not installed.
    :raises LibraryError: if it fails.
    """
    library = open_library(*NAMES)
    components = ffi.new("void ***")
    count = ffi.new("unsigned *")
    _check("uct_query_components", library.uct_query_components(components, count))
    found = [entry for index in range(count[0]) for entry in _of_component(library, components[0][index])]
    library.uct_release_component_list(components[0])
    return [(transport, device, place) for place, (transport, device) in enumerate(found)]


def _of_component(library: Any, component: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - the raw layer speaks C
    attributes = ffi.new("uct_component_attr_t *")
    attributes.field_mask = FIELD_NAME | FIELD_MD_RESOURCE_COUNT
    _check("uct_component_query", library.uct_component_query(component, attributes))
    count = attributes.md_resource_count
    if text(attributes.name) not in COMPONENTS or not count:
        return
    if count > RESOURCES_LIMIT:
        raise LibraryError(f"uct_component_query: {count} memory domains")
    domains = ffi.new("uct_md_resource_desc_t[]", count)
    attributes.field_mask = FIELD_MD_RESOURCES
    attributes.md_resources = domains
    _check("uct_component_query", library.uct_component_query(component, attributes))
    config = ffi.new("void **")
    _check("uct_md_config_read", library.uct_md_config_read(component, ffi.NULL, ffi.NULL, config))
    for domain in domains:
        yield from _of_domain(library, component, domain.md_name, config[0])
    library.uct_config_release(config[0])


def _of_domain(library: Any, component: Any, name: Any, config: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - the raw layer speaks C
    opened = ffi.new("void **")
    _check("uct_md_open", library.uct_md_open(component, name, config, opened))
    resources = ffi.new("uct_tl_resource_desc_t **")
    count = ffi.new("unsigned *")
    _check("uct_md_query_tl_resources", library.uct_md_query_tl_resources(opened[0], resources, count))
    for index in range(count[0]):
        resource = resources[0][index]
        if resource.dev_type == DEVICE_TYPE_NET:
            yield text(resource.tl_name), text(resource.dev_name)
    library.uct_release_tl_resource_list(resources[0])
    library.uct_md_close(opened[0])


def _check(call: str, status: int) -> None:
    if status != 0:
        raise LibraryError(f"{call}: status {status}")

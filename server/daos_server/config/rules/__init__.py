# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Rules that look at several values of a configuration at once.

Each is a pure function from the configuration to the problems that it finds; none looks at the machine (memory, interfaces, names,
files are ``host_check``'s and the start's business).  ``PROBLEM_RULES`` and ``NOTICE_RULES`` are all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from daos_server.config.model import ServerConfig
from daos_server.config.problems import Notice, Problem
from daos_server.config.rules import engine, notices, server, tiers, together

PROBLEM_RULES: tuple[Callable[[ServerConfig], Iterator[Problem]], ...] = (
    server.server_name,
    server.needed_texts,
    server.ports,
    server.access_points,
    server.provider,
    server.fault_domain,
    server.hugepages,
    server.vmd,
    server.system_ram,
    server.control_metadata,
    together.shared_receive,
    engine.thread_counts,
    engine.engine_fabric,
    engine.environment,
    tiers.tier_order,
    tiers.tiers,
    tiers.roles,
    tiers.metadata_on_ssd,
    together.same_roles,
    together.unique_values,
    together.unique_devices,
    together.equal_engines,
)
NOTICE_RULES: tuple[Callable[[ServerConfig], Iterator[Notice]], ...] = (
    notices.discovery_mode,
    notices.single_access_point,
    notices.device_counts,
    notices.unused_tier_keys,
    notices.missing_log_files,
    notices.empty_variables,
    notices.unusual_providers,
    notices.replaced_providers,
    notices.replaced_variables,
    notices.shared_receive_stays_off,
)


def problems_of(config: ServerConfig) -> Iterator[Problem]:
    """Yield everything that the rules refuse."""
    return (problem for rule in PROBLEM_RULES for problem in rule(config))


def notices_of(config: ServerConfig) -> Iterator[Notice]:
    """Yield everything that the rules find worth telling."""
    return (notice for rule in NOTICE_RULES for notice in rule(config))

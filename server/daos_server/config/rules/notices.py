# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is worth telling about a configuration and no reason to refuse it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from daos_pbin import codes
from daos_server.config.fields import quoted
from daos_server.config.model import ServerConfig
from daos_server.config.problems import Notice, Where
from daos_server.config.rules.parts import engines_of

SETTINGS_OF_VARIABLES = {
    "CRT_CTX_SHARE_ADDR": "crt_ctx_share_addr",
    "CRT_TIMEOUT": "crt_timeout",
    "FI_OFI_RXM_USE_SRX": "disable_srx",
    "D_PROVIDER": "provider",
    "D_INTERFACE": "fabric_iface",
    "D_PORT": "fabric_iface_port",
    "D_LOG_MASK": "log_mask",
    "D_LOG_FILE": "log_file",
    "D_PROVIDER_AUTH_KEY": "fabric_auth_key",
    "VOS_BDEV_CLASS": "storage",
}
"""Variables that the server gives its engines itself, and the key that each is made from."""
_ALWAYS = frozenset({"CRT_CTX_SHARE_ADDR", "CRT_TIMEOUT", "FI_OFI_RXM_USE_SRX", "D_PROVIDER", "D_INTERFACE", "D_PORT"})
"""Given even where the key is not set; the others only where it is."""

_NOT_NAME = re.compile(r"\W", re.ASCII)
_PROVIDER = re.compile(r"(?:ofi|ucx)\+\w+(?:[;+]\w+)*", re.ASCII)


def single_access_point(config: ServerConfig) -> Iterator[Notice]:
    if config.engines and len(config.access_points) == 1:
        yield Notice(("access_points",), "has one host: when that is down, the system has no management service")


def device_counts(config: ServerConfig) -> Iterator[Notice]:
    for index, engine in enumerate(config.engines[1:], 1):
        wanted = config.engines[0].bdev_count
        if engine.bdev_count != wanted:
            message = f"has {engine.bdev_count} block devices, and engine 0 has {wanted}: the smaller engine limits pools"
            yield Notice(("engines", index, "storage"), message, code=codes.SERVER_CONFIG_BDEV_COUNT_MISMATCH)


def unused_tier_keys(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in engines_of(config):
        for index, tier in enumerate(engine.storage):
            foreign = "bdev_" if tier.is_scm else "scm_" if tier.is_bdev else ""
            for key in sorted(tier.model_fields_set):
                if foreign and key.startswith(foreign):
                    yield Notice((*where, "storage", index, key), f"has no meaning for class {tier.storage_class}")
                elif key == "bdev_size" and tier.storage_class in ("nvme", "kdev"):
                    message = f"has no meaning for class {tier.storage_class}: its devices have a size"
                    yield Notice((*where, "storage", index, key), message)


def missing_log_files(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in engines_of(config):
        if not engine.log_file:
            yield Notice((*where, "log_file"), "is not set: this engine's messages go to the server's log")


def empty_variables(config: ServerConfig) -> Iterator[Notice]:
    lists: list[tuple[Where, tuple[str, ...]]] = [(("client_env_vars",), config.client_env_vars)]
    lists += [((*where, "env_vars"), engine.env_vars) for where, engine in engines_of(config)]
    for where, entries in lists:
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            name, _, value = entry.partition("=")
            if not (name and value):
                # What follows the name may be a secret.
                yield Notice((*where, index), f"{quoted(_NOT_NAME.split(entry, maxsplit=1)[0])} is not KEY=VALUE and is left out")
            elif name in seen:
                yield Notice((*where, index), f"{name} is in the list twice; the first counts")
            seen.add(name)


def discovery_mode(config: ServerConfig) -> Iterator[Notice]:
    """Valid, but a server that is started like this wants more than a file that is checked."""
    if config.engines:
        return
    missing = [
        key for key, value in (("provider", config.provider), ("control_metadata.path", config.control_metadata.path)) if not value
    ]
    more = f"; to start like that, it needs {' and '.join(missing)} as well" if missing else ""
    yield Notice(("engines",), f"is empty: the server only looks at the hardware{more}")


def replaced_providers(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in engines_of(config):
        if engine.provider and config.provider and engine.provider != config.provider:
            message = f"{quoted(engine.provider)} gives way to the server's provider {quoted(config.provider)} when the engine starts"
            yield Notice((*where, "provider"), message)


def unusual_providers(config: ServerConfig) -> Iterator[Notice]:
    """Nothing but the fabric libraries knows all providers, so a strange name may be right; a stray quote makes one as well."""
    given: list[tuple[Where, str]] = [(("provider",), config.provider)]
    given += [((*where, "provider"), engine.provider) for where, engine in engines_of(config)]
    for where, text in given:
        for name in filter(None, text.split(",")):
            if not _PROVIDER.fullmatch(name.strip()):
                message = f"{quoted(name)} does not look like a provider, such as ofi+tcp or ucx+dc_x"
                yield Notice(where, f"{message}; 'daos_server network scan --provider all' lists those of this host")


def shared_receive_stays_off(config: ServerConfig) -> Iterator[Notice]:
    for where, engine in engines_of(config):
        if config.disable_srx and "disable_srx" in engine.model_fields_set and not engine.disable_srx:
            yield Notice((*where, "disable_srx"), "is false, but true at the top of the file, which counts")


def replaced_variables(config: ServerConfig) -> Iterator[Notice]:
    for index, (where, engine) in enumerate(engines_of(config)):
        given = {
            "D_LOG_MASK": engine.log_mask,
            "D_LOG_FILE": engine.log_file,
            "D_PROVIDER_AUTH_KEY": config.fabric(index).auth_key,
            "VOS_BDEV_CLASS": engine.bdev_count,
        }
        for place, entry in enumerate(engine.env_vars):
            name = entry.partition("=")[0]
            if name in _ALWAYS or given.get(name):
                message = f"{name} has no effect: the server sets it from {SETTINGS_OF_VARIABLES[name]}"
                yield Notice((*where, "env_vars", place), message)

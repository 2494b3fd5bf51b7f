# SPDX-License-Identifier: BSD-2-Clause-Patent
"""How much memory an engine may lock: set by the unit for a service, by limits.conf for a login, and only one of them counts."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, NamedTuple

from daos_bindings.linux import capabilities, kernelfiles
from daos_server.doctor import reading, units
from daos_server.doctor.finding import Finding
from daos_server.plan.units import bytes_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daos_server.doctor.machine import Machine, Setting

DIRECTIVE = "LimitMEMLOCK"
UNLIMITED = resource.RLIM_INFINITY
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
WHY = "VFIO locks all of an engine's hugepages: below their size it cannot set up DMA (error 12)"
LIMITS_FILE = "/etc/security/limits.d/daos_server.conf"


class Login(NamedTuple):
    """What limits.conf gives a login of the account, and in which line."""

    value: str
    place: str


def check(machine: Machine, setting: Setting, read: Callable[[int], tuple[int, int]] = resource.getrlimit) -> Iterator[Finding]:
    """Yield the limit of the unit and that of this shell, and which of them a server started from here has."""
    need = setting.derived.hugepages if setting.derived else None
    wanted = need.total_bytes if need else None
    in_unit = any(line.endswith(f"/{units.SERVICE}") for line in reading.lines(f"{machine.proc}/self/cgroup"))
    has_unit = bool(units.unit_file(machine))
    yield (
        _of_unit(machine, setting, wanted)
        if has_unit
        else Finding(subject="memlock of the unit", found=f"there is no {units.SERVICE}: it sets nothing", verdict="ok")
    )
    hard = read(resource.RLIMIT_MEMLOCK)[1]
    yield Finding.of(
        "memlock of this launch",
        f"{limit_text(hard)}, set by " + ("the unit" if in_unit else "this login or container; the unit does not count here"),
        right=enough(hard, wanted),
        why=WHY,
        advice=_unit_advice() if in_unit else _login_advice(machine, setting, wanted),
        # With a unit, the service is how engines are meant to be started.
        bad="warning" if has_unit and not in_unit and setting.gravity == "stops" else setting.gravity,
    )


def enough(limit: int, wanted: int | None) -> bool:
    """Tell whether a limit allows what is wanted; unlimited always does, and nothing else if that is not known."""
    return limit == UNLIMITED or (wanted is not None and limit >= wanted)


def limit_text(limit: int) -> str:
    """Return a limit in words."""
    return "unlimited" if limit == UNLIMITED else bytes_text(limit)


def _of_unit(machine: Machine, setting: Setting, wanted: int | None) -> Finding:
    subject, directive = "memlock of the unit", units.service_directive(machine, DIRECTIVE)
    if directive is None:
        found = f"{units.unit_file(machine)} does not set it: systemd's default, 8 MiB or less, is in force"
        return Finding.of(subject, found, right=False, why=WHY, advice=_unit_advice(), bad=setting.gravity)
    found = f"{kernelfiles.printable(directive.value)} ({directive.place})"
    hard = parse_limit(directive.value)
    return Finding.of(subject, found, right=enough(hard, wanted), why=WHY, advice=_unit_advice(), bad=setting.gravity)


def _unit_advice() -> str:
    folder = f"/etc/systemd/system/{units.SERVICE}.d"
    return (
        "limits.conf does not count for services; set it in the unit:\n"
        f"  mkdir -p {folder} && printf '[Service]\\n{DIRECTIVE}=infinity\\n' > {folder}/memlock.conf\n"
        f"  systemctl daemon-reload && systemctl restart {units.SERVICE}"
    )


def _login_advice(machine: Machine, setting: Setting, wanted: int | None) -> str:
    account = setting.installation.account
    if not _may_raise_limits(machine):
        # Neither prlimit nor a login can give what this process, and so any below it, is denied.
        return (
            "not even root can raise it here, as CAP_SYS_RESOURCE is denied: set it where this container or sandbox is started, such as\n"
            "  docker run --ulimit memlock=-1"
        )
    login = login_limit(machine, account)
    here = "for this shell, as root:\n  prlimit --memlock=unlimited --pid $$\n"
    if login is not None and enough(parse_limit(login.value), wanted):
        return f"{here}or log in again as {account}: {login.place} has it already"
    return f"{here}and for logins of {account} from the next one on:\n  echo '{account} - memlock unlimited' > {LIMITS_FILE}"


def _may_raise_limits(machine: Machine) -> bool:
    """Tell whether root can raise hard limits here; if that is not known, that it can."""
    held = next((line.split()[-1] for line in reading.lines(f"{machine.proc}/self/status") if line.startswith("CapBnd:")), "f" * 16)
    return bool(int(held, 16) >> capabilities.NAMES["CAP_SYS_RESOURCE"] & 1)


def login_limit(machine: Machine, account: str) -> Login | None:
    """Return the last hard limit that limits.conf and its folder have for an account (KiB or unlimited); None if there is none."""
    folder = f"{machine.etc}/security"
    files = [f"{folder}/limits.conf", *(f"{folder}/limits.d/{name}" for name in reading.names(f"{folder}/limits.d"))]
    found = None
    for path in files:
        for number, line in enumerate(reading.lines(path) if path.endswith(".conf") else (), 1):
            words = line.partition("#")[0].split()
            if len(words) == 4 and words[0] in (account, "*") and words[1] in ("hard", "-") and words[2] == "memlock":
                value = words[3] if words[3] in ("unlimited", "infinity", "-1") else f"{words[3]}K"
                found = Login(value, f"{path}:{number}")
    return found


def parse_limit(text: str) -> int:
    """Return the hard limit in bytes that ``infinity``, ``8M`` or ``soft:hard`` is; 0 if it is none of these."""
    text = text.rpartition(":")[2].strip()
    if text in ("infinity", "unlimited", "-1"):
        return UNLIMITED
    scale = UNITS.get(text[-1:], 1)
    digits = text[:-1] if text[-1:] in UNITS else text
    return int(digits) * scale if digits.isascii() and digits.isdigit() and len(digits) <= 20 else 0

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whether the kernel shows all of a controller: what it has not shown yet, nobody has looked at.

The kernel makes the block devices of a controller that it has just got one after the other.  The controller itself knows how
many there are to be.
"""

from __future__ import annotations

from collections.abc import Sequence

from daos_bindings.linux.pci import PciFunction, Scan
from daos_helper.context import Context
from daos_helper.methods import nvme_ask
from daos_helper.methods import nvme_machine as machine
from daos_helper.steps import Work
from daos_pbin.faults import Fault


def whole(functions: Sequence[PciFunction], scan: Scan, context: Context) -> Work[tuple[Scan, dict[str, Fault]]]:
    """Ask controllers that the kernel's driver has for their namespaces, and wait, a bounded time, until it shows them.

    :param scan: that the controllers are from: it is read again only after waiting.
    :return: what it shows then; and why a controller cannot be judged by that, by the kernel's address.
    """
    waiting = [function for function in functions if not machine.is_ready(function)]
    if waiting:
        yield from machine.until_ready(waiting)
        scan = machine.read()
        functions = [scan.find(function.kernel) or function for function in functions]
    known = yield from nvme_ask.ask(functions, context, health=False)
    faults = {kernel: said.fault.fault() for kernel, said in known.items() if said.fault is not None}
    expected = {kernel: frozenset(space.id for space in said.record.namespaces) for kernel, said in known.items() if said.record}
    waiting = not_shown([one for one in functions if one.kernel in expected], expected)
    if waiting:
        yield from machine.until_ready(waiting, expected)
        scan = machine.read()
    for kernel, numbers in expected.items():
        function = scan.find(kernel)
        fault = hidden(function, numbers) if function is not None else None
        if fault is not None:
            faults[kernel] = fault
    return scan, faults


def not_shown(functions: Sequence[PciFunction], expected: dict[str, frozenset[int]]) -> list[PciFunction]:
    """Return the controllers without a block device for every one of their namespaces.

    :param expected: ids of namespaces, by the kernel's address of their controller.
    """
    return [function for function in functions if not expected[function.kernel] <= _numbers(function)]


def hidden(function: PciFunction, numbers: frozenset[int]) -> Fault | None:
    """Return the fault that the kernel does not show some namespaces of a controller: 2150, or None if it shows all."""
    missing = sorted(numbers - _numbers(function))
    if not missing:
        return None
    reason = f"the kernel shows no block device for its namespaces {', '.join(map(str, missing))}"
    return machine.unusable(function, reason, "look at 'dmesg' and 'nvme list'")


def _numbers(function: PciFunction) -> frozenset[int]:
    return frozenset(space.nsid for space in function.controller.namespaces) if function.controller else frozenset()

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A drive with two ports: two controllers, one set of namespaces."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from installed import Installation
from vmlab import Controller, Guest, Spec
from vmlab.guest import SOURCE

pytestmark = pytest.mark.long

SPEC = Spec("ports", controllers=(Controller("LABPORTS000", hotplug=True), Controller("LABPORTS000", 1, (), hotplug=True, port_of=0)))
SLOW_S = 240.0
FORMAT = """
import json, sys
from pathlib import Path
sys.path[:0] = [f"{sys.argv[1]}/pbin", f"{sys.argv[1]}/bindings"]
from daos_bindings.linux import pci
from daos_pbin.nvme_messages import BdevFormat
from daos_pbin.plain import PlainSession
found = pci.scan().controllers
spaces = [[space.path for space in one.controller.namespaces] for one in found]
Path(spaces[0][1]).write_bytes(b"SPDKBLOB" + bytes(8184))
told = []
with PlainSession(sys.argv[2:]) as helper:
    for force in (False, True, False):
        answer = helper.call(BdevFormat(tuple(str(one.address) for one in found), force=force))
        told.append([(row.fault.code if row.fault else 0, [space.done for space in row.namespaces]) for row in answer.controllers])
print(json.dumps([spaces, told, Path(spaces[0][1]).open("rb").read(8) == bytes(8)]))
"""


def test_both_ports_of_a_drive_can_be_named_together(installation: Installation, tmp_path: Path) -> None:
    with Guest(SPEC, tmp_path) as guest:
        words = [sys.executable, "-B", "-c", FORMAT, str(SOURCE), *installation.helper_of_account]
        spaces, told, zeros = json.loads(guest.run(words, timeout_s=SLOW_S).out)
    assert len(spaces) == 2
    assert spaces[0] == spaces[1], "the same namespaces behind both"
    assert told == [[[101, []], [101, []]], [[0, [True, True]], [0, [True, True]]], [[0, [True, True]], [0, [True, True]]]]
    assert zeros

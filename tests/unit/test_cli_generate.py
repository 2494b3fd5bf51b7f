# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``daos_server config generate``: YAML on standard output and nothing else, on a made-up machine and on this one."""

from __future__ import annotations

import pytest
import yaml

from daos_server.cli.generate import generate
from daos_server.cli.options import Invocation
from daos_server.cli.run import run
from daos_server.config.load import check
from daos_server.config.yaml_source import parse
from daos_server.generate import host
from daos_server.generate.facts import MachineFacts
from daos_server.generate.options import GenerateOptions
from daos_server.network.interfaces import ETHERNET, FabricInterface, FabricScan
from daos_server.plan.units import GIB, KIB

pytestmark = pytest.mark.unit

FABRIC = FabricScan(
    interfaces=(FabricInterface(provider="ofi+tcp", device="eth0", numa_node=0, priority=0, net_class=ETHERNET),),
    numa_count=1,
    cores_per_numa=4,
    notes=("UCX is \x1b[31mmissing",),
)
MACHINE = MachineFacts(fabric=FABRIC, numa_nodes=(0,), hugepage_kib=2048, mem_total_kib=32 * GIB // KIB)
TRY_OUT = ("-c", "ethernet", "-t", "-s")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "read_facts", lambda _options: MACHINE)


@pytest.mark.usefixtures("machine")
def test_the_configuration_is_all_there_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "generate", *TRY_OUT]) == 0
    shown = capsys.readouterr()
    assert check(parse(shown.out, "t.yml"), "t.yml").problems == ()
    assert all(line.startswith("NOTICE: ") for line in shown.err.splitlines())
    assert "NOTICE: UCX is \\x1b[31mmissing\n" in shown.err


@pytest.mark.usefixtures("machine")
def test_options_reach_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-a", "h1,h2,h3", "-e", "1", "-p", "all", "-f", "20000", "--skip-prep", "-l", "/tmp/helper.log"]  # noqa: S108 - only a name
    assert run(["config", "gen", *TRY_OUT, *arguments]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert (made["access_points"], made["engines"][0]["fabric_iface_port"], "helper_log_file" in made) == (["h1", "h2", "h3"], 20000, False)


@pytest.mark.usefixtures("machine")
def test_a_refusal_leaves_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "generate"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "code = 2340" in shown.err
    assert "what works on this machine: daos_server config generate --scm-only --net-class ethernet --use-tmpfs-scm" in shown.err


@pytest.mark.usefixtures("machine")
def test_a_configuration_file_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    generate(Invocation(config="/nowhere.yml"), GenerateOptions(net_class="ethernet", use_tmpfs_scm=True, scm_only=True))
    assert "this command reads none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--json"], ["-c", "tokenring"], ["-e", "two"], ["-f", "1,x"], ["-f", "70000"], ["--no-such-option"], ["argument"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "generate", *arguments]) != 0
    shown = capsys.readouterr()
    assert "see 'daos_server config generate --help'" in shown.err
    assert "engines" not in shown.out


def test_a_newcomer_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    facts = host.read_facts(GenerateOptions())
    if facts.fabric.cores_per_numa < 2 or facts.mem_total_kib < 7 * len(facts.numa_nodes) * GIB // KIB:
        pytest.skip(f"too small: {facts.fabric.cores_per_numa} cores per NUMA node, {facts.mem_total_kib} KiB of memory")
    if not any(each.net_class == ETHERNET for each in facts.fabric.interfaces):
        pytest.skip("this machine has no Ethernet interface")
    assert run(["config", "generate", *TRY_OUT, "-e", "1"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert made["engines"][0]["fabric_iface"] in {each.device for each in facts.fabric.interfaces}

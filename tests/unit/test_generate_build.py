# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whole configurations for made-up machines: what they say, and what must hold for every machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from daos_pbin import codes
from daos_pbin.faults import Fault
from daos_server.config.load import check
from daos_server.config.model import EngineConfig, ServerConfig
from daos_server.config.yaml_source import parse
from daos_server.generate.build import Generated, command_line, generate
from daos_server.generate.facts import LeftOut, MachineFacts, Pmem, Ssd
from daos_server.generate.options import GenerateOptions
from daos_server.generate.suggest import generate_or_suggest, nearest
from daos_server.generate.write import plain
from daos_server.network.interfaces import ETHERNET, INFINIBAND, FabricInterface, FabricScan
from daos_server.plan.memory import engine_reservation
from daos_server.plan.units import GIB, KIB

pytestmark = pytest.mark.unit

MD_ON_SSD = GenerateOptions(use_tmpfs_scm=True, control_metadata_path="/var/lib/daos")
TRY_OUT = GenerateOptions(net_class="ethernet", use_tmpfs_scm=True, scm_only=True)


def interface(node: int, *, provider: str = "ofi+verbs", net_class: int = INFINIBAND, priority: int = 0) -> FabricInterface:
    return FabricInterface(provider=provider, device=f"ib{node}", numa_node=node, priority=priority, net_class=net_class)


def ssd(node: int, number: int, vmd: str = "") -> Ssd:
    return Ssd(address=f"{0x10000 + node if vmd else 0:04x}:{0x40 * node + number:02x}:00.0", numa_node=node, vmd=vmd)


def machine(
    *ssds: Ssd,
    interfaces: tuple[FabricInterface, ...] = (interface(0), interface(1)),
    pmem: tuple[Pmem, ...] = (Pmem(device="/dev/pmem0", numa_node=0), Pmem(device="/dev/pmem1", numa_node=1)),
    left_out: tuple[LeftOut, ...] = (),
    nodes: int = 2,
    cores: int = 24,
    memory_gib: int = 256,
    page_kib: int = 2048,
    assumed: str = "",
    notes: tuple[str, ...] = (),
) -> MachineFacts:
    return MachineFacts(
        fabric=FabricScan(interfaces=interfaces, numa_count=nodes, cores_per_numa=cores, notes=notes),
        numa_nodes=tuple(range(nodes)),
        hugepage_kib=page_kib,
        mem_total_kib=memory_gib * GIB // KIB,
        ssds=ssds,
        pmem=pmem,
        left_out=left_out,
        provider_assumed=assumed,
    )


FOUR_EACH = tuple(ssd(node, number) for node in (0, 1) for number in range(4))
LAPTOP = machine(interfaces=(interface(0, provider="ofi+tcp", net_class=ETHERNET),), pmem=(), nodes=1, cores=2, memory_gib=8)


def config_of(made: Generated) -> ServerConfig:
    found = check(parse(made.text, "t.yml"), "t.yml")
    assert found.problems == ()
    assert found.config is not None
    return found.config


def storage_of(engine: EngineConfig) -> list[tuple[str, tuple[str, ...], str]]:
    return [(tier.storage_class, tier.scm_list or tier.bdev_list, ",".join(tier.bdev_roles) or "NA") for tier in engine.storage]


def test_persistent_memory_and_ssds() -> None:
    config = config_of(generate(GenerateOptions(), machine(*FOUR_EACH)))
    assert (config.provider, config.port, config.nr_hugepages) == ("ofi+verbs", 10001, 16384)
    assert (config.access_points, config.control_log_file, config.data_path) == (("localhost",), "/tmp/daos_server.log", None)  # noqa: S108
    for index, engine in enumerate(config.engines):
        assert (engine.targets, engine.nr_xs_helpers, engine.pinned_numa_node) == (16, 4, index)
        assert (engine.fabric_iface, engine.fabric_iface_port) == (f"ib{index}", 31416 + 1000 * index)
        assert engine.log_file == f"/tmp/daos_engine.{index}.log"  # noqa: S108
        addresses = tuple(each.address for each in FOUR_EACH if each.numa_node == index)
        assert storage_of(engine) == [("dcpm", (f"/dev/pmem{index}",), "NA"), ("nvme", addresses, "NA")]
        assert engine.storage[0].scm_mount == f"/mnt/daos{index}"


def test_metadata_on_ssd() -> None:
    config = config_of(generate(MD_ON_SSD, machine(*(ssd(node, number) for node in (0, 1) for number in range(6)), cores=26)))
    assert config.control_metadata.path == "/var/lib/daos"
    # 2 x (18 targets + 1 for metadata) GiB in pages of 2 MiB; what is left of 256 GiB after 38, 16 and 2 x 2.25 is halved.
    assert (config.engines[0].targets, config.nr_hugepages) == (18, 19456)
    assert [engine.storage[0].scm_size for engine in config.engines] == [98, 98]
    assert [(len(tier.bdev_list), ",".join(tier.bdev_roles)) for tier in config.engines[1].bdev_tiers] == [(2, "wal"), (4, "data,meta")]


def test_a_vmd_stands_for_the_ssds_behind_it() -> None:
    behind = [ssd(node, number, vmd=f"0000:{0x3D + node:02x}:00.5") for node in (0, 1) for number in range(3)]
    config = config_of(generate(MD_ON_SSD, machine(*behind)))
    assert [storage_of(engine)[1:] for engine in config.engines] == [
        [("nvme", ("0000:3d:00.5",), "data,meta,wal")],
        [("nvme", ("0000:3e:00.5",), "data,meta,wal")],
    ]
    assert config.engines[0].targets == 15  # for three SSDs, not for one VMD


def test_all_options_that_set_a_key() -> None:
    options = GenerateOptions(
        access_points=("h1:20001", "h2:20001", "h3:20001"),
        num_engines=1,
        net_provider="ofi+tcp",
        fabric_ports=(20002, 20003),
        scm_only=True,
    )
    made = generate(options, machine(*FOUR_EACH, interfaces=(interface(0), interface(1, provider="ofi+tcp"))))
    config = config_of(made)
    assert (config.access_points, config.port, config.provider) == (("h1:20001", "h2:20001", "h3:20001"), 20001, "ofi+tcp")
    assert [(engine.pinned_numa_node, engine.fabric_iface_port, engine.bdev_count) for engine in config.engines] == [(1, 20002, 0)]
    assert (config.nr_hugepages, config.engines[0].targets) == (0, 16)
    assert any("--fabric-ports has 2 ports" in notice for notice in made.notices)


def test_a_machine_without_daos_hardware() -> None:
    made = generate(TRY_OUT, LAPTOP)
    config = config_of(made)
    assert [storage_of(engine) for engine in config.engines] == [[("ram", (), "NA")]]
    assert (config.engines[0].targets, config.engines[0].storage[0].scm_size, config.system_ram_reserved) == (1, 4, 3)
    assert any("only 3 GiB of RAM are left" in notice for notice in made.notices)
    assert any("2 cores per NUMA node" in notice for notice in made.notices)


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        (GenerateOptions(), "-c ethernet"),
        (GenerateOptions(net_class="ethernet"), "(-t)"),
        (GenerateOptions(net_class="ethernet", use_tmpfs_scm=True), "(-s)"),
    ],
)
def test_each_refusal_leads_a_newcomer_to_the_next_option(options: GenerateOptions, way_out: str) -> None:
    with pytest.raises(Fault) as caught:
        generate(options, LAPTOP)
    assert way_out in caught.value.resolution


def test_a_refusal_ends_with_a_command_that_works() -> None:
    with pytest.raises(Fault) as caught:
        generate_or_suggest(GenerateOptions(), LAPTOP)
    command = "daos_server config generate --scm-only --net-class ethernet --use-tmpfs-scm"
    assert caught.value.resolution.endswith(f"(what works on this machine: {command})")
    assert generate_or_suggest(TRY_OUT, LAPTOP) == generate(TRY_OUT, LAPTOP)


def test_as_few_options_as_possible_are_changed() -> None:
    assert nearest(GenerateOptions(), machine(*FOUR_EACH, interfaces=(interface(0),))) == GenerateOptions(num_engines=1)
    assert nearest(GenerateOptions(), machine(*FOUR_EACH, pmem=())) == GenerateOptions(use_tmpfs_scm=True)
    assert nearest(replace(MD_ON_SSD, use_tmpfs_scm=False), machine(*FOUR_EACH)) == MD_ON_SSD


def test_no_command_is_offered_where_none_works() -> None:
    with pytest.raises(Fault) as caught:
        generate_or_suggest(GenerateOptions(), machine(interfaces=()))
    assert "what works" not in caught.value.resolution


def test_what_is_not_used_is_said() -> None:
    taken = LeftOut(device="0000:3f:00.0", why="its disk nvme0n1 holds the root file system", exclude="0000:3f:00.0")
    pmem = (*machine().pmem, Pmem(device="/dev/pmem0.1", numa_node=0))
    made = generate(GenerateOptions(), machine(*FOUR_EACH, ssd(1, 9), left_out=(taken,), pmem=pmem, notes=("no UCX here",)))
    assert config_of(made).bdev_exclude == ("0000:3f:00.0",)
    assert f"# Left out: {taken.device}: {taken.why}" in made.text.splitlines()
    said = ("no UCX here", "0000:3f:00.0 is left out", "engine 1 does without 0000:49:00.0", "not used: /dev/pmem0.1", "one host")
    assert [part for part in said if not any(part in notice for notice in made.notices)] == []
    assert "engine 1 does without" not in generate(GenerateOptions(), machine(*FOUR_EACH)).text


def test_devices_of_a_node_without_an_engine_are_named() -> None:
    def told(options: GenerateOptions) -> list[str]:
        return [notice for notice in generate(options, machine(*FOUR_EACH)).notices if "no engine is on" in notice]

    assert told(GenerateOptions()) == []
    (notice,) = told(GenerateOptions(num_engines=1))
    assert notice.endswith(": /dev/pmem1, 0000:40:00.0, 0000:41:00.0, 0000:42:00.0, 0000:43:00.0")
    assert told(GenerateOptions(num_engines=1, use_tmpfs_scm=True, scm_only=True)) == []


def test_an_assumed_provider_is_called_so() -> None:
    made = generate(TRY_OUT, machine(interfaces=LAPTOP.fabric.interfaces, pmem=(), nodes=1, assumed="no fabric library is installed"))
    assert "# assumed: no fabric library is installed\nprovider: ofi+tcp\n" in made.text
    assert any(notice.startswith("provider ofi+tcp is assumed: no fabric library is installed; ") for notice in made.notices)


def test_an_even_number_of_access_points_is_refused_by_the_configurations_own_rule() -> None:
    with pytest.raises(Fault) as caught:
        generate(GenerateOptions(access_points=("a", "b")), machine(*FOUR_EACH))
    assert caught.value.code == codes.SERVER_CONFIG_EVEN_ACCESS_POINTS


def test_a_kernel_without_hugepages_allows_engines_without_ssds_only() -> None:
    with pytest.raises(Fault) as caught:
        generate(GenerateOptions(), machine(*FOUR_EACH, page_kib=0))
    assert caught.value.code == codes.HUGEPAGES_UNSUPPORTED
    assert config_of(generate(GenerateOptions(scm_only=True), machine(page_kib=0))).nr_hugepages == 0


def test_persistent_memory_does_not_make_room_for_hugepages() -> None:
    with pytest.raises(Fault) as caught:
        generate(GenerateOptions(), machine(*FOUR_EACH, memory_gib=32))
    assert caught.value.code == codes.HUGEPAGES_OVER_MEMORY


def test_the_command_is_written_down_as_it_can_be_repeated() -> None:
    assert command_line(GenerateOptions()) == "daos_server config generate"
    options = GenerateOptions(access_points=("a", "b"), use_tmpfs_scm=True, control_metadata_path="/my data", fabric_ports=(1, 2))
    given = "--access-points a,b --use-tmpfs-scm --control-metadata-path '/my data' --fabric-ports 1,2"
    assert command_line(options) == f"daos_server config generate {given}"


# Any machine


NODES = st.integers(0, 3)
PROVIDERS = st.sampled_from(["ofi+tcp", "ofi+verbs;ofi_rxm", "ucx+dc_x"])
CLASSES = st.sampled_from([ETHERNET, INFINIBAND])


@st.composite
def machines(draw: st.DrawFn) -> MachineFacts:
    """Draw machines of which about half can run engines: most are the same on all nodes, or nearly."""
    nodes = draw(st.integers(1, 4))
    usual = draw(st.sampled_from([4, 1, 2, 3, 6, 8, 24]))
    vmds = draw(st.lists(st.sampled_from(["", "0000:3d:00.", "0000:5d:05."]), min_size=1, max_size=3))
    ssds: list[Ssd] = []
    for node in range(nodes):
        for number in range(draw(st.sampled_from([*[usual] * 8, usual + 1, 0]))):
            vmd = vmds[number % len(vmds)]
            ssds.append(ssd(node, number, f"{vmd}{node}" if vmd else ""))
    classes = draw(st.sampled_from([*[(ETHERNET, INFINIBAND)] * 6, (ETHERNET,), ()]))
    everywhere = [interface(node, net_class=each, provider="ofi+tcp", priority=5) for node in range(nodes) for each in classes]
    some = draw(st.lists(st.builds(interface, NODES, provider=PROVIDERS, net_class=CLASSES, priority=st.integers(0, 9)), max_size=6))
    pmem = [Pmem(device=f"/dev/pmem{node}", numa_node=node) for node in range(nodes) if draw(st.integers(0, 5))]
    return machine(
        *ssds,
        interfaces=tuple(everywhere + [each for each in some if each.numa_node < nodes]),
        pmem=tuple(pmem),
        nodes=nodes,
        cores=draw(st.sampled_from([16, 24, 64, 32, 6, 4, 2, 1])),
        memory_gib=draw(st.sampled_from([1024, 4096, 256, 128, 16, 4])),
        page_kib=draw(st.sampled_from([*[2048] * 8, 1 << 20, 0])),
    )


@st.composite
def option_sets(draw: st.DrawFn) -> GenerateOptions:
    """Draw options that mostly go together."""
    usual = GenerateOptions(
        num_engines=draw(st.sampled_from([0, 0, 0, 0, 1, 2, 5])),
        net_class=draw(st.sampled_from(["ethernet", "infiniband"])),
        net_provider=draw(st.sampled_from(["", "", "all", "ofi+tcp"])),
        fabric_ports=draw(st.sampled_from([(), (), (), (1, 2, 3, 4, 5), (31416, 31416)])),
        scm_only=draw(st.sampled_from([*[False] * 6, True])),
    )
    match draw(st.sampled_from(["pmem", "-t", "-t", "-m", "-m"])):
        case "-t":
            return replace(usual, use_tmpfs_scm=True)
        case "-m":
            return replace(usual, use_tmpfs_scm=True, control_metadata_path="/var/lib/daos")
        case _:
            return usual


REFUSALS = {
    codes.SCM_RAMDISK_LOW_MEM,
    codes.CLIENT_CONFIG_VMD_IMBALANCE,
    codes.HUGEPAGES_UNSUPPORTED,
    codes.HUGEPAGES_OVER_MEMORY,
    codes.CONFIG_GENERATE_NO_FABRIC,
    codes.CONFIG_GENERATE_NO_STORAGE,
    codes.CONFIG_GENERATE_MACHINE_UNFIT,
    codes.CONFIG_GENERATE_OPTIONS_WRONG,
}


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(option_sets(), machines())
@example(TRY_OUT, LAPTOP)
@example(MD_ON_SSD, machine(*FOUR_EACH))
def test_whatever_is_generated_is_valid_and_whatever_is_not_is_refused_with_a_reason(options: GenerateOptions, facts: MachineFacts) -> None:
    made = generated_or_refused(options, facts)
    if isinstance(made, Fault):
        event(f"refused: {made.code}")
        assert made.code in REFUSALS
        return
    config = config_of(made)
    event(f"generated: {len(config.engines)} engines")
    assert yaml.safe_load(made.text) == plain(made.root)
    assert made.text == generate(options, facts).text
    assert len(config.engines) == (options.num_engines or len(facts.numa_nodes))

    entries = [device for engine in config.engines for tier in engine.storage for device in (*tier.scm_list, *tier.bdev_list)]
    assert len(entries) == len(set(entries))
    counts = {sum(each.entry in device_list(engine) for each in facts.ssds) for engine in config.engines}
    assert len(counts) == 1
    assert (counts == {0}) == options.scm_only
    for engine in config.engines:
        known = {each.device: each.numa_node for each in facts.pmem} | {each.entry: each.numa_node for each in facts.ssds}
        assert {known[device] for tier in engine.storage for device in (*tier.scm_list, *tier.bdev_list)} <= {engine.pinned_numa_node}
        assert engine.has_roles == bool(options.control_metadata_path)

    hugepages = config.nr_hugepages * facts.hugepage_kib * KIB
    system = config.system_ram_reserved * GIB if options.use_tmpfs_scm else 0
    ram = sum(tier.scm_size for engine in config.engines for tier in engine.storage) * GIB
    assert hugepages + system + ram + sum(engine_reservation(engine.targets) for engine in config.engines) <= facts.mem_total_kib * KIB


def generated_or_refused(options: GenerateOptions, facts: MachineFacts) -> Generated | Fault:
    try:
        return generate(options, facts)
    except Fault as fault:
        return fault


def device_list(engine: EngineConfig) -> set[str]:
    return {device for tier in engine.bdev_tiers for device in tier.bdev_list}

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The engine's NVMe configuration: the reference's example byte for byte, and each row of its table."""

from __future__ import annotations

import json
from typing import cast

import pytest

from daos_server.plan.wanted import Acceleration, AutoFaulty, Bdevs, Engine, RpcServer
from daos_server.storage.nvme_json import render

ALL_ROLES = frozenset({"data", "meta", "wal"})

EXAMPLE = """\
{
  "daos_data": {
    "config": [
      {
        "params": {
          "begin": 0,
          "end": 255
        },
        "method": "hotplug_busid_range"
      },
      {
        "params": {
          "accel_engine": "spdk",
          "accel_opts": 3
        },
        "method": "accel_props"
      },
      {
        "params": {
          "enable": true,
          "sock_addr": "/tmp/spdk.sock"
        },
        "method": "spdk_rpc_srv"
      },
      {
        "params": {
          "enable": true,
          "max_io_errs": 100,
          "max_csum_errs": 200
        },
        "method": "auto_faulty"
      }
    ]
  },
  "subsystems": [
    {
      "subsystem": "bdev",
      "config": [
        {
          "params": {
            "bdev_io_pool_size": 65536,
            "bdev_io_cache_size": 256
          },
          "method": "bdev_set_options"
        },
        {
          "params": {
            "retry_count": 4,
            "timeout_us": 0,
            "nvme_adminq_poll_period_us": 100000,
            "action_on_timeout": "none",
            "nvme_ioq_poll_period_us": 0
          },
          "method": "bdev_nvme_set_options"
        },
        {
          "params": {
            "enable": true,
            "period_us": 5000000
          },
          "method": "bdev_nvme_set_hotplug"
        },
        {
          "params": {
            "trtype": "PCIe",
            "name": "Nvme_hostfoo_0_1_7",
            "traddr": "5d0505:01:00.0"
          },
          "method": "bdev_nvme_attach_controller"
        },
        {
          "params": {
            "block_size": 4096,
            "name": "AIO_hostfoo_0_1_0",
            "filename": "/tmp/f"
          },
          "method": "bdev_aio_create"
        }
      ]
    },
    {
      "subsystem": "vmd",
      "config": [
        {
          "params": {},
          "method": "enable_vmd"
        }
      ]
    }
  ]
}"""


def engine(
    *tiers: Bdevs, acceleration: Acceleration | None = None, rpc: RpcServer | None = None, faulty: AutoFaulty | None = None
) -> Engine:
    return Engine(
        index=0,
        targets=1,
        scm=None,
        bdevs=tiers,
        acceleration=acceleration or Acceleration(),
        rpc_server=rpc or RpcServer(),
        auto_faulty=faulty or AutoFaulty(),
    )


def nvme(*devices: str, tier: int = 1, busids: tuple[int, int] | None = None, roles: frozenset[str] = frozenset()) -> Bdevs:
    return Bdevs(tier=tier, storage_class="nvme", devices=devices, busid_range=busids, roles=roles)


def emulated(*devices: str, kind: str = "file", tier: int = 1, roles: frozenset[str] = frozenset()) -> Bdevs:
    return Bdevs(tier=tier, storage_class="kdev" if kind == "kdev" else "file", devices=devices, size_gib=1, roles=roles)


Element = dict[str, object]


def parsed(text: str | None) -> dict[str, object]:
    assert text is not None
    return cast("dict[str, object]", json.loads(text))


def bdev_elements(text: str | None) -> list[Element]:
    subsystems = cast("list[dict[str, list[Element]]]", parsed(text)["subsystems"])
    return subsystems[0]["config"]


def devices(text: str | None) -> list[Element]:
    return [cast("Element", element["params"]) for element in bdev_elements(text)[3:]]


def daos_data(text: str | None) -> list[Element]:
    return cast("dict[str, list[Element]]", parsed(text)["daos_data"])["config"]


def test_the_example_byte_for_byte() -> None:
    # VMD and files together: the reference lost the files.
    wanted = engine(
        nvme("0000:5d:05.5", roles=ALL_ROLES),
        emulated("/tmp/f"),  # noqa: S108
        acceleration=Acceleration(engine="spdk", options=frozenset({"move", "crc"})),
        rpc=RpcServer(enable=True, sock_addr="/tmp/spdk.sock"),  # noqa: S108
        faulty=AutoFaulty(enable=True, max_io_errs=100, max_csum_errs=200),
    )
    text = render(wanted, hostname="hostfoo", enable_hotplug=True, enable_vmd=True, backing={"0000:5d:05.5": ("5d0505:01:00.0",)})
    assert text == EXAMPLE


def test_the_least_there_is() -> None:
    text = render(engine(emulated("/a")), hostname="h")
    assert text is not None
    assert not text.endswith("\n")
    assert list(parsed(text)) == ["daos_data", "subsystems"]
    assert daos_data(text) == []
    assert bdev_elements(text)[2] == {"params": {"enable": False, "period_us": 0}, "method": "bdev_nvme_set_hotplug"}
    assert len(cast("list[object]", parsed(text)["subsystems"])) == 1


def test_no_devices_need_no_file() -> None:
    assert render(engine(), hostname="h") is None
    assert render(engine(nvme(), nvme(tier=2)), hostname="h") is None


def test_names_count_within_a_tier_and_devices_are_sorted() -> None:
    text = render(
        engine(emulated("/b", "/a", tier=1, roles=frozenset({"wal"})), emulated("/c", tier=2, roles=frozenset({"data"}))), hostname="h"
    )
    assert [(device["name"], device["filename"]) for device in devices(text)] == [
        ("AIO_h_0_1_4", "/a"),
        ("AIO_h_1_1_4", "/b"),
        ("AIO_h_0_2_1", "/c"),
    ]


def test_kernel_devices_have_block_size_zero() -> None:
    assert devices(render(engine(emulated("/dev/sdb", kind="kdev")), hostname="h")) == [
        {"block_size": 0, "name": "AIO_h_0_1_0", "filename": "/dev/sdb"}
    ]


def test_addresses_are_in_their_own_order() -> None:
    text = render(engine(nvme("0000:81:00.0", "0000:05:00.0", "10000:01:00.0")), hostname="h")
    assert [device["traddr"] for device in devices(text)] == ["0000:05:00.0", "0000:81:00.0", "10000:01:00.0"]


def test_vmd_is_only_for_real_ssds() -> None:
    assert "enable_vmd" not in str(render(engine(emulated("/a")), hostname="h", enable_vmd=True))
    text = render(
        engine(nvme("0000:5d:05.5", "0000:81:00.0")),
        hostname="h",
        enable_vmd=True,
        backing={"0000:5d:05.5": ("5d0505:02:00.0", "5d0505:01:00.0")},
    )
    assert [device["traddr"] for device in devices(text)] == ["0000:81:00.0", "5d0505:01:00.0", "5d0505:02:00.0"]
    assert [device["name"] for device in devices(text)] == ["Nvme_h_0_1_0", "Nvme_h_1_1_0", "Nvme_h_2_1_0"]
    assert "enable_vmd" in str(text)


def test_without_vmd_addresses_stay() -> None:
    text = render(engine(nvme("0000:5d:05.5")), hostname="h", backing={"0000:5d:05.5": ("5d0505:01:00.0",)})
    assert [device["traddr"] for device in devices(text)] == ["0000:5d:05.5"]


@pytest.mark.parametrize(
    ("tier", "vmd", "buses", "span"),
    [
        (nvme("0000:81:00.0", busids=(128, 143)), False, (1, 9), (128, 143)),
        (nvme("0000:81:00.0", busids=(128, 143)), True, (1, 9), (0, 255)),
        (nvme("0000:81:00.0", busids=(0, 0)), False, (1, 9), (1, 9)),
        (nvme("0000:81:00.0"), False, (1, 9), (1, 9)),
        (emulated("/a"), True, (1, 9), (1, 9)),
    ],
)
def test_hotplug_ranges(tier: Bdevs, vmd: bool, buses: tuple[int, int], span: tuple[int, int]) -> None:
    text = render(engine(tier), hostname="h", enable_hotplug=True, enable_vmd=vmd, buses=buses)
    assert daos_data(text) == [{"params": {"begin": span[0], "end": span[1]}, "method": "hotplug_busid_range"}]


def test_hotplug_needs_a_range() -> None:
    with pytest.raises(ValueError, match="PCI buses"):
        render(engine(nvme("0000:81:00.0")), hostname="h", enable_hotplug=True)


@pytest.mark.parametrize(
    ("acceleration", "params"),
    [
        (Acceleration(engine="none", options=frozenset({"move"})), None),
        (Acceleration(engine="spdk"), None),
        (Acceleration(engine="dml", options=frozenset({"crc"})), {"accel_engine": "dml", "accel_opts": 2}),
        (Acceleration(engine="spdk", options=frozenset({"move"})), {"accel_engine": "spdk", "accel_opts": 1}),
        (Acceleration(engine="", options=frozenset({"move"})), {"accel_engine": "", "accel_opts": 1}),
    ],
)
def test_acceleration(acceleration: Acceleration, params: Element | None) -> None:
    found = daos_data(render(engine(emulated("/a"), acceleration=acceleration), hostname="h"))
    assert found == ([] if params is None else [{"params": params, "method": "accel_props"}])


def test_servers_and_limits_that_are_off_are_left_out() -> None:
    off = engine(emulated("/a"), rpc=RpcServer(sock_addr="/x"), faulty=AutoFaulty(max_io_errs=1))
    assert daos_data(render(off, hostname="h")) == []


def test_other_alphabets_are_written_as_they_are() -> None:
    assert '"/ä"' in str(render(engine(emulated("/ä")), hostname="h"))

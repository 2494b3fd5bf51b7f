# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What is known of an NVMe controller, whichever way it was read (storage facts B.1).  Bounded: these cross between processes."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

NAMESPACES_LIMIT: Final = 1024
"""Namespaces of one controller: one page of their list."""

U8 = Annotated[int, Meta(ge=0, le=2**8 - 1)]
U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# msgpack and msgspec check no bound above 2**63 - 1; what is larger on the wire does not fit 64 bits anyway.
U64 = Annotated[int, Meta(ge=0)]


class HealthStats(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Health of a controller, with the reference's names.  What only a running engine knows stays 0 in a scan.

    Times are in minutes unless their name says hours; ``temperature`` is in Kelvin; bytes written count in units of 32 MiB;
    names with ``norm`` and ``raw`` are those of Intel's own log and 0 for drives of other makers.
    """

    timestamp: U64 = 0
    warn_temp_time: U32 = 0
    crit_temp_time: U32 = 0
    ctrl_busy_time: U64 = 0
    power_cycles: U64 = 0
    power_on_hours: U64 = 0
    unsafe_shutdowns: U64 = 0
    media_errs: U64 = 0
    err_log_entries: U64 = 0
    bio_read_errs: U32 = 0
    bio_write_errs: U32 = 0
    bio_unmap_errs: U32 = 0
    checksum_errs: U32 = 0
    temperature: U32 = 0
    temp_warn: bool = False
    avail_spare_warn: bool = False
    dev_reliability_warn: bool = False
    read_only_warn: bool = False
    volatile_mem_warn: bool = False
    program_fail_cnt_norm: U8 = 0
    program_fail_cnt_raw: U64 = 0
    erase_fail_cnt_norm: U8 = 0
    erase_fail_cnt_raw: U64 = 0
    wear_leveling_cnt_norm: U8 = 0
    wear_leveling_cnt_min: U16 = 0
    wear_leveling_cnt_max: U16 = 0
    wear_leveling_cnt_avg: U16 = 0
    endtoend_err_cnt_raw: U64 = 0
    crc_err_cnt_raw: U64 = 0
    media_wear_raw: U64 = 0
    host_reads_raw: U64 = 0
    workload_timer_raw: U64 = 0
    thermal_throttle_status: U8 = 0
    thermal_throttle_event_cnt: U64 = 0
    retry_buffer_overflow_cnt: U64 = 0
    pll_lock_loss_cnt: U64 = 0
    nand_bytes_written: U64 = 0
    host_bytes_written: U64 = 0
    cluster_size: U64 = 0
    meta_wal_size: U64 = 0
    rdb_wal_size: U64 = 0


class NamespaceRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """An active namespace: its id, and its size in bytes."""

    id: U32
    size: U64


class ControllerRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A controller as it describes itself.

    :param model: printable, without trailing blanks, as are the two below.
    :param vendor: PCI vendor id.
    :param namespaces: the active ones, by id.
    :param health_stats: None if health was not asked for; zeros if the controller has no health log.
    """

    model: Annotated[str, Meta(max_length=40)]
    serial: Annotated[str, Meta(max_length=20)]
    fw_rev: Annotated[str, Meta(max_length=8)]
    vendor: U16
    namespaces: Annotated[tuple[NamespaceRecord, ...], Meta(max_length=NAMESPACES_LIMIT)]
    health_stats: HealthStats | None = None

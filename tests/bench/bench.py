# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The figures: how long the installed programs take, with what they are compared to beside them.

Medians, printed as a table and written as JSON.  Nothing here passes or fails.  Run as root against an installation; a
mount namespace of its own gives it a hugetlbfs to call a worker for.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nvme_figures

from daos_pbin.messages import BdevPrepare, Ramdisk, ScmCheckFormat
from daos_pbin.plain import PlainSession

CLONE_NEWNS = 0x00020000
Figures = dict[str, float | int | None]

ROWS = (
    ("bare_python_ms", "ms", "python3 -I -S -B -c pass", "the floor under a cold call"),
    ("sudo_true_ms", "ms", "sudo -n true", "what administrators are used to"),
    ("cold_ping_ms", "ms", "cold Ping: start, handshake, answer, exit", "at most 2.5 x bare"),
    ("cold_payload_ms", "ms", "first call with a payload, from start to exit", "at most 5 x bare"),
    ("pipe_echo_us", "us", "one byte to another process and back", "the floor under a warm call"),
    ("fork_us", "us", "fork of a process of the monitor's size, and its end", "the floor under a worker"),
    ("warm_ping_us", "us", "warm Ping, both processes on one CPU", "below 100"),
    ("warm_ping_any_cpu_us", "us", "warm Ping, wherever the scheduler puts them", "with its wake-ups of idle CPUs"),
    ("worker_call_us", "us", "warm call through a forked worker, on one CPU", "at most 1500"),
    ("worker_call_any_cpu_us", "us", "the same, wherever the scheduler puts them", ""),
    ("monitor_rss_kib", "KiB", "peak memory of the monitor after all of it", "at most 16384"),
    ("cli_help_ms", "ms", "daos_server --help", "at most 250"),
    ("cli_import_ms", "ms", "import of the command line", ""),
    ("config_check_128_ms", "ms", "config check of 128 engines, once imported", "below 2 x that import"),
    ("sysfs_bind_12_s", "s", "in a guest: 12 NVMe to vfio-pci, bare writes to sysfs", "the floor, one by one"),
    ("nvme_prepare_12_s", "s", "the same by the helper, checks included", "at most 0.8 x bare writes"),
    ("sysfs_reset_12_s", "s", "12 NVMe back to nvme, bare writes to sysfs", "the floor, one by one"),
    ("nvme_reset_12_s", "s", "the same by the helper", "at most 0.5 x bare writes"),
    ("nvme_cli_list_12_s", "s", "nvme list -o json of 12 NVMe", "what administrators use"),
    ("nvme_scan_12_s", "s", "scan of 12 NVMe by the helper, health included", "at most 0.4"),
)


def milliseconds(work: Callable[[], object], count: int) -> float:
    """Return the median time of ``count`` calls, in ms."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def command(*arguments: str) -> Callable[[], object]:
    """Return a call that runs a program and throws its output away."""
    return lambda: subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interpreter_of(prefix: Path) -> str:
    """Return the interpreter that the installation fixed."""
    return (prefix / "bin" / "daos_server").read_text().splitlines()[0].removeprefix("#!").split()[0]


@contextmanager
def hugetlbfs() -> Iterator[None]:
    """Mount a hugetlbfs on /dev/hugepages, for this process alone: without one there is nothing to call a worker for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["/usr/bin/mount", "--make-rprivate", "/"], check=True)
    Path("/dev/hugepages").mkdir(exist_ok=True)
    subprocess.run(["/usr/bin/mount", "-t", "hugetlbfs", "daos-bench", "/dev/hugepages"], check=True)
    yield


def sudo(count: int) -> float | None:
    """Return what ``sudo -n true`` takes, or None where there is none."""
    if not os.path.exists("/usr/bin/sudo"):
        return None
    try:
        return milliseconds(command("/usr/bin/sudo", "-n", "true"), count)
    except subprocess.CalledProcessError:
        return None


def pipe_echo(count: int) -> float:
    """Return the median of one byte to another process and back, in us: two wake-ups, and nothing else."""
    there, there_end = os.pipe()
    back, back_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(there_end)
        while os.read(there, 1):
            os.write(back_end, b"x")
        os._exit(0)

    def echo() -> None:
        os.write(there_end, b"x")
        os.read(back, 1)

    median = milliseconds(echo, count) * 1e3
    for descriptor in (there_end, there, back, back_end):
        os.close(descriptor)
    os.waitpid(child, 0)
    return median


FORK = """
import os, sys, time
sys.path.append(sys.argv[1])
import gc, msgpack, msgspec
gc.freeze()
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    times.append((time.perf_counter() - start) * 1e6)
print(sorted(times)[len(times) // 2])
"""


def fork(prefix: Path, count: int) -> float:
    """Return the median of a fork and its end, in us, in a process that has loaded what the monitor has from outside."""
    library = str(prefix / "libexec" / "daos" / "helper" / "lib")
    arguments = [interpreter_of(prefix), "-I", "-S", "-B", "-c", FORK, library, str(count)]
    return float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


CONFIG_CHECK = """
import sys, time
sys.path.append(sys.argv[1])
start = time.perf_counter()
import daos_server.cli.run
imported = time.perf_counter()
from daos_server.config.load import validate
ready = time.perf_counter()
found = validate(sys.argv[2])
done = time.perf_counter()
if found.problems:
    sys.exit(found.problems[0].text(found.path))
print((imported - start) * 1e3, (done - ready) * 1e3)
"""
ENGINE = """- targets: 16
  nr_xs_helpers: 4
  pinned_numa_node: {node}
  fabric_iface: ib{index}
  fabric_iface_port: 31416
  log_mask: ERR,VOS=DEBUG
  log_file: /var/log/daos/engine{index}.log
  env_vars: [FI_SOCKETS_MAX_CONN_RETRY=1, FI_SOCKETS_CONN_TIMEOUT=2000]
  storage:
  - {{class: ram, scm_mount: /mnt/daos{index}, scm_size: 64}}
  - {{class: nvme, bdev_list: ["{index:04x}:81:00.0", "{index:04x}:82:00.0"], bdev_roles: [wal]}}
  - class: nvme
    bdev_list: ["{index:04x}:83:00.0", "{index:04x}:84:00.0", "{index:04x}:85:00.0", "{index:04x}:86:00.0"]
    bdev_roles: [meta, data]
"""


def config_check(prefix: Path, count: int) -> tuple[float, float]:
    """Return the medians of importing the command line, and of checking a configuration of 128 engines after that, in ms."""
    head = "provider: ofi+verbs\naccess_points: [a, b, c]\ncontrol_metadata: {path: /var/daos/meta}\nengines:\n"
    library = str(prefix / "lib" / "daos" / "server")
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(head + "".join(ENGINE.format(index=index, node=index % 2) for index in range(128)))
        file.flush()
        arguments = [interpreter_of(prefix), "-ISB", "-c", CONFIG_CHECK, library, file.name]
        runs = [subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split() for _ in range(count)]
    return statistics.median(float(run[0]) for run in runs), statistics.median(float(run[1]) for run in runs)


def warm(helper: str, count: int) -> tuple[float, float, int]:
    """Return the medians of a warm Ping and of a warm call through a worker, in us, and the monitor's peak memory in KiB."""
    clean = BdevPrepare(clean_hugepages_only=True)
    with PlainSession(helper) as session:
        ping = milliseconds(session.ping, 20 * count) * 1e3
        call = milliseconds(lambda: session.call(clean), count) * 1e3
        status = Path(f"/proc/{session.pid}/status").read_text()
    return ping, call, int(status.split("VmHWM:")[1].split()[0])


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep this process, and those that it starts, on one CPU: waking an idle one costs more than the call, mostly on virtual machines."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(prefix: Path, count: int) -> Figures:
    """Take all figures."""
    helper = str(prefix / "bin" / "daos_server_helper")
    check = ScmCheckFormat("/mnt/daos", ramdisk=Ramdisk(4))

    def cold_ping() -> None:
        with PlainSession(helper) as session:
            session.ping()

    def cold_payload() -> None:
        with PlainSession(helper) as session:
            session.call(check)

    figures: Figures = {"bare_python_ms": milliseconds(command(interpreter_of(prefix), "-I", "-S", "-B", "-c", "pass"), count)}
    figures["sudo_true_ms"] = sudo(count)
    figures["cold_ping_ms"] = milliseconds(cold_ping, count)
    figures["cold_payload_ms"] = milliseconds(cold_payload, count)
    figures["warm_ping_any_cpu_us"], figures["worker_call_any_cpu_us"], _ = warm(helper, count)
    with one_cpu():
        figures["pipe_echo_us"] = pipe_echo(20 * count)
        figures["fork_us"] = fork(prefix, count)
        figures["warm_ping_us"], figures["worker_call_us"], figures["monitor_rss_kib"] = warm(helper, count)
    figures["cli_help_ms"] = milliseconds(command(str(prefix / "bin" / "daos_server"), "--help"), max(20, count // 4))
    figures["cli_import_ms"], figures["config_check_128_ms"] = config_check(prefix, max(10, count // 10))
    return figures


def show(figures: Figures) -> None:
    """Print the table."""
    bare = figures["bare_python_ms"] or 1
    print(f"{'what':46} {'median':>10}      {'x bare':>6}  wanted")
    for key, unit, words, wanted in ROWS:
        value = figures[key]
        if value is None:
            print(f"{words:46} {'not here':>10}")
            continue
        ratio = f"{value / bare:6.2f}" if unit == "ms" else " " * 6
        print(f"{words:46} {value:10.2f} {unit:4} {ratio}  {wanted}")


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure the installed programs.")
    parser.add_argument("--prefix", type=Path, default=Path("/opt/daos"))
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--count", type=int, default=100, help="calls per figure (default: 100)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: must be run as root: it starts the installed helper", file=sys.stderr)
        return 1
    with hugetlbfs():
        figures = measure(options.prefix, options.count)
    figures |= nvme_figures.measure(options.prefix / "bin" / "daos_server_helper")
    show(figures)
    if options.json:
        machine = {"machine": platform.machine(), "kernel": platform.release(), "cpus": os.cpu_count(), "calls": options.count}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures | machine, indent=2) + "\n")
        print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

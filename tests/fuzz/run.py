# SPDX-License-Identifier: BSD-2-Clause-Patent
"""``make fuzz``: every target for a bounded time, then a table.  Exit status 1 if anything was found; what found it is kept.

The launcher is fuzzed by AFL++ (as root), the protocol by atheris, or by hypothesis without coverage where atheris is not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import fuzz_targets
from fuzzed import build_harness, states
from hypothesis import given, settings
from hypothesis import strategies as st
from installed import new_root

AFL, AFL_COMPILER = Path("/usr/bin/afl-fuzz"), Path("/usr/bin/afl-clang-fast")
ACCOUNT, WORKER = 54_331, 54_332
"""Uids that nobody has: the harness needs owners of files, not accounts."""
AFL_SETTINGS = {
    "AFL_NO_UI": "1", "AFL_QUIET": "1", "AFL_SKIP_CPUFREQ": "1", "AFL_NO_AFFINITY": "1",
    "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",  # a core pattern that is a pipe only delays what is a crash
}  # fmt: skip
LAST = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")
SEED = 1


@dataclass(frozen=True)
class Outcome:
    """What came of a target.

    :param coverage: in the fuzzer's own words.
    :param findings: files that hold the inputs; empty if nothing was found.
    """

    target: str
    tool: str
    executions: int
    coverage: str
    findings: tuple[str, ...]


def fresh(folder: Path) -> Path:
    """Return an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def keep(findings: Iterator[Path] | list[Path], to: Path) -> tuple[str, ...]:
    """Copy inputs that found something to where they outlive the run."""
    kept = []
    for found in findings:
        to.mkdir(parents=True, exist_ok=True)
        kept.append(str(shutil.copy(found, to / found.name.replace(":", "-"))))
    return tuple(kept)


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """Give a folder that root alone can change, and remove it."""
    folder = new_root("fuzz")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def launcher(seconds: int, build: Path) -> Outcome:
    """Fuzz the launcher, each input in a process of its own."""
    with place() as folder:
        harness = build_harness(folder, ACCOUNT, WORKER, compiler=str(AFL_COMPILER))
        seeds, out = fresh(folder / "in"), folder / "out"
        for number, state in enumerate([*(bytes([who]) for who in range(5)), *states(SEED, 40)]):
            (seeds / str(number)).write_bytes(state)
        options = ["-V", str(seconds), "-s", str(SEED), "-m", "none", "-t", "5000"]
        command = [str(AFL), *options, "-i", str(seeds), "-o", str(out), "--", str(harness), "@@"]
        done = subprocess.run(command, env={**os.environ, **AFL_SETTINGS}, capture_output=True, text=True, check=False)
        stats = out / "default" / "fuzzer_stats"
        if not stats.exists():
            sys.exit(f"fuzz: {AFL} ended without a result:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        found = dict(re.split(r"\s*:\s", line, maxsplit=1) for line in stats.read_text(encoding="utf-8").splitlines())
        crashes = [path for kind in ("crashes", "hangs") for path in sorted((out / "default" / kind).glob("id*"))]
        coverage = f"{found['edges_found']} of {found['total_edges']} edges"
        return Outcome("launcher", "AFL++", int(found["execs_done"]), coverage, keep(crashes, build / "launcher"))


def covered(target: str, seconds: int, build: Path) -> Outcome:
    """Fuzz a target of the protocol with atheris."""
    corpus, artifacts = fresh(build / f"{target}-corpus"), fresh(build / target)
    for number, seed in enumerate(fuzz_targets.seeds(target)):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [f"-max_total_time={seconds}", f"-seed={SEED}", "-rss_limit_mb=2048", "-max_len=70000", "-len_control=10"]
    command = [sys.executable, str(Path(__file__).with_name("cover.py")), target, str(corpus), *arguments, f"-artifact_prefix={artifacts}/"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False)
    lines = LAST.findall(done.stderr)
    found = tuple(str(path) for path in sorted(artifacts.iterdir()))
    if not lines or (done.returncode != 0 and not found):
        sys.exit(f"fuzz: atheris ended without a result:\n{done.stderr[-2000:]}")
    if found:
        sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    return Outcome(target, "atheris", int(lines[-1][0]), f"{lines[-1][1]} edges, {lines[-1][2]} features", found)


def uncovered(target: str, seconds: int, build: Path) -> Outcome:
    """Fuzz a target of the protocol with hypothesis, again and again."""
    count = 0
    found: list[str] = []

    @settings(max_examples=1000, deadline=None, database=None)
    @given(st.binary(max_size=4096) | st.builds(bytes.__add__, st.sampled_from(fuzz_targets.seeds(target)), st.binary(max_size=64)))
    def attack(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            fuzz_targets.TARGETS[target](data)
        except Exception:
            path = build / target / "found"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)  # the last one is the shortest: hypothesis shrinks it
            found[:] = [str(path)]
            raise

    end = time.monotonic() + seconds
    while time.monotonic() < end and not found:
        try:
            attack()
        except Exception as error:
            sys.stderr.write(f"{target}: {error!r}\n")
    return Outcome(target, "hypothesis", count, "not measured", tuple(found))


def main() -> int:
    """Fuzz, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="per target")
    parser.add_argument("--build", type=Path, required=True, help="folder for corpora and findings")
    options = parser.parse_args()
    outcomes = []
    missing = []
    if os.geteuid() == 0 and AFL.exists() and AFL_COMPILER.exists():
        outcomes.append(launcher(options.seconds, options.build))
    else:
        missing.append("THE LAUNCHER IS NOT FUZZED: that needs root, and AFL++ (Debian: afl++)")
    fuzz = covered if find_spec("atheris") else uncovered
    if fuzz is uncovered:
        missing.append("NO COVERAGE: atheris is not here for this interpreter; hypothesis makes up inputs blindly")
    outcomes += [fuzz(target, options.seconds, options.build) for target in fuzz_targets.TARGETS]
    for one in outcomes:
        print(f"{one.target:<10} {one.tool:<10} {one.executions:>9} executions  {one.coverage:<32} {len(one.findings)} findings")
        for path in one.findings:
            print(f"           {path}")
    print(*missing, sep="\n")
    return 1 if any(one.findings for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())

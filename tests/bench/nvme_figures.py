# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The figures about NVMe controllers: taken in a guest, which has twelve."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

KEYS = ("sysfs_bind_12_s", "nvme_prepare_12_s", "sysfs_reset_12_s", "nvme_reset_12_s", "nvme_cli_list_12_s", "nvme_scan_12_s")
HERE = Path(__file__).resolve().parent
TIMEOUT_S = 600.0


def measure(helper: Path) -> dict[str, float | None]:
    """Return all figures in seconds; None for each, and why on standard error, where no guest can be booted.

    :param helper: the installed launcher: the guest's root is this machine's.
    """
    sys.path.append(str(HERE.parent / "vm"))
    from vmlab import Guest
    from vmlab.errors import UnavailableError
    from vmlab.spec import IOMMU

    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    try:
        with tempfile.TemporaryDirectory(prefix="daos-bench-") as folder, Guest(IOMMU, Path(folder)) as guest:
            words = [sys.executable, "-B", str(HERE / "nvme_inside.py"), str(helper)]
            done = guest.run(words, env=environment, timeout_s=TIMEOUT_S)
    except UnavailableError as error:
        print(f"bench: no figures about NVMe controllers: {error}", file=sys.stderr)
        return dict.fromkeys(KEYS)
    found = json.loads(done.out.splitlines()[-1])
    return {key: float(found[key]) for key in KEYS}

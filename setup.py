# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The part of the build that pyproject.toml cannot say: which C extensions there are.

A builder that says what is ``MISSING`` here, such as SPDK, is left out; what needs it says so when it is used.
"""

import runpy
import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
BUILDERS = sorted((ROOT / "bindings" / "daos_bindings").glob("_build_*.py"))


def usable(builder: Path) -> bool:
    """Return whether what the builder compiles against is here; say so if it is not."""
    missing = runpy.run_path(str(builder)).get("MISSING")
    if missing:
        print(f"left out: {builder.stem.removeprefix('_build_')}: {missing}", file=sys.stderr)
    return not missing


setup(cffi_modules=[f"{builder.relative_to(ROOT)}:ffibuilder" for builder in BUILDERS if usable(builder)])

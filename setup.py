# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The part of the build that pyproject.toml cannot say: which C extensions there are."""

from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
BUILDERS = sorted((ROOT / "bindings" / "daos_bindings").glob("_build_*.py"))

setup(cffi_modules=[f"{builder.relative_to(ROOT)}:ffibuilder" for builder in BUILDERS])

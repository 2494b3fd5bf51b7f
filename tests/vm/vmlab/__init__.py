# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A machine with storage hardware for tests: a QEMU guest whose root is this machine's own ``/``, thrown away afterwards."""

from vmlab.errors import GuestError, UnavailableError
from vmlab.guest import Guest
from vmlab.session import Completed, Running
from vmlab.spec import FLAVOURS, IOMMU, UIO, Controller, Nvdimm, Spec

__all__ = ["FLAVOURS", "IOMMU", "UIO", "Completed", "Controller", "Guest", "GuestError", "Nvdimm", "Running", "Spec", "UnavailableError"]

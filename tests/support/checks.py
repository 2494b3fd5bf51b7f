# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What must be in no answer of the helper's: where root's files are, and what is in them."""

from __future__ import annotations

ROOT_PLACES = ("/libexec/daos/helper/lib", "dist-packages", "site-packages", ".py", "root:x:0:0", "object at 0x")

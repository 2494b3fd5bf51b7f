# SPDX-License-Identifier: BSD-2-Clause-Patent
from typing import Any

ffi: Any

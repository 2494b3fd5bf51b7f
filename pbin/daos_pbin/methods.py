# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Names of all methods, for the greeting, which must not cost the import of their types."""

PING = "Ping"
NVME_METHODS = (
    "BdevBind",
    "BdevRestore",
    "BdevScan",
    "BdevFormat",
    "NvmeFirmwareQuery",
    "NvmeFirmwareUpdate",
)
"""Those whose types and code are loaded only when the first of them is called."""
PMEM_METHODS = ("ScmScan", "ScmPrepare", "ScmFirmwareQuery", "ScmFirmwareUpdate")
"""Likewise, for persistent memory."""
METHODS = (
    PING,
    "ScmCheckFormat",
    "ScmFormat",
    "ScmMount",
    "ScmUnmount",
    "MetadataNeedsFormat",
    "MetadataFormat",
    "MetadataMount",
    "MetadataUnmount",
    "BdevPrepare",
    "HelperPolicy",
    *NVME_METHODS,
    *PMEM_METHODS,
)

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Names of all methods, for the greeting, which must not cost the import of their types."""

PING = "Ping"
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
)

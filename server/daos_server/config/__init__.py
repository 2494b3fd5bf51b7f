# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The server's configuration file: read it, check it, ask it.

Importing this package costs nothing; ``load`` and ``model`` bring pydantic and are imported by the commands that need them.
"""

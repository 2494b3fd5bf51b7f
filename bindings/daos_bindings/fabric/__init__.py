# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What libfabric and UCX say about this machine's fabric devices; ``ask.py`` is the way in.

Both are foreign C that looks at hardware and can crash or hang: they are loaded only in a process of their own (``child.py``).
"""

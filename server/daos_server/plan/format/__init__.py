# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The plan of ``storage format``: control metadata first, then SCM, then the bdevs of each engine and its NVMe configuration.

Nothing is planned that destroys data without consent: ``--force``, or the consent given to an interrupted format for a step
that it had begun.  One part that needs consent and has none refuses the whole command, before anything is touched.

``planner.py`` puts it together in a ``draft.py``.
"""

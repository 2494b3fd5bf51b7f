# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The commands by group: names, options and help texts.  What a command does is imported when it runs."""

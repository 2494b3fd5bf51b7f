# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Stands in front of the installed start.py: tells on standard error which modules are loaded, before it and by it.

In a worker standard error is its log, so what a worker loads is told to the caller as log lines.  The path of the real start.py is
in a file beside this one.
"""

import os
import sys

MARK = "loads "


def tell(event, arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - typing would have to be imported
    """Tell of an import that was not there before."""
    if event == "import":
        os.write(2, f"{MARK}{arguments[0]}\n".encode())


for loaded in list(sys.modules):
    os.write(2, f"{MARK}{loaded}\n".encode())
sys.addaudithook(tell)
with open(f"{os.path.dirname(__file__)}/real", encoding="utf-8") as file:
    real = file.read()
with open(real, encoding="utf-8") as file:
    program = compile(file.read(), real, "exec")
exec(program, {"__name__": "__main__", "__file__": real})  # noqa: S102 - the installed program, as it is

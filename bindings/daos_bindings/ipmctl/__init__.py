# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What libipmctl says about persistent memory modules, their regions, goals and firmware, in our types.

The library can hang for minutes, crash, and print: everything here runs in a worker only, which has a deadline, keeps its
output apart and dies alone.  One worker does one step and ends without ``nvm_uninit``, which would rewrite the library's
configuration file under /usr/share.
"""

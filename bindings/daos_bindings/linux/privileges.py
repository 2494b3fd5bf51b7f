# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Giving privileges up for good, and proving it.

python-prctl does what it knows; ``syscalls`` does capability sets and the capabilities that python-prctl has no name for.
Everything here is about the calling thread, so a process with several is refused: the others would keep what it has.
"""

from __future__ import annotations

import os
import signal

import prctl

from daos_bindings.linux import capabilities as caps
from daos_bindings.linux import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import ParamSpec

    P = ParamSpec("P")

# include/uapi/linux/securebits.h; python-prctl 1.8 does not know these two.
SECBIT_NO_CAP_AMBIENT_RAISE = 1 << 6
SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7

WORKER_BITS = prctl.SECBIT_NOROOT | prctl.SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED
"""Uid 0 means nothing to execve any more, nothing gets into the ambient set, and neither can be undone."""

KNOWN_TO_PRCTL = frozenset(prctl.ALL_CAPS)
"""Numbers that python-prctl accepts; it refuses those that were new to the headers it was built with."""

ORPHAN_STATUS = 1
"""Exit status of a child whose parent was gone before it could ask for the signal; there is nobody to see it."""

UNCHANGED = -1


class PrivilegeError(Exception):
    """Privileges could not be given up, or came back.  The process must not go on.

    :param what: what was tried, or what came back.
    :param cause: the operating system's reason; empty if there is none.
    """

    def __init__(self, what: str, cause: str = "") -> None:
        super().__init__(f"{what}: {cause}" if cause else what)
        self.what = what
        self.cause = cause


def _do(what: str, call: Callable[P, object], *args: P.args, **named: P.kwargs) -> None:
    """Call, and raise a PrivilegeError that says *what* if the system refuses."""
    try:
        call(*args, **named)
    except OSError as error:
        raise PrivilegeError(what, error.strerror or str(error)) from error


def _must_be_refused(what: str, call: Callable[P, object], *args: P.args, **named: P.kwargs) -> None:
    """Call, and raise a PrivilegeError unless the system refuses."""
    try:
        call(*args, **named)
    except OSError:
        return
    raise PrivilegeError(what)


def _must_be(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise PrivilegeError(f"{what} should be {wanted} and is {found}")


def _must_be_mask(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise PrivilegeError(f"{what} should be {_words(wanted)} and is {_words(found)}")


def _must_have_one_thread() -> None:
    threads = os.stat("/proc/self/task").st_nlink - 2  # a folder for each, beside "." and ".."
    if threads != 1:
        raise PrivilegeError(f"{threads} threads are running, and only the calling one would lose its privileges")


def limit_bounding(keep: Iterable[str]) -> None:
    """Drop every capability but *keep* from the bounding set, for good, those without a name included.

    Nothing is added: what is missing already stays missing.

    :raises PrivilegeError: without CAP_SETPCAP, or if one is still there afterwards.
    :raises KeyError: for an unknown name in *keep*.
    """
    kept = caps.mask(keep)
    last = caps.last_capability()
    surplus = syscalls.read_thread(last).bounding & ~kept
    while surplus:
        number = surplus.bit_length() - 1
        surplus ^= 1 << number
        drop = prctl.capbset_drop if number in KNOWN_TO_PRCTL else syscalls.bounding_drop
        _do("drop a capability from the bounding set", drop, number)
    left = syscalls.read_thread(last).bounding & ~kept
    if left:
        raise PrivilegeError(f"the bounding set still has {_words(left)}")


def become(uid: int, gid: int, *, capabilities: Collection[str]) -> None:
    """Become *uid* and *gid* with exactly *capabilities*, for good: what a worker of the helper does before its step.

    Uid 0 without capabilities is a user who owns root's files and nothing else, whatever it executes.

    :param capabilities: names, effective and permitted afterwards, and all that is left in the bounding set.
    :raises PrivilegeError: if anything was refused, or could be had back.  Some of it may be gone by then: end the process.
    :raises KeyError: for an unknown capability, before anything is changed.
    """
    wanted = caps.mask(capabilities)
    _must_have_one_thread()
    # These two need CAP_SETPCAP, which goes with everything else below.
    _do("set the secure bits", syscalls.set_securebits, WORKER_BITS)
    limit_bounding(capabilities)
    _do("empty the ambient set", syscalls.ambient_clear)
    _do("leave the supplementary groups", os.setgroups, [])
    _do(f"become gid {gid}", os.setresgid, gid, gid, gid)
    _do("keep capabilities over the change of uid", prctl.set_keepcaps, 1)
    _do(f"become uid {uid}", os.setresuid, uid, uid, uid)
    _do("stop keeping capabilities", prctl.set_keepcaps, 0)
    _do("set the capability sets", syscalls.capset, effective=wanted, permitted=wanted, inheritable=0)
    _do("set no_new_privs", prctl.set_no_new_privs, 1)
    prove(uid, gid, capabilities=capabilities)


def prove(uid: int, gid: int, *, capabilities: Collection[str]) -> None:
    """Try to get back what ``become`` gave up, and read again what is left.

    :raises PrivilegeError: if anything came back, or is not as ``become`` leaves it.
    """
    wanted = caps.mask(capabilities)
    _try_ids(uid, gid)
    _try_capabilities(wanted)
    _must_be_refused("the secure bits could be cleared", syscalls.set_securebits, 0)
    _try_ambient(wanted)
    found = _check_ids(uid, gid, groups=())
    _must_be_mask("the bounding set", found.bounding, wanted)
    _check_sets(found, wanted)
    _must_be("the secure bits", prctl.get_securebits(), WORKER_BITS)
    _must_be("no_new_privs", found.no_new_privs, True)


def drop_to_account(uid: int, gid: int, *, bounding: Iterable[str]) -> None:
    """Become an ordinary user for good: what the server does when root starts it.

    The bounding set is cut to *bounding*, which the kernel then imposes on the setuid helper too.  no_new_privs and the secure
    bits stay as they are, or setuid would be dead.

    :raises ValueError: for uid 0, which is no ordinary user.
    :raises PrivilegeError: if anything was refused, or could be had back.
    :raises KeyError: for an unknown capability, before anything is changed.
    """
    if uid <= 0 or gid < 0:
        raise ValueError(f"uid {uid}, gid {gid} is no account to drop to")
    kept = tuple(bounding)
    limit_mask = caps.mask(kept)
    _must_have_one_thread()
    before = syscalls.read_thread(caps.last_capability())
    limit_bounding(kept)
    _do("empty the ambient set", syscalls.ambient_clear)
    _do("leave the supplementary groups", os.setgroups, [gid])
    _do(f"become gid {gid}", os.setresgid, gid, gid, gid)
    _do("stop keeping capabilities", prctl.set_keepcaps, 0)
    _do(f"become uid {uid}", os.setresuid, uid, uid, uid)
    _do("empty the capability sets", syscalls.capset, effective=0, permitted=0, inheritable=0)
    prove_account(uid, gid)
    _must_be_mask("the bounding set", syscalls.read_thread(caps.last_capability()).bounding, before.bounding & limit_mask)


def prove_account(uid: int, gid: int) -> None:
    """Try to get root back after ``drop_to_account``, and read again what is left.

    :raises PrivilegeError: if anything came back, or is not as ``drop_to_account`` leaves it.
    """
    _try_ids(uid, gid)
    _try_capabilities(0)
    found = _check_ids(uid, gid, groups=(gid,))
    _check_sets(found, 0)


def _try_ids(uid: int, gid: int) -> None:
    """Try every way back to root's ids that there is; as uid or gid 0 there is none to try."""
    if uid:
        _must_be_refused("uid 0 came back", os.setresuid, 0, 0, 0)
        _must_be_refused("effective uid 0 came back", os.setresuid, UNCHANGED, 0, UNCHANGED)
        _must_be_refused("saved uid 0 came back", os.setresuid, UNCHANGED, UNCHANGED, 0)
    if gid:
        _must_be_refused("gid 0 came back", os.setresgid, 0, 0, 0)
        _must_be_refused("effective gid 0 came back", os.setresgid, UNCHANGED, 0, UNCHANGED)
    _must_be_refused("supplementary groups came back", os.setgroups, [0])


def _try_capabilities(wanted: int) -> None:
    """Ask for each capability that should be gone, for the process itself and for children."""
    back = syscalls.capability_that_comes_back(wanted, caps.last_capability())
    if back is not None:
        number, for_children = back
        raise PrivilegeError(f"{caps.name(number)} came back{' for children' if for_children else ''}")


def _try_ambient(wanted: int) -> None:
    """Try to hand on what is left through execve: make each one inheritable, which is allowed, then ambient, which is not."""
    for number in range(wanted.bit_length()):
        if wanted >> number & 1:
            _do("make a capability inheritable", syscalls.capset, effective=wanted, permitted=wanted, inheritable=1 << number)
            _must_be_refused(f"{caps.name(number)} could be made ambient", syscalls.ambient_raise, number)
    _do("empty the inheritable set", syscalls.capset, effective=wanted, permitted=wanted, inheritable=0)


def _check_ids(uid: int, gid: int, *, groups: tuple[int, ...]) -> syscalls.Thread:
    """Compare the ids, the file system's ones included; returns what else the kernel holds of the thread."""
    found = syscalls.read_thread(caps.last_capability())
    _must_be("the uids", os.getresuid(), (uid, uid, uid))
    _must_be("the gids", os.getresgid(), (gid, gid, gid))
    _must_be("the uid for files", found.fsuid, uid)
    _must_be("the gid for files", found.fsgid, gid)
    _must_be("the supplementary groups", tuple(os.getgroups()), groups)
    return found


def _check_sets(found: syscalls.Thread, wanted: int) -> None:
    sets = syscalls.capget()
    _must_be_mask("the effective capabilities", sets.effective, wanted)
    _must_be_mask("the permitted capabilities", sets.permitted, wanted)
    _must_be_mask("the inheritable capabilities", sets.inheritable, 0)
    _must_be_mask("the ambient capabilities", found.ambient, 0)


def _words(mask: int) -> str:
    return ", ".join(caps.names(mask)) or "none"


def die_with_parent(parent_pid: int) -> None:
    """Ask to be killed when the parent ends; exit at once if it has already.

    After every change of uid, which clears the request.

    :param parent_pid: who the parent is supposed to be, as it said before it forked.
    """
    _do("ask to die with the parent", prctl.set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(ORPHAN_STATUS)


def no_new_privs() -> bool:
    """Tell whether this process can gain nothing by executing, setuid programs included."""
    return bool(prctl.get_no_new_privs())

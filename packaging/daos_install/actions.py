# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Install and uninstall, step by step."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daos_install import accounts, interpreter, manifest, programs, settings, stages, units
from daos_install.accounts import Account
from daos_install.errors import InstallError
from daos_install.interpreter import Interpreter, require_trusted
from daos_install.launcher import LauncherPaths, compile_launcher
from daos_install.layout import SOURCE, Layout
from daos_install.manifest import Manifest
from daos_install.place import Content, Folder, Item, missing_folders, place_folder, place_item, remove_file

ROOT = Account("root", 0, 0)
LAUNCHER_MODE = 0o4750

Say = Callable[[str], None]


def install(layout: Layout, given_interpreter: str, build_folder: Path, say: Say) -> None:
    """Install, or repeat an install that was killed, or bring an older one up to date.

    :param given_interpreter: path of the interpreter; empty for the distribution's newest.
    :param build_folder: where finished parts of the build are kept.
    :raises InstallError: with the reason and what to do; nothing outside the build folder was changed if it is about the machine.
    """
    require_root("install")
    found = interpreter.find(given_interpreter)
    check_places(layout)
    say(f"interpreter {found.path} ({found.version[0]}.{found.version[1]})")
    with build_lock(build_folder):
        built = stages.build(found, build_folder, say)
        with tempfile.TemporaryDirectory(prefix="launcher-", dir=build_folder) as folder:
            launcher = Path(folder) / "daos_server_helper"
            say("compiling the launcher")
            compile_launcher(launcher_paths(layout, found), launcher)
            put_in_place(layout, found, built, launcher, say)


def launcher_paths(layout: Layout, found: Interpreter) -> LauncherPaths:
    """Return what is compiled into the launcher."""
    return LauncherPaths(
        interpreter=found.path,
        start_file=layout.start_file,
        account_file=layout.account_file,
        worker_file=layout.worker_file,
        launcher=layout.helper,
        refusals_file=layout.audit_read_log,
    )


def put_in_place(layout: Layout, found: Interpreter, built: stages.Stages, launcher: Path, say: Say) -> None:
    """Everything after the build: the manifest first, the launcher last."""
    record = layout.staged(layout.manifest)
    before = manifest.read(record)
    new_accounts = set() if layout.destdir else set(accounts.missing(layout))
    content = planned(layout, found, built, ROOT, ROOT)  # owners come later: only the paths matter here
    system, left_out = settings.items(layout)
    system_folders = [Folder(str(Path(item.path).parent), shared=True) for item in system]
    new_folders = missing_folders(layout, content.folders + system_folders) | before.directories
    after = Manifest(
        {item.path for item in content.items} | {layout.helper},
        new_folders,
        new_accounts | before.accounts,
        {layout.rundir} | {layout.state_dir, layout.helper_state, layout.log_dir} & new_folders,
        {item.path: settings.wanted(item) for item in system if not layout.staged(item.path).exists()},
    )
    if not layout.destdir:
        record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        after.merge(before).write(record)
        accounts.register(layout.manifest, new_accounts | before.accounts)
    for name in sorted(new_accounts):
        say(f"making system account {name}")
        accounts.make(name, layout.state_dir if name == layout.account else "/")
    server, worker = (ROOT, ROOT) if layout.destdir else accounts.required(layout)
    content = planned(layout, found, built, server, worker)
    for folder in content.folders + system_folders:
        place_folder(layout, folder)
    after.settings, kept = settings.place(layout, system, before.settings)
    for line in left_out + kept:
        say(line)
    changed = sum([place_item(layout, item) for item in content.items])
    stale = before.files - after.files
    for path in stale:
        remove_file(layout, path)
    mode = 0o750 if layout.destdir else LAUNCHER_MODE
    changed += place_item(layout, Item(layout.helper, mode, 0, server.gid, source=launcher))
    if not layout.destdir:
        after.write(record)
    say(f"{len(after.files)} files under {layout.destdir}{layout.prefix}: {changed} written, {len(stale)} removed, the rest as it was")
    if layout.destdir:
        say("staged for a package: its post-install script runs 'install.py own'")


def planned(layout: Layout, found: Interpreter, built: stages.Stages, server: Account, worker: Account) -> Content:
    """Return everything that is put in place but the launcher."""
    content = Content()
    shared = (layout.prefix, layout.bin, *(f"{layout.prefix}/{name}" for name in ("lib", "libexec", "share")), layout.sysconfdir)
    content.folders += [Folder(path, shared=True) for path in shared]
    content.folders += [
        Folder(path) for path in (f"{layout.prefix}/libexec/daos", layout.helper_dir, f"{layout.prefix}/lib/daos", layout.share)
    ]
    for libs, packages, target in (
        (built.helper_libs, ("daos_pbin", "daos_bindings", "daos_helper"), layout.helper_lib),
        (built.server_libs, ("daos_pbin", "daos_bindings", "daos_server"), layout.server_lib),
    ):
        content.add_tree(libs, target)
        for name in packages:
            content.add_tree(built.ours / name, f"{target}/{name}")
    content.folders += [Folder(path, shared=True) for path in (str(Path(layout.units).parent), layout.units)]
    content.items += units.items(layout)
    content.items += shared_items(layout)
    content.folders += [Folder(path) for path in sorted({str(Path(item.path).parent) for item in shared_items(layout)})]
    content.items += [
        Item(layout.start_file, content=programs.start_program(layout, found.path).encode()),
        Item(layout.account_file, 0, server.uid, server.gid),
        Item(layout.worker_file, 0, worker.uid, worker.gid),
        Item(layout.server, 0o755, content=programs.server_program(layout, found.path).encode()),
    ]
    content.folders += [
        Folder(layout.state_dir, 0o700, server.uid, server.gid),
        Folder(layout.helper_state, 0o700),
        Folder(layout.log_dir, 0o750),
    ]
    return content


def shared_items(layout: Layout) -> list[Item]:
    """Return examples, the accounts' sysusers file, and the exact versions that are inside."""
    sources = [(path, f"examples/{path.name}") for path in sorted((SOURCE / "packaging" / "examples").glob("*")) if path.is_file()]
    sources += [(path, f"sysusers.d/{path.name}") for path in sorted((SOURCE / "packaging" / "sysusers").glob("*.conf"))]
    sources += [(stages.requirement(name), f"dependencies/{name}.txt") for name in ("helper", "server")]
    sources += [(SOURCE / "LICENSE", "LICENSE")]
    return [Item(f"{layout.share}/{name}", source=path) for path, name in sources]


def own(layout: Layout, say: Say) -> None:
    """A package's post-install step: accounts, the owners that a package cannot carry, and the setuid bit, last.

    :raises InstallError: if the package's files are not there.
    """
    require_root("own")
    for name in accounts.missing(layout):
        say(f"making system account {name}")
        accounts.make(name, layout.state_dir if name == layout.account else "/")
    server, worker = accounts.required(layout)
    for item in (Item(layout.account_file, 0, server.uid, server.gid), Item(layout.worker_file, 0, worker.uid, worker.gid)):
        place_item(layout, item)
    place_folder(layout, Folder(layout.state_dir, 0o700, server.uid, server.gid))
    launcher = layout.staged(layout.helper)
    if not launcher.is_file():
        raise InstallError(f"{launcher} is missing: unpack the package first")
    place_item(layout, Item(layout.helper, LAUNCHER_MODE, 0, server.gid, source=launcher))


def uninstall(layout: Layout, say: Say) -> None:
    """Remove what the manifest names, and nothing else; say what was left, and why.

    :raises InstallError: if nothing is installed there, storage is mounted on it, or systemd listens for it.
    """
    require_root("uninstall")
    record = layout.staged(layout.manifest)
    if layout.destdir:
        raise InstallError("uninstall is for this machine: a package's staging folder is simply deleted")
    if not record.exists():
        raise InstallError(f"nothing is installed under {layout.prefix} ({record} is not there); was it another PREFIX?")
    recorded = manifest.read(record)
    going = accounts.removable(layout.manifest, recorded.accounts)
    units.refuse_socket(layout)
    refuse_mounts([*sorted(recorded.data), layout.prefix])
    refuse_processes(going)
    remove_file(layout, layout.helper)
    for path in recorded.data:
        if os.path.lexists(path):
            shutil.rmtree(path)
    for log in (layout.audit_log, layout.audit_log.removesuffix(".log") + "-read.log"):
        remove_file(layout, log)
        remove_file(layout, log + ".1")
    for path in recorded.files:
        remove_file(layout, path)
    left = settings.remove(layout, recorded.settings)
    left += [f"account {name}: {reason}" for name in sorted(going) if (reason := accounts.remove(name))]
    left += [f"the accounts, which {path} uses as well" for path in accounts.others(layout.manifest)]
    record.unlink()
    accounts.release(layout.manifest)
    for path in sorted(recorded.directories - recorded.data, key=len, reverse=True):
        left += remove_folder(path)
    for line in left:
        say(f"left: {line}")
    say(f"{len(recorded.files)} files removed from {layout.prefix}")


def remove_folder(path: str) -> list[str]:
    """Remove a folder that install made; return why not, if it is not empty."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
            raise
        return [f"{path}: not empty, and what is in it is not ours"]
    return []


def refuse_mounts(folders: list[str]) -> None:
    """Refuse while anything is mounted below the folders.

    :raises InstallError: naming the mounts.
    """
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        target = line.split(" ")[4].encode("latin-1", "replace").decode("unicode_escape")
        if any(target == folder or target.startswith(folder + "/") for folder in folders):
            found.append(target)
    if found:
        raise InstallError(
            f"still mounted: {', '.join(found)}. Unmount it first (daos_server storage reset), or its data would be lost with the folder"
        )


def refuse_processes(names: set[str]) -> None:
    """Refuse while anything runs as one of the accounts that would be removed: before anything is, so that nothing is left half gone.

    :raises InstallError: naming the processes.
    """
    uids = {found.uid for name in names if (found := accounts.lookup(name)) is not None}
    running = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and uids & real_uids(path))
    if running:
        shown = ", ".join(map(str, running))
        raise InstallError(f"still running as {' or '.join(sorted(names))}: process {shown}. Stop it first, then repeat")


def real_uids(process: Path) -> set[int]:
    """Return the uids of a process; none if it has ended meanwhile."""
    try:
        status = (process / "status").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {int(uid) for line in status.splitlines() if line.startswith("Uid:") for uid in line.split()[1:]}


def check_places(layout: Layout) -> None:
    """Refuse folders that would give root's files away, before anything is built.

    :raises InstallError: naming the folder and what is wrong with it.
    """
    if layout.destdir:
        return
    for option, path in (
        ("PREFIX", layout.prefix),
        ("SYSCONFDIR", layout.sysconfdir),
        ("LOCALSTATEDIR", layout.localstatedir),
        # The folder itself is the helper's, mode 0700, which nobody else shall enter.
        ("RUNDIR", str(Path(layout.rundir).parent)),
    ):
        present = next(folder for folder in [Path(path), *Path(path).parents] if folder.exists())
        if os.path.realpath(present) != str(present):
            raise InstallError(
                f"{option}={path}: {present} leads through a symbolic link to {os.path.realpath(present)}; name that instead"
            )
        require_trusted(str(present), f"{option}={path}")
    present = next(folder for folder in [Path(layout.prefix), *Path(layout.prefix).parents] if folder.exists())
    flags = os.statvfs(present).f_flag
    for flag, name in ((os.ST_NOSUID, "nosuid"), (os.ST_NOEXEC, "noexec"), (os.ST_RDONLY, "read-only")):
        if flags & flag:
            raise InstallError(
                f"PREFIX={layout.prefix}: its file system is mounted {name}; the helper must be setuid there. Choose another PREFIX"
            )


def require_root(action: str) -> None:
    """Refuse anyone but root.

    :raises InstallError: if this is not root.
    """
    if os.geteuid() != 0:
        raise InstallError(f"{action} needs root: it makes system accounts and a setuid program (sudo make {action})")


@contextmanager
def build_lock(folder: Path) -> Iterator[None]:
    """Hold off a second installer that would build in the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The demonstration: what an administrator does on a storage node, on a machine that has nothing but RAM and files.

It runs in a mount namespace of its own, in which /etc/daos, /mnt and the server's state folder are empty: no configuration, policy
or mount of this machine is seen or touched, and whatever kills the demonstration, its mounts end with it.  Two things
are outside: the image and the "SSD" in /var/tmp/daos-demo, and 64 hugepages.  Every run begins by removing what an earlier
one may have left of these.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("/var/tmp/daos-demo")  # noqa: S108 - made by root with mkdir, and refused if it is anybody else's
IMAGE = FOLDER / "metadata.img"
IMAGE_MIB = 256
FILES = FOLDER / "files"
CLONE_NEWNS = 0x00020000
MOUNT = "/usr/bin/mount"
LOSETUP = "/usr/sbin/losetup"
CAPABILITIES = ("CapPrm", "CapEff", "CapBnd")


class DemoError(Exception):
    """Something did not happen as the demonstration says it does."""


def main() -> int:
    """Run the demonstration; return the exit status."""
    parser = argparse.ArgumentParser(description="Prepare, scan and format example storage, then take everything down again.")
    parser.add_argument("--prefix", default="/opt/daos", help="where 'make install' put the programs")
    parser.add_argument("--sysconfdir", default="/etc/daos", help="the SYSCONFDIR of that installation")
    parser.add_argument("--localstatedir", default="/var", help="the LOCALSTATEDIR of that installation")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("demo: must be run as root: it installs a setuid program and mounts file systems", file=sys.stderr)
        return 1
    started = time.monotonic()
    try:
        with Demo(Path(options.prefix), Path(options.sysconfdir), Path(options.localstatedir) / "lib" / "daos_server") as demo:
            demo.run()
    except (DemoError, OSError, subprocess.CalledProcessError) as error:
        print(f"\ndemo: failed: {error}", file=sys.stderr)
        return 1
    print(f"\nDone in {time.monotonic() - started:.1f} s. Nothing of it is left.")
    print(f"The programs stay in {options.prefix} until 'make uninstall'.")
    return 0


class Demo:
    """The stage: private mounts, a loop device, a configuration and a policy; all of it gone at the end."""

    def __init__(self, prefix: Path, etc: Path, state: Path) -> None:
        self.etc = etc
        self.state = state
        self.server = prefix / "bin" / "daos_server"
        self.helper = prefix / "bin" / "daos_server_helper"
        self.examples = prefix / "share" / "daos" / "examples"
        self.account = pwd.getpwnam("daos_server")
        self.loop = ""
        self._loop_fd = -1
        self._lock = -1

    def __enter__(self) -> Demo:
        self._make_folder()
        self._be_alone()
        self._private_mounts()
        remove_leftovers()
        self._make_device()
        return self

    def __exit__(self, *_: object) -> None:
        """Take down what is outside the namespace; the rest ends with this process."""
        if self.loop:
            subprocess.run([str(self.server), "storage", "reset", "--force"], check=False, capture_output=True)
        if self._loop_fd >= 0:
            os.close(self._loop_fd)
        remove_leftovers()
        os.close(self._lock)
        shutil.rmtree(FOLDER)

    def _make_folder(self) -> None:
        FOLDER.mkdir(mode=0o755, exist_ok=True)
        found = FOLDER.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
            raise DemoError(f"{FOLDER} is there already and is not root's: remove it, then run the demonstration again")
        FOLDER.chmod(0o755)

    def _be_alone(self) -> None:
        """Wait for what is left of an earlier run that was killed: its children hold the lock until they end."""
        self._lock = os.open(FOLDER / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(self._lock, True)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for an earlier demonstration to end ...", flush=True)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def _private_mounts(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare: a mount namespace of its own is needed")
        quietly(MOUNT, "--make-rprivate", "/")
        for folder, mode, owner in (
            (self.etc, 0o755, 0),
            (Path("/mnt"), 0o755, 0),
            (self.state, 0o700, self.account.pw_uid),
        ):
            folder.mkdir(exist_ok=True)
            quietly(MOUNT, "-t", "tmpfs", "-o", f"mode={mode:04o},uid={owner}", "daos-demo", str(folder))

    def _make_device(self) -> None:
        with open(IMAGE, "wb") as image:
            image.truncate(IMAGE_MIB << 20)
        FILES.mkdir(mode=0o755)
        os.chown(FILES, self.account.pw_uid, self.account.pw_gid)
        self.loop = output(LOSETUP, "--find", "--show", str(IMAGE))
        self._loop_fd = os.open(self.loop, os.O_RDONLY | os.O_CLOEXEC)
        # Detaching a device that is open only marks it: the kernel detaches it when we, and our mounts, are gone.
        quietly(LOSETUP, "--detach", self.loop)

    def run(self) -> None:
        """The demonstration itself."""
        title("1. The programs, and whether the helper may be trusted")
        self.show("version")
        self.show("helper", "check")

        title("2. A configuration, and root's own policy for the helper")
        example = (self.examples / "daos_server_demo.yml").read_text()
        (self.etc / "daos_server.yml").write_text(example.replace("/dev/loop0", self.loop))
        say(f"{self.etc}/daos_server.yml is the shipped example; its storage:")
        print(indent(example[example.index("control_metadata:") :].replace("/dev/loop0", self.loop)))
        say("Loop devices are refused unless root's policy names them:")
        self.show("storage", "format", expect=1)
        policy = f'devices_allow = ["{self.loop}"]\n'
        (self.etc / "helper.toml").write_text(policy)
        say(f"so {self.etc}/helper.toml gets the line that the refusal printed:\n    {policy}")

        title("3. Prepare: hugepages")
        self.show("storage", "prepare", "--dry-run")
        self.show("storage", "prepare")
        self.show("storage", "scan")

        title("4. Format")
        self.show("storage", "format", "--dry-run")
        self.show("storage", "format")
        self.show_results()

        title("5. A second format is refused, a forced one is not")
        self.pretend_to_be_an_engine()
        self.show("storage", "format", expect=1)
        self.show_privileges()

        title("6. Reset: what a tmpfs holds is lost with it, so this wants --force too")
        self.pretend_to_be_an_engine()
        self.show("storage", "reset", expect=1)
        self.show("storage", "reset", "--force")

    def show(self, *arguments: str, expect: int = 0) -> None:
        """Run daos_server as an administrator would, and show what it says."""
        command = [str(self.server), *arguments]
        print(f"\n# {shlex.join(['daos_server', *arguments])}", flush=True)
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, close_fds=False)
        if done.returncode != expect:
            raise DemoError(f"{shlex.join(command)} ended with status {done.returncode}, not {expect}")
        if expect:
            print(f"(exit status {done.returncode}, as it should)", flush=True)

    def pretend_to_be_an_engine(self) -> None:
        """Put something into SCM that can be lost."""
        path = Path("/mnt/daos0/pool")
        path.write_text("what an engine would keep here\n")
        os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def show_results(self) -> None:
        """Show what is on the disk now."""
        say("What is there now:")
        print(indent(output("/usr/bin/findmnt", "--noheadings", "--output", "TARGET,FSTYPE,OPTIONS", "/mnt/daos0")))
        print(indent(output("/usr/bin/ls", "-ln", str(FILES))))
        quietly(MOUNT, "-o", "ro", self.loop, "/mnt")
        try:
            conf = Path("/mnt/daos_control/engine0/daos_nvme.conf")
            print(indent(output("/usr/bin/find", "/mnt/daos_control", "-printf", "%M %u %p\n")))
            print(f"    {len(json.loads(conf.read_text())['subsystems'][0]['config'])} entries in the engine's {conf.name}")
        finally:
            quietly("/usr/bin/umount", "/mnt")

    def show_privileges(self) -> None:
        """Run a forced format, and read from the kernel what each of its processes may do while it runs."""
        print("\n# daos_server storage format --force", flush=True)
        command = [str(self.server), "storage", "format", "--force"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
        seen: dict[tuple[str, ...], None] = {}
        while process.poll() is None:
            for pid, role in family(process.pid):
                row = privileges_of(pid, role)
                if row is not None:
                    seen.setdefault(row)
        if process.returncode != 0:
            raise DemoError(f"{shlex.join(command)} ended with status {process.returncode}")
        say("What its processes were allowed to do, read from /proc while they ran:")
        rows = [("process", "uid", "effective capabilities", "bounding set", "no_new_privs"), *sorted(seen)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            print("    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if not any(row[0] == "server" and row[1] == self.account.pw_name and row[2] == "none" for row in seen):
            raise DemoError("the server was never seen without privileges")


def remove_leftovers() -> None:
    """Remove what a run that was killed left outside its namespace."""
    for line in output(LOSETUP, "--noheadings", "--output", "NAME", "--associated", str(IMAGE)).split():
        quietly(LOSETUP, "--detach", line)
    IMAGE.unlink(missing_ok=True)
    if FILES.is_dir():
        shutil.rmtree(FILES)


def family(server: int) -> list[tuple[int, str]]:
    """Return the server, the helper that it started, and the helper's workers, as far as they are there now."""
    found = [(server, "server")]
    for child in children(server):
        found.append((child, "helper"))
        found += [(worker, "worker") for worker in children(child)]
    return found


def children(pid: int) -> list[int]:
    """Return a process's children; none if it is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def privileges_of(pid: int, role: str) -> tuple[str, ...] | None:
    """Return what the kernel says a process may do, or None if it is gone or not yet what it is going to be."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    if "CapEff" not in status or status["State"].startswith("Z"):
        return None
    uid = int(status["Uid"].split()[1])
    sets = {name: capabilities(int(status[name], 16)) for name in CAPABILITIES}
    settled = {"server": uid != 0, "helper": uid == 0, "worker": status["NoNewPrivs"] == "1"}
    if not settled[role]:
        role += " (starting)"
    return role, user(uid), sets["CapEff"], sets["CapBnd"], status["NoNewPrivs"]


NAMES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast"
    " net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice"
    " sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog"
    " wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
"""In the order of linux/capability.h."""


def capabilities(mask: int) -> str:
    """Return the names in a mask; many are only counted."""
    known = NAMES.split()
    names = [known[bit] if bit < len(known) else str(bit) for bit in range(64) if mask >> bit & 1]
    if len(names) > 10:
        return f"{len(names)} capabilities"
    return " ".join(names) or "none"


def user(uid: int) -> str:
    """Return the name of a uid."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def title(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def say(text: str) -> None:
    """Print a remark."""
    print(f"\n{text}", flush=True)


def indent(text: str) -> str:
    """Return the text moved to the right."""
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip().splitlines())


def output(*command: str) -> str:
    """Run a program and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def quietly(*command: str) -> None:
    """Run a program; what it says is only shown if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise DemoError(f"{shlex.join(command)}: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())

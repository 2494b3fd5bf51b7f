# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The long explanation of every fault code, which ``daos_server explain CODE`` prints.

Each says what the fault means, what usually causes it, how to find out which cause it is, and how to repair it.  Paragraphs
are separated by an empty line; a line that is indented is a command or a setting, to be taken as it is.
"""

from __future__ import annotations


def explain(code: int) -> str:
    """Return the explanation of a fault code.

    Each paragraph is one line, to be wrapped to the reader's terminal, with an empty line between paragraphs; an indented
    line is to be printed as it is.

    :raises KeyError: for an unknown code.
    """
    paragraphs = _EXPLANATIONS[code].strip("\n").split("\n\n")
    return "\n\n".join(text if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs)


_EXPLANATIONS: dict[int, str] = {
    # General
    0: """
This number is a last resort: an error reached the command line without any code of its own.

It usually comes from a peer of another version, whose fault this program does not know, or from a place in the code
that should have named its error and did not.

Compare versions first (`daos_server version` on both ends). Then look at the control log and at the helper's audit
log, /var/log/daos/helper.log or the journal, for the same minute. If both ends have the same version, it is a bug
worth reporting: include the full line and both logs.
""",
    1: """
Persistent memory is used through namespaces, the block devices /dev/pmemN. Listing, creating and destroying them is
the work of the ndctl program, and it was not found at the fixed place where the helper looks.

The helper never searches PATH, so a private copy in /usr/local or in somebody's home does not count. That is on
purpose: a program that root runs must come from a folder that only root can change.

Install the distribution's package and run the command again; no restart is needed. A machine without persistent
memory does not need ndctl: check that no engine in daos_server.yml has a tier of class dcpm.
""",
    2: """
ipmctl configures persistent memory modules. Three of its releases, 02.00.00.3809, 02.00.00.3814 and 02.00.00.3816,
are known not to work for DAOS, and a plan made from their output cannot be relied on. Releases before 2 and after 3 may
lay out their data differently, so they are refused as well.

The version is asked once, before anything is changed, so nothing has happened to the memory. `ipmctl version` prints
what is installed.

Upgrade the package, and libipmctl with it, since both come from the same source. Mixed versions of the program and
the library are a fault of their own kind and harder to see.
""",
    3: """
daos_server itself has no rights; the few steps that need root are done by a small setuid program. The kernel started
that program, but did not make it root.

There are four usual causes. The setuid bit or root's ownership was lost, often by a copy, a restored backup or a
chown -R. The file system it lies on is mounted nosuid. The caller has no_new_privs set, most often by
NoNewPrivileges=yes in a systemd unit or by a container. Or the program was started under a debugger or strace by a
user who is not root.

`daos_server helper check` looks at each of these without needing a working helper. The right state of the file is
owner root, group daos_server, mode 4750. Reinstalling the package restores it.
""",
    4: """
Storage work needs the setuid helper, and it could not be started at all.

If the file is missing, the installation is incomplete or was moved: the server looks for the helper at the path fixed
at install and nowhere else. If the file is there, the user is not allowed to execute it: mode 4750 with group
daos_server means that only root and members of that group may. A third cause is a file system mounted noexec.

`ls -l` on the path tells which it is, and `daos_server helper check` says the same with the remedy. Commands that do
no storage work, such as `version` and `explain`, never need the helper.
""",
    5: """
The helper was started and understood the request, but an error came up that has no number of its own, so the text is
handed on as it is.

With this server most failures have their own code, and this one is kept for what comes from a helper of another make,
or for an operating system error that nobody foresaw.

Every request leaves a start and an end line in the audit log, with the method, the object and the verdict. Find the
request there, then act on the message. If the message says nothing useful, report it: each such text deserves a code.
""",
    6: """
Server, engines and agent talk through Unix sockets in the folder `socket_dir`, by default /var/run/daos_server. The
server wanted to listen on this path and something already does.

Nearly always it is a second daos_server: one under systemd and one started by hand, or an old one that did not finish
stopping. Two servers on one node need separate values of socket_dir.

`ss -xlp` lists listening sockets with their processes. If none owns this path, the file was left behind by a crash
and may be deleted. Do not delete it while a process listens: that server would go on running but nobody could reach
it.
""",
    # Storage, any kind
    100: """
Nothing raises this code. It is the first number of the storage block, 100 to 199, and the first number of every block
stands for 'unknown' in that block.

It is reserved because peers and scripts of the reference know the number by this name. Should it ever appear, a
program of another version sent it: compare `daos_server version` on both ends.
""",
    101: """
A format was asked for on a device, or a mount point, that is not empty. Without force, anything recognised there is
left alone: a file system, a partition table, a RAID or LVM label, or storage that this server formatted earlier.

The most common cause is harmless: the storage was already formatted and the command was repeated. The dangerous one
is a device name that moved: /dev/sdX and /dev/pmemN are not stable across boots, and the name in the configuration
may now mean another disk.

Look at the device before forcing: `lsblk -f` and `blkid` show signature, label and size, and `daos_server storage
scan` shows what the server sees. A forced format cannot be undone. Force alone covers what DAOS made itself; other
content must in addition be named by root in /etc/daos/helper.toml, and fault 2005 then prints the line. Use names
under /dev/disk/by-id to be safe from renaming.
""",
    102: """
Nothing raises this code. It once stood for a file system that was found mounted; the cases were split into 103, where
the device is mounted, and 104, where the target is.

The number stays taken so that it can never come to mean something else to scripts that know it. If you see it, it was
sent by a peer of another version.
""",
    103: """
A device that carries a mounted file system can be neither formatted, not even with force, nor mounted a second time.
Writing to it from below would corrupt the file system that is in use.

Either an earlier run left it mounted and an engine still uses it, or something else does: an entry in /etc/fstab, an
automounter, or a desktop service on a test machine. `findmnt -S DEVICE` shows the mount point; a mount inside a
container or in another mount namespace shows up in /proc/PID/mountinfo of that process only.

Stop the engine or the program that uses it, unmount, and repeat. If the mount is the right one already, there is
nothing to do: formatted storage is found and kept.
""",
    104: """
Linux would allow a mount on top of a mount; the lower one would then be out of sight but still in use. The helper
never does that.

The usual reason is a mount left by an earlier run, or a line in /etc/fstab that mounts the same place at boot. DAOS
wants to mount its storage itself, so such a line should be removed.

`findmnt --target PATH` shows source, type and options. A tmpfs on an scm_mount holds the engine's data in memory:
unmounting it destroys that data, so make sure first that it is not in use.
""",
    105: """
The server works as the account daos_server and looked at this path with that account's rights only; the kernel
refused.

Most often a parent folder has mode 0700 or belongs to another user, because it was made by hand as root. `namei -l`
prints owner and mode of every component, so the one that stops the account is easy to see.

Where the modes look right, ask SELinux: `getenforce` says whether it enforces, and `ausearch -m avc -ts recent` shows
the denial. On a network file system, root_squash can have the same effect.
""",
    # SCM: persistent memory and RAM disks
    200: """
This is the catch-all of the SCM block, 200 to 299. SCM is the fast tier of an engine: persistent memory (class dcpm)
or a RAM disk (class ram).

It says no more than that this tier was being worked on. `daos_server scm scan` shows modules and namespaces, and
`daos_server storage scan` what is mounted, which often shows what the message could not.
""",
    201: """
A tmpfs with size 0 has no limit at all: it could take the whole memory of the machine. The helper therefore refuses
it.

From the command line this can hardly happen, because a missing or zero scm_size is replaced by a computed one before
anything is sent. When it does, the automatic size came out as nothing, because memory is taken up by hugepages and
reservations, or the request was made by another program.

Check `free -g` and HugePages_Total in /proc/meminfo. Then set scm_size by hand or give the machine fewer hugepages.
""",
    202: """
One engine owns one SCM tier, and that tier is one ext4 file system on one persistent memory namespace. Several
devices are never joined.

The list in the configuration is empty or has more than one entry. To use more capacity, prepare the memory so that
one namespace spans the whole region of a socket, and run one engine for each socket.

`daos_server scm scan` lists the namespaces with the socket that each belongs to.
""",
    203: """
Formatting SCM ends with mounting it, so the mount point is needed from the start. It was empty.

Each engine needs its own scm_mount. The helper's policy allows /mnt/daos and /mnt/daosN, N a number, without further
settings; other places must be listed in /etc/daos/helper.toml.
""",
    204: """
The configuration names a block device for the dcpm tier, or for the control metadata, and there is no such node in /dev.

Where it is persistent memory, either it was never prepared, so that no namespace exists yet, or the names changed:
/dev/pmem0 and /dev/pmem1 are given out in the order of discovery and can swap between boots. A device that was there
yesterday may also be missing because a module failed.

`ndctl list -N` and `daos_server scm scan` show what is there, and `daos_server scm prepare` makes what is missing.
""",
    205: """
SCM is either a RAM disk, made by the kernel in memory, or a block device on persistent memory. The helper must be
told which, with its parameters, and was told nothing.

The server always sends one of the two, so this is the mark of an incomplete request from another program, or of a
mount operation on a tier without parameters. If daos_server itself produced it, it is a bug: report it with the
configuration.
""",
    206: """
One mount point can carry a tmpfs or a device, not both, and guessing which was meant could destroy the device.

In daos_server.yml this is caught earlier, because each tier has exactly one class. Seen here, it comes from a program
that speaks to the helper on its own. Nothing was touched.
""",
    207: """
Nothing raises this code. Permission on storage paths is reported as 105, whichever tier the path belongs to.

The number is kept so that the codes that follow keep theirs and old scripts cannot mistake a new meaning for the old
one.
""",
    208: """
Discovery asks the memory management library for all modules. It answered with an error, so nothing can be said about
how many there are or what state they are in.

Known causes: an old libipmctl, a module that does not answer, which can take minutes, firmware that describes the
memory wrongly, or missing rights. Library calls run in a worker of their own with a deadline, so a crash or hang of
the library ends as a fault and not as a dead server.

Try `ipmctl show -dimm` by hand. If that fails in the same way, the cause lies below DAOS: update firmware and
package, or look for a failed module in the event log of the BIOS or the BMC.
""",
    209: """
An operation on a list of modules, such as a firmware update, would treat the repeated one twice. For firmware that is
not merely useless but risky, so the whole request is refused before anything starts.

Modules are compared by their UID, so two spellings of one module count as the same. `daos_server scm scan` prints
the UIDs.
""",
    210: """
A filter by model or firmware revision was given and no module of this machine passed it, so there was nothing to do.

Filters compare the whole value, without regard to upper and lower case; part of a name does not match. If every
module was already updated, a filter for the old revision matches nothing, which is the good outcome.
""",
    211: """
Preparing or resetting persistent memory was asked for, and the memory library reported that not one module is
installed.

On a machine bought without them that is the plain truth, and a RAM tier with MD-on-SSD is the way to run DAOS. If
modules are fitted, they may be disabled in the BIOS, badly seated, or of a generation that the processor does not
support; `dmidecode -t memory` shows them as 'Non-Volatile' when the firmware sees them.

Run as a user without root's rights, some tools also claim that there are none. This answer came through the helper,
so that is not the case here.
""",
    212: """
DAOS uses persistent memory in one shape only: one interleaved AppDirect region for each socket, healthy, and filled
by namespaces that the server made itself. The region on this socket has another shape; the message says in which of
four ways.

Not interleaved or not AppDirect: the modules were configured by hand or for Memory Mode, and a new goal must be set,
which takes effect at a reboot. Partly free: someone made namespaces for another use, or an earlier prepare was
interrupted. Not healthy: at least one module reports errors, and no amount of configuration helps before it is
replaced.

`ipmctl show -region`, `ipmctl show -dimm` and `ndctl list -RN` show the details without changing anything. A reset
destroys all data in the namespaces of the sockets it works on, and asks the firmware for a new region at the next
start; that is why there is one reboot between reset and prepare.
""",
    213: """
After preparing, the server checks the result: the names of the namespaces must be well formed, every region must have
some, and each must have the number that was asked for. One of these did not hold.

Usually the machine was prepared earlier with another number of namespaces per socket, or namespaces were added or
removed by hand. Or ndctl was ended, or the power was cut, while it made a namespace: that one has a size and a label and is
switched off, or of mode raw after a restart. Nothing was changed by the check itself.

A namespace that was cut short can only be made anew: reset (what was cut short goes without further leave, because the helper
has its label on record), reboot and prepare again.

If the existing layout is the one you want, ask for the same number of namespaces as it has. Otherwise reset and
prepare again, which destroys what is on them.
""",
    214: """
A RAM tier lives in memory, next to hugepages, the engines and the operating system. The sum does not fit.

There are two wordings. 'Is fitted' compares with all memory of the machine: hugepages, 16 GiB for the system unless
system_ram_reserved says otherwise, 128 MiB for each target and at least 1 GiB for each engine are subtracted, and at
least 4 GiB must remain for each engine. 'Is free now' compares with MemAvailable just before the mount, and wants 90%
of the size to be there.

The first is cured by smaller numbers or more memory. The second is often temporary: a program that takes much memory,
or an old tmpfs that is still mounted (`findmnt -t tmpfs`). Hugepages count as used even when nobody uses them;
`daos_server storage reset` gives back those that prepare reserved.
""",
    215: """
The tmpfs on the scm_mount was there before the engine was started, and its limit is above the size that was planned.
An engine that filled it would drive the machine out of memory.

It was mounted by hand or by /etc/fstab, or scm_size was lowered after the format. `findmnt -b -o TARGET,SIZE -t
tmpfs` shows the present limits.

A remount changes the limit and keeps the content, as long as the content fits. Removing the line from /etc/fstab and
leaving the mount to the server is the lasting cure.
""",
    216: """
Every engine needs exactly one SCM tier, and it must be the first in the list, because metadata and small values live
on it. Block device tiers come after it and are optional.

Check the indentation: a tier that has slipped out of the list, or a class with a typing error, reads as missing. On
machines without persistent memory the tier is of class ram; scm_size may be left out there.
""",
    # Block devices
    300: """
This is the catch-all of the block device block, 300 to 399: NVMe SSDs, kernel block devices and emulated devices on
files.

It names the layer and no more. `daos_server storage scan` shows which devices can be reached now, and dmesg shows
whether the kernel saw a device fail, reset or disappear at that time.
""",
    301: """
The storage tiers after the first hold block devices. The classes are nvme (an SSD by PCI address), kdev (a kernel
block device) and file (a file that stands for a device).

The request contained something else. The configuration file is checked when it is loaded, so this points to a program
of another version at the other end. Compare `daos_server version` on both.
""",
    302: """
One device of an engine's block tier was not made ready. The others may well have been: the table of results shows
each.

For a file the usual reason is that its file system is full or does not belong to the account daos_server. For an SSD
it is a device that does not answer, a namespace that is write protected, or an earlier process that still claims the
device.

A format is repeatable: devices that are already done are recognised. Repair the one that failed and run the command
again. If an SSD fails twice, look at its health with `nvme smart-log` before trusting it with data.
""",
    303: """
NVMe devices are named by PCI address. The full form has four hexadecimal digits of domain, two of bus, two of device
and one of function. A drive behind a VMD has a longer domain, made from the address of the VMD, such as
640005:81:00.0.

Frequent slips are a missing domain (81:00.0, as lspci prints it), a kernel name like nvme0n1, or the letter O for a
zero. `lspci -D` prints addresses in the right form.
""",
    304: """
Devices were asked for by address and at least one did not show up in the scan. The work stops here instead of going
on with fewer drives than configured.

A drive may have failed or been pulled. More often its address changed: a card in another slot, a BIOS update or a
switch of VMD on or off renumbers the buses. With VMD on, the drives are hidden behind the VMD and have long
addresses; with VMD off they are plain PCI devices.

`lspci -D -d ::0108` lists every NVMe controller that the kernel sees, with whatever driver. If the address is in that
list but not in the scan, the drive is bound to a driver that DAOS cannot read from, and the scan says which.
""",
    305: """
An operation that takes a list of drives must not do its work twice on one of them, least of all a firmware update.
The whole request was refused and nothing was done.

Addresses are compared after parsing: 0000:5E:00.0 and 0000:5e:00.0 are the same drive.
""",
    306: """
The operation was limited to drives of a certain model or firmware revision, and none of those on this machine passed.

Both values are compared whole, without regard to upper and lower case, and if both are given both must match. Mind
that NVMe models often contain the capacity, so that drives of the same series have different model names. After a
successful firmware update a filter for the old revision rightly finds nothing.
""",
    307: """
Checksums and copies can be handed to an acceleration engine: spdk does them in software through SPDK's framework, dml
uses Intel's data mover library with DSA hardware, and none leaves them to the engine itself.

Any other word is a typing error or an option of another version. If in doubt use none, which is the default and
always works.
""",
    308: """
The value is one of a small closed set, and this word is not among them. The same code serves two keys: the options of
`acceleration` (move, crc) and the roles in `bdev_roles` (wal, meta, data).

Look for a typing error or a wrong separator: the value is a YAML list, so [wal, meta], not the text 'wal,meta'.
""",
    309: """
The engine opens its devices either through its own NVMe driver or through the kernel, and the choice is made once for
the whole process. A mixture cannot be started.

Emulated devices are meant for tests and small set-ups. The mixture usually comes from an example of class file that
was left in place when real drives were added. A tier with an empty bdev_list does not count.
""",
    310: """
A process that drives an SSD directly tells it which memory to write to. Only an IOMMU, used through the kernel's VFIO
driver, can make sure that the drive writes nowhere else; without it the process has, in effect, the rights of root.

The server and its engines normally run as the account daos_server, so VFIO is not optional for them. It is sometimes
switched off because the IOMMU is off: repair that instead (fault 311 explains how).
""",
    311: """
The folder /sys/class/iommu is missing or empty, so the kernel does not use an IOMMU. Without one, VFIO cannot confine
what a drive writes to, and handing a drive to an account that is not root would be handing out root.

Three things must come together. The firmware must offer it: `dmesg | grep -e DMAR -e AMD-Vi` is silent if the BIOS
has it off. The kernel must use it: some distributions need intel_iommu=on, which /proc/cmdline shows. And inside a
virtual machine the hypervisor must emulate one.

After the change reboot and look at /sys/class/iommu. As long as it stays empty, class file or kdev still works, and
so does everything with the SSDs left on the kernel's driver.
""",
    312: """
Roles say which SSD carries the write-ahead log, the metadata and the data of an engine whose SCM is only RAM.
Persistent memory keeps metadata by itself, so roles make no sense with it.

Decide which of the two this engine is. With persistent memory fitted and wanted, drop all bdev_roles and
control_metadata. Without, use class ram, keep the roles, and set control_metadata.path.
""",
    313: """
With MD-on-SSD the three roles wal, meta and data are shared out over one, two or three block tiers, and each role
must be in exactly one place. Zero means that the engine would not know where to write; two means that it could not
choose.

Layouts that work: one tier with [wal, meta, data]; two with [wal] and [meta, data]; three with one role each. The
fastest, most durable drives should carry wal.
""",
    314: """
Either an engine runs with MD-on-SSD, and then every block tier has its roles, or it runs without, and then none has.
A half-filled list is most likely an omission, and guessing could put metadata on the wrong drives.

This often appears when a tier is added to a working configuration. Write the roles into the new tier and take them
out of the one that had them; moving a role of an already formatted engine needs a new format.
""",
    315: """
Without roles all drives of an engine are equal and belong into a single tier. More than one tier means something only
with MD-on-SSD, where each tier has a task.

If the drives were split merely for order, merge the lists into one bdev_list. If MD-on-SSD is meant, add the roles,
make the SCM tier class ram and set control_metadata.path.
""",
    316: """
There are three roles, wal, meta and data, and each belongs to exactly one tier. A fourth tier would have nothing to
do.

Drives that share a role go into the same bdev_list. If the intention was to give each drive a tier of its own, that
is not needed: an engine spreads its targets over all drives of a tier.
""",
    317: """
The control metadata folder keeps what must survive a reboot when the SCM tier is only RAM. It is used only together
with MD-on-SSD, and without the role meta on some tier that mode is off.

Two cures: finish the MD-on-SSD set-up by assigning wal, meta and data, or, for persistent memory or a throw-away RAM
set-up, take control_metadata out. The same fault appears for an engine without any block tier.
""",
    318: """
With MD-on-SSD the SCM tier is a RAM disk and is empty after every boot. The superblock, the engine's NVMe
configuration and the management database need a place that stays, and that is control_metadata.path.

Use a local file system that is not mounted nosuid and not a network share, or name a small partition of its own as
control_metadata.device. It needs little space, and losing it loses the identity of the engine, so a mirrored disk is
a good place.
""",
    319: """
The log may share a tier with the metadata it protects, or have a tier of its own. Sharing one with the data only is a
layout that the engine was not built for.

With two tiers write [wal] and [meta, data]. With one tier write all three roles. With three tiers give each its own.
""",
    # System membership
    400: """
Nothing raises this code. It opens the block from 400, which belongs to the membership of servers in one DAOS system.

It stays reserved as the 'unknown' of that block; a peer of another version is the only possible sender.
""",
    401: """
A fault domain says what fails together, for instance /rack3/node17. All members of a system must describe it with the
same number of layers, because replicas are placed by walking that tree.

The joining server gave a path of another depth. Most often one node kept the default, its host name alone, while the
others name the rack as well, or a fault_cb script printed less than usual.

Look at fault_path on a server that has joined and write this one in the same form. Changing the depth of a whole
system means changing all its members.
""",
    402: """
Operations that change a pool, such as extend, drain, destroy or a change of properties, take a lock on it, and one
was in progress. The lock protects only the pool named; others are not affected.

dmg repeats the request by itself for a while, so seeing this means that the other operation takes long. `dmg pool
query` shows a rebuild in progress. The lock lives in the memory of the management service leader and goes away with a
change of leader.
""",
    # Clients
    500: """
This is the catch-all for the side that talks to the servers: dmg and the agent. The request may or may not have
reached a server.

Before repeating anything that changes data, look whether it happened, for example with `dmg system query` or `dmg
pool list`.
""",
    501: """
The client needs the TCP port on which the servers listen. It found 0, or something outside 1 to 65535.

The value must be the same as `port` in daos_server.yml. Leaving the key out gives 10001 on both sides, which is right
unless the site changed it.
""",
    502: """
Nothing raises this code. Clients report an unusable list of servers with 503 to 508, depending on how it fails, and
the servers' own list is covered by 705 and 706.

The number is held back because it was once published under this name.
""",
    503: """
The client does not search the network for servers; it must be told at least one. It found an empty list.

Check first that the file you edited is the one that is read: dmg looks in the user's folder before /etc/daos. Ranges
such as node[1-4] are understood. One reachable server is enough for most commands, since it names the others.
""",
    504: """
Before any connection was tried, the name service had no answer for this name. No server was contacted.

A typing error is the first suspect, a short name without the domain the second, and a resolver that is down the
third. `getent hosts` asks in the same way as the client does, which dig and nslookup do not. Adding the servers to
/etc/hosts makes a storage system independent of DNS.
""",
    505: """
The kernel of this host, or a router on the way, said that the address cannot be reached. The server itself may be in
perfect health.

Common causes are a network interface that is down, a missing route to the storage network, an address of the fabric
network where the control network was meant, and a firewall that rejects with 'host unreachable'. `ip route get` names
the interface that would be used.
""",
    506: """
The host is there and answered, but no program listens on that port, or a firewall rejects the connection in its
place.

Usually daos_server is not running, or it is still on its way: it opens its port only after the configuration was
checked. Read its log if it keeps stopping. If it is running, compare `port` in daos_server.yml with the port in the
client's address.
""",
    507: """
The connection was made and then closed by the other end at once. That is how a mismatch in transport security looks
from outside: one side speaks TLS and the other does not, or the certificate was refused.

Compare transport_config in both files. The server's log has a line about the failed handshake with the exact reason.
Another possibility is that a different program listens on that port.
""",
    508: """
Packets went out and nothing came back, neither acceptance nor refusal. A firewall that drops silently gives this
picture, and so does a host that is switched off or whose address moved.

If ping works but the port does not answer, suspect the firewall. If both are silent, look at the host's console. A
host that swaps heavily can also be too slow to accept.
""",
    509: """
A format of a running system would destroy the storage under active engines, so it is refused.

If only one new or repaired server is to be formatted, name it alone with -l. If the whole system really shall go,
stop it, erase it, and format again. There is no way back from the erase.
""",
    510: """
The connection stood, but the answer did not come before the client's deadline. The server may be busy, waiting for an
engine, or blocked; and it may still finish the request later.

Do not blindly repeat requests that create or destroy: look at the state first. If the same request times out every
time, find the engine that does not answer with `dmg system query`.
""",
    511: """
The configuration generator gives every engine the same number of SSDs. Plain SSDs can be left out of a list to even
things up, but a VMD is taken with all drives behind it or not at all.

`lspci -D` and the BIOS pages of the VMD show what hangs where. As an alternative, switch VMD off for the machine, so
that each drive can be assigned by itself, or write the configuration by hand.
""",
    # Server
    600: """
This is the catch-all of daos_server itself. Something failed in the control plane, as opposed to a device, the
configuration or an engine, and no closer description exists.

The control log from the last start to this moment usually contains the first sign of trouble some lines earlier.
Report it if the log explains nothing.
""",
    601: """
In one rarely used mode the server takes over storage that somebody else mounted, and rebuilds only its superblocks.
Then it neither formats nor mounts, and it found nothing at the path.

That mode is for tests. On a normal node leave the option out, and the server will mount the storage itself.
""",
    602: """
At start the server compares what the configuration wants with what the machine allows. Drives driven directly by an
account that is not root need an IOMMU, and none is active.

It is the same condition as fault 311, found at start and not by a command; `daos_server explain 311` lists the checks
in order. Running the server as root would also pass, but gives up the separation that keeps a compromised server away
from the rest of the machine.

Configurations with class file or kdev only are not affected.
""",
    603: """
Each DAOS system has a name, so that a client of one cannot by accident administer another. The names did not match
and nothing was done.

The name is `name` in daos_server.yml, daos_agent.yml and daos_control.yml; without it, it is daos_server everywhere.
If the names are right, the host list of the client points to the wrong cluster, which is exactly what this check is
for.
""",
    604: """
A pool is divided evenly over all targets of its ranks, and every target needs a minimum of SCM for its own metadata.
The size given is too small for that many targets.

The numbers in the message hold for the ranks that were chosen. A small pool can be had by using fewer ranks, or by
raising the share of SCM with a tier ratio.
""",
    605: """
Space on SSDs is given out in large units, at least 1 GiB for each target. The requested size, divided over all
targets, falls below that.

Ask for more, use fewer ranks, or make a pool without any NVMe share. Sixteen targets on four ranks already need 64
GiB.
""",
    606: """
The request named ranks explicitly and at least one of them does not exist or is not available: stopped, excluded, or
waiting for a format.

Either bring the ranks back, by starting or reintegrating them, or leave them out. Nothing was created.
""",
    607: """
Instead of a list the request gave a number of ranks, and the system has fewer that are joined and healthy.

If you know that more exist, some are down: the query shows their state and often the reason. The number must also be
greater than 0.
""",
    608: """
The service of a pool is a small replicated database that decides by majority. An even number tolerates no more
failures than the odd number below it, and there cannot be more replicas than ranks in the pool.

Three replicas survive the loss of one, five the loss of two. Leaving the number to the system is right in nearly all
cases.
""",
    609: """
Labels are names for people and must be unique in a system. The label is held from the first moment of a creation
until the end of a destruction.

If you repeat a creation that seemed to fail, the pool may exist after all: look at `dmg pool list`. A pool in the
state Creating or Destroying also holds its label.
""",
    610: """
daos_server is up, but it has not started its engines, so it cannot pass anything on to them.

Right after a start that is normal for some seconds. If it lasts, the server is probably waiting for a storage format:
the log then says which engine needs one, and `daos_server storage format` or `dmg storage format` ends the wait. A
failed check at start, such as too little memory, has the same effect for the engine concerned.
""",
    611: """
The server tried to hand a request to an engine through the socket between them, and nobody answered.

If the engine has exited, the control log has a line with its exit status or signal. If the process is there, it may
still be starting, which takes long with many hugepages or SSDs, or it hangs. A wrong owner or mode of socket_dir can
also keep the two apart.
""",
    612: """
The operation changes what a running engine depends on, so the engine must be stopped first. The check is made for
each rank involved, and nothing was changed for any of them.

Ranks that are listed as Stopped may still have a process if the state is old: `dmg system query` asks anew.
""",
    613: """
All engines of a server have to use the same kind of network, for instance all InfiniBand or all Ethernet, because
clients are told a single provider and class.

Frequently one engine names the management Ethernet port by mistake. `ip -br link` lists interfaces, and
/sys/class/net/NAME/type tells the kind: 1 is Ethernet, 32 is InfiniBand.
""",
    614: """
The configuration asks to drive SSDs without VFIO, by the older UIO way that has no memory protection. That is open to
root only, and the server does not run as root.

The setting is mostly a leftover from a machine without IOMMU. Enable the IOMMU, see `daos_server explain 311`, and
drop the setting. Tiers of class file and kdev do not need VFIO and are not checked.
""",
    615: """
Every pool needs a name that people can use, besides its UUID. The request had none.

Labels are up to 127 characters of letters, digits and . _ - : and must not look like a UUID. Old scripts that create
pools by size alone have to be adapted.
""",
    616: """
Before a request is accepted, both sides compare versions. Servers among themselves, and dmg with servers, must agree
in major and minor number; an agent may lag behind or lead by up to two minor versions.

This appears in the middle of an upgrade, when some nodes are done and others not. Finish the upgrade everywhere,
servers first.
""",
    617: """
With certificates each side can prove which component it is, and rules for mixed versions can be applied. In insecure
mode that is not possible for an older peer, so only identical versions are let through.

The quick cure is to install the same version. Certificates are the better one, and needed anyway on a system that is
not a test.
""",
    618: """
Destroying a pool destroys everything in it. As a precaution that is done only for empty pools, unless recursion is
asked for.

The containers may belong to users who have not been asked. Their data cannot be brought back afterwards.
""",
    619: """
NVMe SSDs are driven through buffers in hugepages. A configuration with disable_hugepages runs without SSDs, so
operations on them, such as adding or rebinding a device, cannot work.

If the node shall use SSDs, remove the setting. The engines must then be formatted anew, because their layout changes.
""",
    # Server configuration
    700: """
This is the catch-all of the block about daos_server.yml. Something in the file, or in how it fits this machine, was
rejected.

Look at the cause, then compare the key with an example. Keys that this version does not know and keys given twice are
errors on their own and reported with line numbers.
""",
    701: """
The file could be read, but a rule between keys or a required value is violated. It is the general form, used where a
rule has no number of its own; the cause carries the detail.

Typical cases: an engine without targets, a tier without class or mount point, a bdev_list that mixes PCI addresses
with paths, or a size where the class does not allow one.
""",
    702: """
The program was told to use a configuration file and the name was empty. This happens with `-o ""`, typically from a
script or a unit file in which a variable is not set.

Without -o the file is /etc/daos/daos_server.yml, so removing the option may be all that is needed.
""",
    703: """
The server listens for dmg, agents and other servers on this TCP port. The value is zero, negative or not a number, or
an access point carries such a port.

All servers of a system must use the same port. An access point without a port gets this one added.
""",
    704: """
Metrics can be fetched over HTTP from this port. The value given is negative or too large.

Zero, or a missing key, means no telemetry. The port must differ from `port` and must not be taken by another exporter
on the node.
""",
    705: """
Access points are the servers that hold the management database, and every server must know them. An entry is missing,
appears twice, is badly formed or has a name that cannot be resolved.

Entries are compared after the default port was added, so node1 and node1:10001 are the same. At start a name that
does not resolve is an error as well: check /etc/hosts and DNS.
""",
    706: """
The management database decides by majority. Four members tolerate the loss of one, just as three do, but can be split
into two halves of which neither can go on; so even numbers are not accepted.

Three is right for most systems. One is accepted for tests, with the warning that the system stops with that host.
""",
    707: """
Engines and clients move data through a network library, and it must be told which transport to use. There is no
default, because a wrong guess would work slowly and be noticed late.

`fi_info -l` lists what libfabric offers on the node, and `ucx_info -d` does it for UCX. All servers and clients of a
system use the same provider.
""",
    708: """
A server without engines can scan hardware but not store anything. The operation that was asked for needs at least
one.

Look at the indentation: engines is a list at the top level and each engine begins with a dash. The old key `servers`
is not read any more.
""",
    709: """
An engine is found on the network by provider, interface and port, so two with the same combination would compete for
one address. The second could not start.

Best is an interface on the NUMA node of each engine. If there is only one interface, set ports far enough apart: an
engine uses a range that starts at its port, one for each target and some more, so leave at least 1000 between them.
""",
    710: """
Two processes that write to one file without knowing of each other overwrite and mix their lines, and rotation by one
takes the file away from the other.

Put the index into the name, for example /var/log/daos/engine0.log and engine1.log. Two keys that name one file
through a link count as different here and still collide, so compare what the names lead to.
""",
    711: """
The SCM tier of an engine is a file system of its own. With a shared mount point the second engine would be mounted
over the first, or would find the files of the other.

Nothing was mounted. After changing the mount point of an engine that was formatted before, unmount the old one.
""",
    712: """
Each namespace belongs to exactly one engine. If both used it, the second format would destroy the storage of the
first.

Take for each engine the device on its own socket: the number in /dev/pmemN follows the region only by habit, so look
at the NUMA node in the scan.
""",
    713: """
A drive or file can be driven by a single engine. The lists of two engines overlap in at least one entry; nothing was
formatted.

This is a copy and paste error in most cases. `lspci -D -vv` shows the NUMA node of each drive, which is the natural
way to share them out. With VMD, drives behind one VMD cannot be split between engines.
""",
    714: """
Pools are spread evenly over engines. With unequal numbers of drives the smaller engine fills up first, and the rest
of the larger one cannot be used.

That is a waste more than an error, so servers report it as a notice and go on. If a drive has failed and is only
temporarily out of the list, it can stay so until the replacement comes.
""",
    715: """
A target is one worker of an engine with its share of storage. The placement of data assumes the same number
everywhere, so different numbers are refused.

Choose the number that fits the smallest socket: cores minus helpers and one or two for the system. Changing it for an
engine with data needs a new format.
""",
    716: """
Helper threads take work such as checksums and request forwarding from the targets. Engines of one server must agree
on their number, as they must on the number of targets.

A quarter of the number of targets is a fair start. Zero is allowed if it is zero for all.
""",
    717: """
The fault domain is written like an absolute path. It must begin with a slash, have no empty parts, and name the
outermost unit first.

If neither key is set, it is a slash and the host name, which is always right for a system without racks. Upper and
lower case are not told apart.
""",
    718: """
Instead of a fixed fault_path a script may print the fault domain, which lets all nodes share one configuration file.
The file named there is missing on this node.

The path is taken as it is written. Look for a script that was rolled out to some nodes only, or to a folder that this
node does not mount.
""",
    719: """
The script is run by the server, so whoever can replace it can act as the server. Before it is run four things are
checked: it lies below the configuration folder, it is not a symbolic link, it has no setuid bit, and neither group
nor others may write to it.

`ls -l` shows three of the four at a glance. The folder must be the real one: a neighbour with a similar name, such as
/etc/daos2, does not count as below /etc/daos.
""",
    720: """
The script was found and is safe, but the kernel refused to start it for the account the server runs as.

Either the execute bit is missing, or a folder above it may not be entered, or the file system is mounted noexec.
SELinux can refuse as well; `ausearch -m avc -ts recent` would show it.
""",
    721: """
The script was started and ended with an error, so its output is not trusted.

Scripts that work for an administrator often fail here because the environment is nearly empty, or because they ask a
service that the node cannot reach at boot. Run it with `env -i` as the account daos_server to see what the server
sees, and use absolute paths in it.
""",
    722: """
One gives the fault domain as a fixed text, the other names a script that prints it. If both were set, it would be
unclear which one holds, so neither is used.

A fixed path is simpler for one node; the script is for a file that is shared between nodes.
""",
    723: """
Its exit status was 0, yet standard output was empty. Text on standard error does not count.

A frequent reason is a lookup by host name that finds no entry for this node and falls through without an error. Let
the script end with status 1 in that case, so that the next reader sees the cause.
""",
    724: """
The engine's placement knows the server and one unit above it. Deeper trees cannot be used and are refused before the
server joins.

Leave out the levels that do not fail independently: the row or the room mostly does not matter, the rack or the power
feed does.
""",
    725: """
The number of hugepages is for all engines together and must fit into 31 bits. Negative values have no meaning here.

A very large number is usually a size in bytes or kilobytes put in by mistake: the unit is pages, mostly of 2 MiB, so
8192 is 16 GiB. The automatic number, 1 GiB for each target, is right for nearly every system.
""",
    726: """
All block tiers, emulated ones included, do their input and output through buffers in hugepages. An engine with such a
tier and without hugepages could not start.

disable_hugepages is meant for engines that use SCM alone. Decide which of the two this node is.
""",
    727: """
enable_vmd is the old key and disable_vmd the present one, with the opposite meaning. Together they can contradict
each other, so the file is rejected even where they happen to agree.

Without either key VMDs are used when there are any, which is what most sites want.
""",
    728: """
Hugepages are reserved in equal parts on all NUMA nodes that carry engines. With an uneven spread one engine would
have too few, or would get memory of the other socket and be slow.

Without pinning, the node of an engine follows its fabric interface, so two engines with interfaces on the same socket
end up together. `cat /sys/class/net/NAME/device/numa_node` shows where an interface sits. Two on each node or one on
each are fine, and so are all engines on one node.
""",
    729: """
A partition of its own may hold the control metadata, but it needs a place to be mounted, and the engines' folders are
made below that place.

Path alone is also valid: then it is a plain folder on a file system that exists already. Only the device alone is
not.
""",
    730: """
An engine needs some room in SCM for the metadata of its targets; below 4 GiB it would fail soon after the start.

The unit of scm_size is GiB. Values from 1 to 3 are typical of a test machine with little memory; there, lower
system_ram_reserved and the number of hugepages to make room.
""",
    731: """
From the total memory the hugepages, the reserve for the system (system_ram_reserved, 16 GiB by default) and the
reserve for each engine are taken away, and the rest is divided by the number of engines. The value asked for is above
that.

On a machine with less than 32 GiB the reserve for the system is mostly the reason, and lowering it to what the node
really needs gives room. Hugepages are counted whether used or not.
""",
    732: """
Memory is planned for the whole server, and the two classes follow different rules: persistent memory takes none, a
RAM disk much. Engines of both kinds in one server are not supported.

A node with persistent memory on one socket only can run one engine of class dcpm, or two of class ram.
""",
    733: """
MD-on-SSD is a property of the whole server, because control_metadata is shared by all its engines. An engine without
roles would keep its metadata in a RAM disk and lose it at the next boot.

Complete the engines that lack roles, in the same layout as the others.
""",
    734: """
This much memory is left to everything that is not DAOS when RAM disks are sized. With nothing reserved, a full RAM
disk would end in the out-of-memory killer, which would likely choose an engine.

Small test machines manage with 1 to 4. Below that, expect failures that look unrelated.
""",
    # SPDK
    800: """
This is the catch-all for the library that drives NVMe SSDs from user space. The call failed and gave no number that
could be interpreted.

The lines that the library printed are in the helper's log, since its output is captured and kept apart from the
protocol. SSDs that are left on the kernel's driver do not go through SPDK at all.
""",
    801: """
Every NVMe drive should answer a request for its health page. This one was discovered and then did not deliver it,
which the scan treats as an error, because a drive whose health is unknown should not take data unnoticed.

Some virtual drives of cloud providers lack the page and are known to; their figures are then shown as zero. On a real
drive it is a firmware problem or a sign of failure.
""",
    802: """
A call into the library came back without a result and without an error. The most likely reason is that memory ran out
inside the library, next a mismatch between the library's version and the one this program was built for.

Check free hugepages in /proc/meminfo and `daos_server version`. The library runs in a process of its own for each
step, so nothing has to be restarted.
""",
    803: """
The library reported an error number, with the text that belongs to it; negative numbers are operating system errors
with the sign turned.

Frequent ones: -12 means that hugepages or locked memory ran out (`ulimit -l`, LimitMEMLOCK in the unit); -16 or a
claim message means that another process has the drive, and names the lock file in /var/tmp together with its owner;
-19 means that the device is gone or bound to another driver.

An engine that is running holds its drives. Stop it before working on them.
""",
    # Transport security
    900: """
Something in certificates, keys or the handshake went wrong and the closer codes, 901 to 903, did not apply.

Look at both logs, since the side that refuses knows the reason and the other only sees the connection close. Clocks
that differ by hours also make good certificates invalid.
""",
    901: """
With allow_insecure false, which is the default, each side needs its certificate, its key and the certificate of the
CA. One file is missing.

The default places are /etc/daos/certs/daosCA.crt, server.crt and server.key, and the folder clients for the
certificates of agents. They are made once by the site's administrator and copied to each node.
""",
    902: """
A key that others can read is no secret any more, so the program refuses it; a certificate that the account cannot
read is of no use. The message names the file.

After copying certificates as root they usually belong to root with mode 0600. `chown daos_server:daos_server` on the
server's files, and look at the folders above with `namei -l`.
""",
    903: """
A certificate was presented and could not be accepted. The cause at the end of the line says why: expired, not yet
valid, signed by another CA, made for another component, or damaged.

Expired certificates are the most common, and they hit all nodes on the same day. Compare the issuer with the subject
of daosCA.crt. The common name tells the component (server, agent, admin), so a certificate of the agent does not work
for dmg.

If dates look right on one node and wrong on another, compare the clocks.
""",
    # Control metadata
    1000: """
This is the catch-all for the place where a node with MD-on-SSD keeps what must survive a boot. Neither the file
system nor the permissions gave a closer reason.

A full or read-only file system is worth a look first: `df -h` and `findmnt -o TARGET,OPTIONS`. Nothing of an engine's
identity is deleted on this error.
""",
    1001: """
The control metadata must be on storage that belongs to this node and is there at boot. Network file systems are
refused, because two nodes could share a folder by accident and because the node could not start without its file
server; file systems with nosuid are refused, as they are mostly removable or belong to users.

The check goes to the nearest existing folder above the path and asks for its file system. `findmnt --target PATH`
shows the same. A device that the server mounts itself is nosuid as well, and that is fine.
""",
    # System checker
    1100: """
Nothing raises this code. It is the first number of the block of the system checker and stands for 'unknown' there.

It is kept so that the names of 1101 to 1103 stay where every tool expects them.
""",
    1101: """
The checker compares what all ranks know about pools and containers, so all of them must stand still or be in checker
mode. At least one is in another state; the message lists them.

Before enabling, every rank must be stopped or excluded by the administrator. Before starting a check, every rank must
have been restarted in checker mode. A rank that is lost for good has to be excluded, or the check would wait for it.
""",
    1102: """
Commands of the checker work only after the system was switched to checker mode, in which engines run without serving
clients.

Enabling needs every rank stopped or excluded first, so it is a planned interruption. If all you want to know is
whether pools are healthy, `dmg pool query` works in normal mode.
""",
    1103: """
While pools are being checked nothing else may change them, so all other requests to pools and the system are refused.

See `dmg check query` for progress, and decisions that wait for an administrator. If someone merely forgot to leave
the mode, disable it; findings that were not repaired remain and can be taken up later.
""",
    # Ours: the helper and its protocol
    2000: """
The first thing the two processes exchange is their version, and they do not match. No request was sent, so nothing
was changed.

This happens in the middle of an upgrade, when only one of the two files was replaced, or when an old copy of the
server is started from another prefix. A daos_server that was running during the upgrade is still the old one.

Finish or repeat the installation, then restart daos_server.
""",
    2001: """
Server and helper exchange frames, each a length followed by one message, over two pipes. What arrived was too long,
too deeply nested, cut off, or not a message at all. The session is closed, because after a bad frame nothing that
follows can be trusted.

It should not happen between two programs of one version. If it does, some library may have written to the wrong
descriptor, or another program is talking to the helper. The audit log shows who called.
""",
    2002: """
Every request has one exact form: known fields only, of the right type, each within its limits. This one differs, and
was refused as a whole before any of it was used.

The reason names the field. Numbers out of range that come from daos_server.yml are normally found when the file is
loaded, so between programs of the same version this is a defect of the sender.
""",
    2003: """
The helper announces its methods when a session starts. The one asked for is not in that list.

The helper is then older than the server, or the request came from a program that made the name up. A method that
root's policy switches off is a different matter and is reported as 2005.

`daos_server helper check` prints the versions of both. If a package upgrade was interrupted, run it again.
""",
    2004: """
The policy says what the helper may do for the server: mount places, devices, further users. A file with an error in
it is not half applied: the helper refuses the request rather than guess what root meant.

The reason names the line, the key, or the permission that is wrong. The file, and each folder above it, must belong
to root and must not be writable for anybody else, since whoever can write it decides what root does.

`daos_server helper check` reads the file in the same way and reports each problem. Deleting it is safe: without a
file only the built-in rules hold, and they are the strictest.
""",
    2005: """
The helper does as root only what root's own policy allows, whatever the server asks for. The request was understood,
compared with the policy and refused; nothing was changed.

Without a policy file these hold: storage may be mounted at /mnt/daos, /mnt/daosN and below /var/lib/daos and
/var/daos; devices must be empty and unused; loop and network block devices are never used. Everything beyond that
must be allowed by name.

The message contains the exact line that would allow this one thing in addition to what is allowed now, and the file.
Read it before adding it: it is root's consent. A key that is there already is replaced, since the new line contains
its old values. The file is read again whenever it has changed, so nothing has to be restarted. If you did not expect
the request at all, look into the audit log for who made it.

"Data without a signature" is what encryption, databases on raw devices, and 'wipefs -a' leave: bytes that no tool can
name. If nobody needs them, 'blkdiscard -z DEVICE' as root empties the device, and no line is needed. It destroys
everything on that device.
""",
    2006: """
Each step runs in a process of its own, and this one was ended by a signal. The helper itself and the other steps were
not affected.

Signal 11 (SIGSEGV) or 6 (SIGABRT) points to a defect in a library that the step used, such as the SSD or memory
management library. Signal 9 (SIGKILL) points to the kernel's out-of-memory killer, which leaves a line in dmesg, or
to somebody's kill. Signal 31 (SIGSYS) means that a forbidden system call was attempted.

Repeat the command once. If the crash comes again at the same step, report it with what the helper's log says about
that step.
""",
    2007: """
The process of this step ended by itself, but without the result or the error that it owes. Whether its work was done
is not known, so it counts as failed.

A library that calls exit() on an error it cannot handle is the most likely reason; its text is in the helper's log.
Steps check the real state of the machine before acting, so a repeated run finds out what was done and continues from
there.
""",
    2008: """
Every step has a deadline, and this one passed it. The process was killed, and what it left half done is undone or
taken up again by the next run.

A device that retries internally, a very large file system, or a library that waits for hardware are the usual
reasons; a machine under heavy load is another. dmesg shows timeouts and resets of devices.

If the step is merely slow and succeeds by hand, the deadline is too short for this machine: report the device and the
time it needs.
""",
    2009: """
The server asked the helper to stop, because the command was interrupted (Ctrl-C, a signal, the end of a terminal
session) or because an earlier part of the same plan had failed and the rest was of no use.

The process of the step was killed. Steps leave either the old state or one that the next run recognises, so nothing
has to be cleaned up by hand. A forced format that was cancelled has to be repeated with --force: its device may be
neither the old nor the new.
""",
    2010: """
A device, mount point or set of hugepages is worked on by only one request at a time, across all sessions. Another
request holds it now, and the message says which.

Most often two people, or a person and the daemon, started storage commands at the same time. The other one usually
ends within seconds.

The lock is bound to the process that holds it: when the process ends, in whatever way, the lock is gone. Never delete
lock files by hand.
""",
    2011: """
The deadline passed and the process was killed, but the kernel does not let it go: it waits inside a system call that
cannot be interrupted. The helper answers nevertheless; the device or path stays marked as held until the process is
gone.

Such a wait nearly always means a device that stopped answering, or a network file system whose server is away. The
name of the kernel function tells which layer: names with nvme or blk are a drive, names with nfs a file server, names
with pmem or nd the memory.

When the device comes back or its timeout runs out, the process ends and everything is free again. If the device is
broken for good, only a reboot helps; plan it, since a normal shutdown may hang as well.
""",
    2012: """
The pipe between server and helper closed while an answer was still expected. With it, all steps in progress were
stopped.

If the helper's process was killed, by an administrator, the out-of-memory killer or a shutdown, the log ends without
a closing line. If it refused to work, it left its reason as the last line. daos_server opens a new session with the
next request.

What was in progress is undone or continued by the next run.
""",
    2013: """
Everything that is done as root has to be recorded, and the helper tries the journal, then /dev/log, then a file of
its own. None accepted the record. Requests that change something are refused in that case; those that only look still
work.

In a container or a rescue system there is often neither journal nor syslog. Then the file is what counts: its folder
must exist, belong to root, and have space. A full or read-only file system under /var is the usual reason on a normal
machine.
""",
    2014: """
Before a step starts, its process drops every right that the step does not need, and then tries to get them back to
prove that they are gone. Something in that did not work, so the step was not started and nothing was done.

A container that withholds CAP_SETPCAP or CAP_SETUID from root, or a security module with its own rules, can cause
this; on a normal system it does not occur. The server never goes on with more rights than planned.
""",
    2015: """
The number of requests that a session may have open is limited, so that a faulty or hostile caller cannot fill the
machine with processes. The ones already accepted go on; this one was not started.

daos_server stays below the limit by itself. A program of your own should wait for answers before sending more.
""",
    2016: """
The helper works for root and for one account, the one fixed at install, and for nobody else, not even for members of
its group. It looks at the real user id that the kernel keeps, which cannot be faked by names or environment.

`id -u` shows your own id, and `daos_server helper check` shows the account that is expected. If the account was
deleted and made again with another id, the installation still knows the old one: reinstall.

The attempt was recorded in the audit log.
""",
    2017: """
Before it does anything, the helper checks its own surroundings: limits that were lowered by the caller, the files
that name its accounts, the interpreter and its library with the folders above them, and that it is not inside a user
namespace. One of these is not as it must be.

Files: everything from / down to the helper's library must belong to root and be writable for root only; a chmod or
chown over /opt or a home-made prefix breaks that. Limits: a hard limit that was set very low, by limits.conf or a
unit, cannot be raised again in some containers. User namespaces: rootless containers are not supported.

The reason names the object. No request was looked at, and nothing was changed.
""",
    2018: """
This is a defect in the helper, caught at its outermost level. The request was given up; others and the session go on.

Details that could tell an attacker about root's files stay in the helper's own log and are not sent. Anyone who
reports this should attach the log lines with the same request number.
""",
    # Ours: storage
    2100: """
The kernel itself uses the device, or a partition of it: as swap, as a member of a RAID or of an LVM volume group, or
below an encrypted volume. Writing to it now would destroy live data, so force makes no difference; it has to be freed
first.

`lsblk -f DEVICE` shows the tree of what is built on it, /proc/swaps the swap areas, and /sys/class/block/NAME/holders
who holds it. A RAID or volume group that comes back after a reboot was assembled automatically: remove its members'
signatures with `wipefs`, if they are no longer needed.

Make sure that it is the disk you mean: kernel names such as /dev/sdb can point to another disk after a reboot. Names
from /dev/disk/by-id do not.
""",
    2101: """
The helper follows the mount of / down through partitions, RAID, LVM and encryption to the physical disks, and refuses
all of them, along with everything else on the same disk.

Force does not help here, nor does a policy, on purpose: no storage server wants to overwrite its own system. A spare
partition of that disk, which nothing uses, is another matter: it is refused with fault 2005 and the line that allows it,
for example for the control metadata.

Otherwise a device name has probably moved between boots; use names from /dev/disk/by-id in the configuration.
""",
    2102: """
A device was expected at this path and something else was found. Nothing was opened for writing.

A folder or plain file means that the path is wrong, or that a mistaken 'dd' or 'cp' made a file in /dev under the
name of a device that is missing. A character device such as /dev/nvme0 is the controller; the disk is /dev/nvme0n1.

Links are resolved by the server before it asks, so names under /dev/disk/by-id may be used.
""",
    2103: """
The kernel does not unmount a file system with open files, with a process whose working folder is in it, or with
another mount inside it. The helper does not detach it behind the users' back either, since the device would then
remain in use where nobody can see it.

A running engine is the usual user. A shell that was left in the folder is the second. Loop devices or swap files on
it, and containers that took over the mount, do not show up in fuser: try `losetup -a`, /proc/swaps and `grep TARGET
/proc/*/mountinfo`.
""",
    2104: """
The helper takes only paths whose meaning is fixed: absolute, every part named, no links in between. Other spellings
are not repaired but refused, because the check and the use of a path must see the same thing.

The server normalises what it reads from daos_server.yml, so this mostly comes from an odd entry there, such as a
relative path, an empty one, or one with control characters. The reason names the part.
""",
    2105: """
While walking along the path, the helper found something with which somebody could lead root astray: a symbolic link,
a folder of a foreign user, a folder that everybody may write to, or an object that was exchanged between check and
use. It stopped there and changed nothing.

A link that was made for convenience, such as /mnt/daos pointing to a larger disk, is the harmless case: mount the
disk there or use bind mounts in its place. If the message speaks of an object that changed in the meantime, find out
which process did that; on a quiet machine it should not happen.
""",
    2106: """
At the place where storage belongs there is a mount of another kind: another device, type or option than the server
would have made. It is neither used nor removed, since somebody may need it.

Look into /etc/fstab and for systemd mount units for that place, and remove them if DAOS shall use it. A tmpfs that
was mounted by hand for an earlier test is another candidate.
""",
    2107: """
The program that makes file systems reported failure, or could not be started. If it was started, the old content of
the device is partly destroyed and the new one incomplete; it is not mounted in any case.

The device may be too small, write protected, or failing; dmesg shows which. If the program is missing, install the
package e2fsprogs. The cause at the end of the line is what the program itself said.
""",
    2108: """
The kernel refused the mount. The cause is its own word for the reason.

'Invalid argument' or 'wrong fs type' mean a damaged or foreign file system: dmesg has a line that starts with
EXT4-fs. 'Structure needs cleaning' calls for e2fsck. 'No such device' means that the kernel lacks the ext4 or tmpfs
support. With tmpfs, 'invalid argument' can come from a NUMA node without memory, or a kernel without transparent
hugepages.

When the server runs under systemd with its own mount namespace, mounts would not be visible on the host; directives
such as PrivateTmp or ProtectSystem must not be in its unit.
""",
    2109: """
Before a device is mounted, and after every format, it is read again to see whether it has an ext4 file system of
ours. It has not.

Before a mount this means that the device was never formatted, was overwritten by something else, or that its name now
stands for another device: compare `lsblk -f` with the configuration.

Right after a format it means that the write was reported as done and is not there. A device that accepts writes and
does not keep them is the serious explanation: a worn SSD that has become read-only, a controller with a faulty cache,
or a disk with a false capacity. A second process that writes to the same device at the same time is the other.

The device was left unmounted. Repeat a failed format once; if it fails again, the device is not fit for data.
""",
    2110: """
A tier of class file uses a plain file of fixed size in place of an SSD. The server makes it itself, as the account
daos_server and without root's help, and could not.

The size is reserved at once, so the whole bdev_size must be free. The folder must be writable for the account, and
the path must be absolute. An existing object of another kind at that path, such as a folder or a device, is not
replaced.

A file that was started and could not be completed has been removed again.

If the path is below /run, it is a record that the helper keeps of what it changed, and it was damaged. Everything
there is gone after a reboot; without one, root can delete that record, and a reset then no longer knows the state
from before.
""",
    2112: """
A forced format overwrites in several steps, and the last one was cut off by a kill, a crash or a loss of power. A
record that was made before the first step says so, and it is removed only after the last.

The former content cannot be recovered by the server, since its first blocks are overwritten. Without force nothing is
touched, as always; force again is the consent to finish what was begun. If the former content matters after all, make
an image of the device before doing anything else.
""",
    2113: """
The kernel refused a step for which no closer code exists. Call and object are named so that the reason can be looked
up in the manual page of that call.

'Permission denied' and 'Operation not permitted' for root point to a security module, a container or a read-only
mount. 'No space left on device' can also mean that inodes have run out (`df -i`). 'Input/output error' is the device
itself. 'Function not implemented' means that the kernel is too old or the container filters the call.
""",
    2114: """
The server needs a folder for mount points, control metadata or its own state, and this one does not serve. Either it
is missing and may not be made, or it is there and not usable: a plain file of that name, a wrong owner, a read-only
file system.

`ls -ld` on the path and `namei -l` on the folders above show which. Folders made by hand as root are the most
frequent reason; `chown daos_server:daos_server PATH` cures it, if nobody else uses the folder.
""",
    2115: """
A RAM disk lives in memory only, and unmounting it deletes what is in it. The reset found entries there that the server
cannot make again by itself, and stopped before it unmounted anything.

On a node without MD-on-SSD that is the engine's whole metadata: without it the data on the SSDs cannot be reached any
more. It may also be a file that somebody put there by hand, or content that the account daos_server is not allowed to list.

Look with `ls -la` on the mount point, and at `daos_server storage reset --dry-run` for the whole plan. If the pools of this
node are no longer needed, or their data has been moved to other nodes, force the reset.
""",
    2120: """
To give an SSD to another driver, the helper reserves it for that driver (driver_override), takes it from the old one
(unbind), gives it to the new one (bind) and reads back who has it. One of the four did not work, or the kernel took
every request and nothing changed. The helper then put back what was there before; the message says who has the drive
now.

vfio-pci refuses a drive when the IOMMU is off or when its IOMMU group is not free; nvme refuses one that does not
start. The kernel says why in 'dmesg'. No drive is left without a driver as long as any driver takes it.
""",
    2121: """
The driver that is to have the SSD is neither built into the kernel nor loaded: there is no folder of its name in
/sys/bus/pci/drivers. The helper loads no modules, because a module is code that runs in the kernel.

'modprobe vfio-pci' loads the driver for SSDs that an unprivileged server uses; uio_pci_generic is for servers that run
as root on machines without IOMMU. A file in /etc/modules-load.d with the name in it makes the system load it at every
start. If modprobe does not find it, the package with the further modules of the kernel is missing.
""",
    2122: """
Something on this machine uses the SSD, or something that is in use is on it: a mounted file system, swap space, a
volume group or an array, a partition table, the signature of such a member, or a program that opened it exclusively.
Giving it to a userspace driver would pull it away from under its user, so it is refused, with or without --force.

The message lists every reason with the block device that it was found on. An SSD that is free, but was a member of a
volume group or an array, still carries their signature: 'wipefs -a' removes it, and with it the way to its data.
""",
    2123: """
The IOMMU separates groups of devices, not devices. Whoever drives one device of a group can reach what the others do,
so VFIO hands out a group only when no driver of the system holds any of its members, bridges excepted. This SSD is in
a group with other devices that are held.

Consumer boards, and slots behind a switch without ACS, make such groups; another slot often is a group of its own.
Taking the other devices away from their drivers is possible, if nothing on the machine needs them.
""",
    2124: """
The address was right in form, but the kernel shows no PCI function there, or the function went away while the command
was at work, as happens when a drive is pulled out.

Addresses of drives behind a VMD are only seen while the kernel's driver vmd has the VMD. After a change of hardware
the addresses of other drives may have moved as well: 'daos_server nvme scan --ignore-config' lists the present ones.
""",
    2125: """
An administrative command went to the SSD through the kernel's driver nvme, and came back with an error: the drive's
own status, an error of the connection, or nothing within the time allowed. The kernel may have reset the drive
meanwhile; other drives are not concerned.

One such answer can be a hiccup of the firmware. If it stays, the drive is failing or its firmware has a fault.
""",
    2126: """
The SSD answered, but the answer breaks the NVM Express specification: it is too short, or names namespaces or block
sizes that cannot be. Nothing is taken from such an answer, because what is made of it would end in a configuration.

Firmware faults do this, and so do prototypes and emulated drives. Other drives are not concerned.
""",
    2127: """
Before a firmware image goes to an SSD, its size is compared with what the drive can take (a multiple of 4 bytes, and
in pieces of the size that the drive asks for), and the drive must say that it can be updated. After that, the drive
itself checks the image and refuses one that is not for it. One of the two happened; the drive goes on with the
firmware that it has.
""",
    # Ours: SPDK
    2140: """
An SSD that vfio-pci or uio_pci_generic has is invisible to the kernel, and only SPDK can read or wipe it. SPDK is not
part of this software: it is compiled in at install if the machine has its development files, and left out otherwise.
Everything that does not need it works all the same: SSDs that the kernel's driver has are read and wiped by way of the
kernel.

The line says whether it was left out, was built without a part (looking behind VMDs needs spdk_vmd), or is there and
cannot be loaded, for instance because shared libraries of SPDK were removed since. In each case the installation has to
be made again after SPDK was put in order.
""",
    2141: """
SPDK processes keep out of each other's way by locking a file per SSD in /var/tmp. The lock ends with its process, so a
living one holds it: most often the DAOS engine that uses the SSD. It was left alone, because two drivers on one SSD
destroy data.

An engine that runs reports on its SSDs itself. To read or wipe one without it, stop it first. A process number of 0
means that it lives in another container.
""",
    2142: """
SPDK was started, and could not make this SSD work, while others may well have worked. Either it saw nothing at that
address, or it began and the SSD did not become ready.

Frequent causes are that a driver other than vfio-pci or uio_pci_generic has the SSD, that no hugepages were free, that an
IOMMU of fewer than 48 address bits cannot map SPDK's memory, or that the SSD itself hangs. What SPDK prints about it goes
to the helper's log.
""",
    # Ours: what the helper does with NVMe SSDs
    2150: """
The SSD is there and nobody uses it, but what was asked for cannot be done with it as it is. The line says which of these
it was: an SSD behind a VMD, of which SPDK can only have all together; a driver that is neither the kernel's nor one for
userspace; a controller that is not ready, or of which the kernel does not show every namespace; firmware for an SSD that
the kernel's driver does not have.

Nothing was changed on it. Other SSDs of the same request are not concerned.
""",
    2151: """
To give an SSD to another driver, the one of before must let go of it first. A process that did that was killed in between,
or the kernel refused the new driver and the old one as well. Nothing is lost on such an SSD, but nobody can use it.

The driver of before is on record under /run. Every prepare and every reset looks for SSDs on record that have no driver,
also for those that it was not asked for, and gives them back.
""",
    # Ours: persistent memory
    2160: """
libipmctl is the library under the ipmctl program; it is opened when persistent memory is first asked for, as
`libipmctl.so.5` or `libipmctl.so.4`, from the system's own folders. Neither could be opened. The reason is the dynamic
linker's: the file is missing, or a library that it needs is.

This does not say that the machine has no persistent memory: without the library nobody knows. Nothing was changed.
""",
    2161: """
A call to libipmctl came back with a code other than success. The codes are those of the library's NvmSharedDefs.h; the
words are ours. The library talks to each module, so one that does not answer can fail the whole call.

Each call runs in a process of its own, and nothing that failed halfway stays behind in the helper. What a failed goal
or firmware call has changed on the modules, `ipmctl show -goal` and `ipmctl show -dimm -firmware` tell.

Code 267 is the library's word for an error without a name: its own log, switched on in /usr/share/ipmctl/ipmctl.conf, often
says more.
""",
    2162: """
The library checks the user first, and to anyone but root it refuses everything. Older tools print that refusal as a
machine without persistent memory, which is how healthy machines came to be called empty. It is a fault of its own
here, so that the two cannot be mistaken for each other.

The helper runs these calls as uid 0. If it says this nevertheless, its setuid bit does not work, or a security module
keeps root away from /sys/firmware/acpi/tables or /dev/nmem*.
""",
    2163: """
What libipmctl and ndctl say is checked before it is believed: numbers within their range, names that the kernel gives,
no region with more free than it has, no module twice. The answer did not pass, so no decision was taken on it and
nothing was changed.

The usual causes are firmware that describes the memory wrongly and a program that is older or newer than what this
version knows. Reports with the text of the line are welcome.
""",
    2164: """
Namespaces are made and removed by ndctl, one at a time, and it ended with an error. What it printed is the last part of
the line. Namespaces before this one are done, later ones were not begun.

A namespace that is mounted, held by device mapper or used by a running engine cannot be disabled: unmount it, stop the
engine and repeat. "No space" from a region with free capacity means that its largest free piece is too small.
""",
    2165: """
Regions are made by the machine's firmware at start, from a goal that is stored on the modules. Prepare or reset stored
one; the machine was restarted since; and the regions that it asks for are not there. Either the modules carry the
firmware's verdict (a bad request, too few resources, an error of its own), or there is none and the firmware never
looked, as in Memory Mode or when the modules are locked.

To repeat the request would end the same way, so it is not repeated by itself. After the cause is removed,
`daos_server scm reset` deletes the goal and what is remembered of it, and the next prepare starts afresh.
""",
    2166: """
Every namespace of a socket gets the same size, and the kernel takes only multiples of an alignment: 2 MiB, and on
interleaved regions more, which it names. The free capacity cannot be divided like that without a rest, and a rest would
leave the region in the state 'partly free', from which DAOS does not go on. One namespace, or two, always fit.

This was found out before anything was touched.
""",
    2167: """
A socket's region is divided into as many namespaces as engines are to run there, which is one on nearly all machines
and at most four. More would leave each engine with a small piece of the bandwidth, and DAOS has never supported it. The
number was checked before the memory was looked at, so nothing was changed.
""",
    2168: """
A request about firmware named a module by its UID, such as 8089-a2-1748-00000001, and none of the modules found has it.
The UID contains the serial number, so a module that was replaced has another one. Nothing was sent to any module.
""",
    2169: """
What cannot be seen from the machine itself is kept in a small file of root's under /var/lib: that the firmware was asked for
regions before the last restart, and that a region which is partly full is so because namespaces were being made on it. The
file is replaced as a whole each time, so a power cut does not damage it; a full or failing disk, or an editor, can.

Nothing was done to the persistent memory. Without the file every command works from what the machine shows, and that is enough
in nearly every case.
""",
    # Ours: NVMe SSDs on the server's side
    2170: """
An empty list of SSDs means "all of them" to SPDK's own set-up script, which has cost people the disk that their machine
runs from. Here it means none: `nvme prepare` works on the addresses of the command line, else on those of `bdev_list` in
the configuration, and on every SSD of the machine only if it is told so with `--all`.

With `--all`, SSDs that are mounted, swapped to, or part of a volume group or an array are left alone even so, and each is
listed with the reason.
""",
    2171: """
The helper answers every request with one line for each SSD that the request was about. One line was missing, so nothing
can be said about that SSD; the command counts it as failed. What the helper did is in its log, one line at the start and
one at the end of every request.

A helper of another version than the server's is refused when it starts, so this should not happen; please report it.
""",
    # Ours: persistent memory, further on
    2172: """
A reset destroys every namespace on the persistent memory, or on one socket of it. The command shows them and asks first, and
hands on the list that was agreed to. Between the question and the answer another one appeared, made by somebody with ndctl or
by another command. What is in it was never shown, so nothing was destroyed.
""",
    2173: """
Before a reset destroys namespaces it looks into each of them: those with a file system of DAOS', or with nothing in them, go; what
somebody else has put there goes only if root's policy names the device. A namespace that is switched off, or of a mode without
a block device (devdax), cannot be looked into. If DAOS made it, or was just destroying it when the machine stopped, that is on
record and it goes all the same. For this one nothing is on record.
""",
    2174: """
ndctl can only delete namespaces whose region keeps labels. On a region without labels (as some virtual machines have them, and
old modules) there is one namespace that is the whole region: ndctl reports success and deletes nothing, so the helper looks
afterwards. Namespaces that were destroyed before this one are gone; the command's answer lists them.
""",
    # Ours: hugepages
    2180: """
Where root has enabled daos_server_helper.socket, systemd starts the helper, not the server, and so the reason why it refused
to start is in the journal and not here. The connection was accepted and closed again without a word.

The usual reasons are those of the launcher: the caller is neither root nor the account, a file that root runs can be changed
by others, a limit in the unit is too low. Systemd itself closes connections above MaxConnections= of the socket unit.

Nothing was done. Without the socket ('systemctl stop daos_server_helper.socket', then 'systemctl disable' it) the server starts the helper
itself, if that is installed setuid, and is told the reason.
""",
    2181: """
A unit with a directive such as ProtectSystem= or PrivateTmp= runs in mounts of its own, which follow the host's but not the
other way round. What the helper mounted there would be seen by nobody else and gone with the session: engines would
write into the folder below it. The same holds for daos_server.service where it starts the helper itself.

The helper sees it by the mark "master:" that the kernel puts on such mounts (/proc/self/mountinfo), and changes nothing. The
units that come with the helper have every protection but these.
""",
    2200: """
A hugepage is a physically contiguous piece of memory. The kernel makes as many as it can and does not complain about
the rest, so the number was read back, and it falls short. An engine started now would fail later, in a place that is
harder to understand.

Two causes are told apart easily. If MemFree in /sys/devices/system/node/nodeN/meminfo is smaller than what is
missing, memory is really full: stop programs, or ask for fewer pages. If it is larger, memory is fragmented, which
grows with the time since the boot; `echo 1 > /proc/sys/vm/compact_memory` as root sometimes frees enough to try
again.

The reliable way is to reserve them at boot, when memory is still empty. The option is written as node:count, with
several nodes separated by commas, so that two nodes become

    hugepagesz=2048K hugepages=0:4096,1:4096

Debian and Ubuntu: put it into GRUB_CMDLINE_LINUX in /etc/default/grub and run update-grub. EL: grubby
--update-kernel=ALL --args="...". The form with nodes needs Linux 5.16; before that, give the total, which is spread
evenly over all nodes. /proc/cmdline shows after the reboot whether it arrived.
""",
    2201: """
Hugepages are reserved on the NUMA node of each engine, and the node that was asked for does not exist, is offline, or
has no memory of its own.

A configuration from a machine with two sockets on one with a single socket is the usual way to get here. A BIOS
setting for node interleaving, or another number of nodes per socket, changes the numbering as well. A node that lost
all its memory modules is still there, without memory.
""",
    2202: """
The kernel offers no way to reserve hugepages here: the folders for it in /sys are missing or read-only, the kernel
was built without them, or the page size in question is not supported by the processor.

In containers /sys is mostly read-only, and the reservation has to be made on the host. Some virtual machines leave
out pages of 1 GiB; pages of 2 MiB are always there on x86_64. `ls /sys/kernel/mm/hugepages` lists the sizes of this
kernel.
""",
    2203: """
A reset brings the number of hugepages back to what it was before the first prepare. Pages that a process has mapped,
or that a file in /dev/hugepages holds, cannot be taken away; the kernel keeps them until they are let go.

A running engine is the first to look at. Files named spdk_pidNNNmap in /dev/hugepages whose process is gone are
removed by prepare and reset themselves; files with other names belong to other programs, such as databases and
virtual machines, and are left alone.

The number falls by itself when the users end, and a repeated reset then finishes the work.
""",
    2204: """
Before any page is reserved, the sum is compared with the memory of the machine. Asking the kernel for more than it
has would drive it into swapping and then into killing processes, so nothing was tried.

The automatic number is 1 GiB for each target of engines with block tiers, and one more for each engine with the role
meta. Sixteen targets therefore need 16 GiB. A count that was written by hand is in pages, mostly of 2 MiB; a number
of bytes in its place is easily a thousand times too large.

A RAM disk takes its memory from the same total: make sure that both fit.
""",
    # Ours: the server
    2300: """
The server belongs to one account, which owns its files and which the helper obeys. Started as root it changes to that
account for good; started by anybody else it could neither read its files nor use the helper.

Commands that need neither, such as `version` and `explain`, work for everyone. Being a member of the group
daos_server is not enough.
""",
    2301: """
no_new_privs is a flag that a process can set and never clear, and that all its children inherit. It makes the setuid
bit ineffective, which is the way in which the helper gets its rights.

In systemd it comes from NoNewPrivileges=yes, and, depending on its version, for units with User= also from
SystemCallFilter=, RestrictNamespaces=, PrivateDevices= and ProtectKernelTunables=. Containers set it with the option
no-new-privileges (allowPrivilegeEscalation: false in Kubernetes). Tools such as bubblewrap and firejail always set
it.

`grep NoNewPrivs /proc/PID/status` shows the flag of a process: look at the parents, one after the other, to find
where it begins. A login shell should have 0.

Where systemd starts the helper instead (daos_server_helper.socket), the server may have the flag.
""",
    2302: """
The way in which the helper mounts storage and confines its steps rests on system calls that older kernels do not
have. There is no second, weaker way, on purpose.

If a newer kernel is installed, the machine may not have been rebooted since: compare `uname -r` with the packages. In
a container it is the kernel of the host that counts.
""",
    2303: """
A command works on several engines, tiers or devices, and one failure does not undo the others. The summary counts
them; each failed part has been reported with its own code, cause and remedy above it.

The command counts as failed as a whole, with exit status 1, so that scripts do not miss it. It can be repeated as
often as needed: what is done already is reported as such and not touched again, unless --force is given. With --force
everything is formatted anew, so leave it out when repeating.
""",
    2304: """
The file could not be opened, or reading it failed. The cause at the end of the line is the kernel's reason.

'No such file' on a new installation means that none was written yet: copy one from share/daos/examples and adapt it.
'Permission denied' often comes from a file copied by root with mode 0600; the server reads it as the account
daos_server, even when it was started as root.
""",
    2305: """
The file is not well-formed YAML, so nothing in it was used. Line and column tell where the reader noticed, which may
be one line after the actual mistake.

Tabs are the most frequent cause: YAML allows only spaces for indentation. Next come a missing space after a colon or
a dash, an unbalanced quote or bracket, list entries that are not aligned, and the same key given twice.
""",
    2306: """
The file is well-formed YAML, but some keys are unknown or have values of the wrong type or out of range. All problems
are listed at once, each with the path to its key, such as engines[0].storage[1].bdev_size.

An unknown key is mostly a typing error, a key at the wrong level of indentation, or one from a newer or much older
version. It is an error and not ignored, because a misspelled setting would otherwise silently not hold.

Sizes are whole numbers in GiB without a unit, lists are written with brackets or dashes, and true and false without
quotes.
""",
    2307: """
Started as root, the server becomes the account daos_server, removes all capabilities and then tries to become root
again; the trial must fail. Either the change did not work or the trial succeeded, so the server stopped before doing
anything else.

A missing account, a name service that does not answer, and a container that withholds CAP_SETUID or CAP_SETGID are
the known causes. Starting it as the account in the first place, as the systemd unit does, avoids the step altogether.
""",
    2310: """
The file keeps every rule, but names something that this host does not have: a network interface, a NUMA node, a block
device, or the folder of a log or of an emulated SSD. The message says which.

Most often a file was copied from another host, where interfaces and devices have other names, or a kernel update
renamed them. The same file for all hosts works only where the hardware is the same down to the names.

Look at the whole list at once with 'daos_server config check --host'. It needs no root and changes nothing.
""",
    2330: """
An engine takes its fabric interface from the configuration, and one that is down, unplugged or missing would make it
fail later and with less to go on. So the state of every named interface is looked at first: for Ethernet what the
kernel calls its operational state, for InfiniBand the states of its ports.

Down can mean switched off by the administrator, without a cable or a live port at the other end, or on top of another
interface that is down; the message says which. An interface of a name that does not exist is often one that was renamed
by a change of hardware or of the naming rules.

    ip -brief link show

lists the names and states there are.
""",
    2331: """
The interfaces have a link but are not ready for traffic: the kernel calls them testing or dormant, or their InfiniBand
port is initialised or armed but not active. The wait is for a change that the kernel reports, so it ends the moment
the interface is ready; it was given up because the time for it ran out.

Dormant is usual where a switch wants a log-in (802.1X) or a bond waits for its partner. An InfiniBand port becomes active
when a subnet manager has seen it; without one in the fabric it never does.
""",
    2332: """
libfabric and UCX know which providers can drive which network device. They are C code that talks to drivers, so they
are asked in a separate process with a limited time: if they crash or hang there, nothing else is harmed, and what the
other library and the kernel say is still used.

A crash inside the library is a defect of it or of a driver; a hang is mostly a network card that does not answer.
Environment variables that begin with FI_ or UCX_ change what the libraries do, and are worth a look first.
""",
    2333: """
A fabric interface is a network device together with a provider that can use it. libfabric and UCX name the providers;
the kernel names the devices. Loopback does not count, nor does a device that the kernel does not know.

The usual reasons: neither library is installed; the provider is spelled otherwise than the library spells it (ofi+tcp,
ofi+verbs;ofi_rxm, ucx+rc_x); the library was built without the provider; the driver of the network card is not loaded.

    fi_info -l

lists the providers that libfabric has.
""",
    2334: """
Which interfaces there are, of what type and in what state is asked of the kernel over a netlink socket, and the rest is
read from /sys. No right is needed for either, so a refusal comes from something around the process.
A unit of systemd with RestrictAddressFamilies needs AF_NETLINK in the list.
""",
    2335: """
The command did its work, but the file that was named for the result could not be made or filled. A file that was there
before may now be empty or incomplete. The cause is the system's word for it: no such folder, no permission, no space.
""",
    2340: """
`config generate` gives every engine an interface of its own NUMA node, all with the same provider. Either there is no
interface of the wanted class or provider at all, or no provider has one on as many nodes as there are engines.

The reason lists what was found. A machine without InfiniBand needs `-c ethernet`, since infiniband is what is looked
for unless told otherwise. A machine of two sockets with one network card can run one engine: `-e 1`. Loopback never
counts.

To see all that DAOS could use on this host:

    daos_server network scan --provider all
""",
    2341: """
Every engine needs a NUMA node that has SCM, which is a namespace of persistent memory, and at least one NVMe SSD.
Fewer nodes than wanted engines have both. The reason counts what each node has.

There is a way out for each: `-t` uses RAM in place of persistent memory, `-s` does without SSDs, `-e` asks for fewer
engines. All three together work on any machine with a network interface and some memory.

An SSD that is in use is not counted: one that holds the root file system, is mounted, swapped on, partitioned or part
of another device. It is named with its reason. To free one, unmount it and remove its partitions.

The count of persistent memory is that of namespaces in fsdax mode, which `ndctl list` shows.
""",
    2342: """
A quantity that everything else is computed from is missing or too small: NUMA nodes with cores, cores per node, or the
total memory. An engine's node needs two cores at least, because two are left to the system; a single target then
shares them, which is enough to try things out.

In a virtual machine, give it more. Cores are counted, not hyper-threads: two processors of one core count once.

What the kernel knows is seen with these.

    lscpu
    daos_server dump-topology
""",
    2343: """
Two options of `config generate` exclude each other, or one has a value that no configuration could hold.

With `-m` the engines keep their metadata on SSDs. That presupposes RAM in place of persistent memory, so `-t` goes with
it, and SSDs, so `-s` does not. The list of `-f` has a port, 1 to 65535, for every engine. All hosts of `-a` have the
same port, because each server of a system listens on the same one; a host without a port means 10001.

Only the command line is at fault, and nothing was written.
""",
    2360: """
A daos_server that was started with the command start is running on this host, ours or the one that it replaces. It
drives the storage, so a second one, or a command that changes SSDs or mounts, would work against it.

It is found in /proc by the name of its program and the word start. Commands that only look around do not mind it. A
service in a container of this host is found as well; if it manages other hardware than this command, run the command
in a container too.
""",
    2361: """
The command and its options are those of the complete control plane, and everything that can be checked without doing
the work has been checked: an error in options, configuration or hardware would have been reported instead of this.
The work itself is not in this version. It ends with an error and not silently, so that no script takes it for done.

What the version has is listed by `daos_server --help`.
""",
    2362: """
The management service has replicas on the hosts that access_points names, and only there is something to show or to
repair. Every name was resolved and its addresses compared with those of the interfaces of this host; none agreed.

A name that resolves to an address behind a translating router, or to one of another network, leads to this as well.
Then name the host as it is addressed in the control network.
""",
    2363: """
Options of start go before the configuration, for all engines at once, and the result must keep every rule that a
configuration keeps. This one contradicts it: for instance there are no engines for a number of targets to apply to, or
engine 0 has no SCM as its first tier whose mount point could be moved.

The configuration file itself was not changed. A value that holds for good is better written there, where
`daos_server config check` looks at it.
""",
    2364: """
The configuration is well-formed, but a start needs more than that: a fabric provider, even where no engines are
configured, addresses of the access points that can be resolved, a folder for the sockets, a fabric interface with an
address, a place for the control metadata. The reason says which of these is missing here.

All such checks come before anything is touched, so that the start can be repeated as soon as the cause is removed.
`daos_server doctor` finds several of the causes at once.
""",
    2365: """
The server appends its log to that file, and refuses to run without the log that it was told to keep. The file is opened
as the account daos_server, also when the server was started as root, and never through a symbolic link.

A missing folder, one that belongs to root, a full file system, and a file that root made by hand are the usual
causes.
""",
    2366: """
What is collected can hold things that are nobody else's business, so it goes into a folder that is made for it with
mode 0700, and that must not exist before: an existing one, or a link, could be somebody's trap or somebody's data. The
archive beside it is made the same way.

A missing parent folder, one that this user may not write to, and a full file system lead to this as well. Without an
option the folder is made in $TMPDIR, or in /tmp.
""",
    2367: """
With --stop-on-error, the first thing that cannot be collected ends the command. Programs that are not installed, files
that this user may not read and programs that do not end within their time count as failures, each with its reason.

Often that does not matter to support: a missing package is an answer too. Without the option everything else is
collected, the failures are listed in summary.txt, and the command succeeds.
""",
    2368: """
What the command was about to do cannot be undone: namespaces destroyed with their data, or memory allocation goals replaced
that somebody stored for the next start. So it shows first what it would do, and asks. The answer was no, or nobody was
there to give one: standard input or standard error is not a terminal.

Everything is as it was. The option --dry-run shows the same plan and asks nothing; --force goes on without asking, which is
what a script needs. `daos_server storage prepare` never asks: where it would take goals back, it wants --force.

If namespaces came or went between the question and the answer, the command ends with an error, too; then look again.
""",
}

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The words of every fault: name, domain, what happened, and what to do about it.

Names and domains of the codes below 2000 are the reference's; all words are ours.  ``description`` and ``resolution`` are
``str.format`` templates whose placeholders are filled by the keyword values of :class:`daos_pbin.faults.Fault`.  A
description states the fact and leaves the cause to ``Fault.cause``; a resolution says what to do next, with exact commands.
The long form of each is in ``explanations.py``.

Only literals, and no imports: this is loaded by the privileged process at its first fault.
"""

from __future__ import annotations


class Entry(tuple[int, str, str, str, str]):
    """One wording of one fault code: immutable, compared by value."""

    __slots__ = ()

    @property
    def code(self) -> int:
        """The number, from ``codes.py``."""
        return self[0]

    @property
    def name(self) -> str:
        """The name that goes with the number, such as ``StorageAlreadyFormatted``."""
        return self[1]

    @property
    def domain(self) -> str:
        """The part of the system it belongs to: one word, lower case."""
        return self[2]

    @property
    def description(self) -> str:
        """Template of what happened."""
        return self[3]

    @property
    def resolution(self) -> str:
        """Template of what to do next."""
        return self[4]


def entry(code: int, variant: str = "") -> Entry:
    """Return the words for a code.

    :param variant: which wording; must be given for the codes that have several, and only for them (see :func:`variants`).
    :raises KeyError: for an unknown code or variant, or one too many or too few: a defect of the caller.
    """
    name, domain, description, resolution = _ENTRIES[code]
    if variant or code in _VARIANTS:
        description, resolution = _VARIANTS[code][variant]
    return Entry((code, name, domain, description, resolution))


def name_of(code: int) -> str:
    """Return the name of a code; ``Unknown`` for one that this version does not have, sent by a newer peer."""
    return _ENTRIES.get(code, _ENTRIES[0])[0]


def variants(code: int) -> tuple[str, ...]:
    """Return the names of the wordings of a code: only the empty one for most.

    :raises KeyError: for an unknown code.
    """
    if code not in _ENTRIES:
        raise KeyError(code)
    return tuple(_VARIANTS.get(code, ("",)))


# Code: name, domain, description, resolution.  The texts of a code with several wordings are in _VARIANTS.
_ENTRIES: dict[int, tuple[str, str, str, str]] = {
    # General
    0: (
        "Unknown",
        "unknown",
        "something failed and nothing more is known about it",
        "look for the same moment in the logs of daos_server and of its helper; if they are silent too, report it as a bug with both logs",
    ),
    1: (
        "MissingSoftwareDependency",
        "scm",
        "the program 'ndctl' is not installed, and namespaces on persistent memory cannot be listed or made without it",
        (
            "install the ndctl package (Debian and Ubuntu: apt install ndctl; EL: dnf install ndctl; Leap: zypper install ndctl), then "
            "repeat the command"
        ),
    ),
    2: (
        "BadVersionSoftwareDependency",
        "scm",
        "ipmctl {version} is installed, a version that DAOS does not work with",
        "install version 2 or 3 of ipmctl and its library, other than 02.00.00.3809, .3814 and .3816, then repeat the command",
    ),
    3: (
        "PrivilegedHelperNotPrivileged",
        "pbin",
        "the privileged helper {helper} started without root's rights",
        (
            "run 'daos_server helper check': it names the cause (mode bits, owner, a mount with nosuid, or no_new_privs) and the command "
            "that repairs it"
        ),
    ),
    4: (
        "PrivilegedHelperNotAvailable",
        "pbin",
        "the privileged helper {helper} does not exist, or this user may not run it",
        (
            "run 'daos_server helper check' as the same user; reinstall the package if the file is missing, or run the command as root or "
            "as the account daos_server if only the permission is missing"
        ),
    ),
    5: (
        "PrivilegedHelperRequestFailed",
        "pbin",
        "the privileged helper could not carry out the request: {message}",
        (
            "the message names what went wrong; if it does not, read the helper's entries of the same minute in the journal or in "
            "/var/log/daos/helper.log"
        ),
    ),
    6: (
        "SocketFileInUse",
        "drpc",
        "the dRPC socket {path} already belongs to a running process",
        (
            "find the owner with 'ss -xlp src {path}'; stop that daos_server, or give this one another 'socket_dir' in daos_server.yml; "
            "delete the file only if nothing listens on it"
        ),
    ),
    # Storage, any kind
    100: (
        "StorageUnknown",
        "storage",
        "storage failed in a way that has no code of its own",
        "read the cause at the end of the line; if there is none, look at the log of daos_server for the same moment",
    ),
    101: (
        "StorageAlreadyFormatted",
        "scm",
        "something is here already that a format would destroy",
        "if the data may be lost, run 'daos_server storage format --force'; if not, name another device in daos_server.yml",
    ),
    102: (
        "StorageFilesystemAlreadyMounted",
        "storage",
        "a file system is already mounted where storage was to be formatted",
        "see 'findmnt' for the mount in the way; unmount it and repeat the command",
    ),
    103: (
        "StorageDeviceAlreadyMounted",
        "scm",
        "the device is already mounted",
        "see where with 'findmnt -S DEVICE', unmount it there with 'umount', and repeat the command",
    ),
    104: (
        "StorageTargetAlreadyMounted",
        "storage",
        "the mount point already carries a mount, and a second one would hide the first",
        "see what is there with 'findmnt --target PATH'; if it is not needed, unmount it with 'umount PATH' and repeat the command",
    ),
    105: (
        "StoragePathAccessDenied",
        "storage",
        "this user may not use the path '{path}'",
        (
            "give the account daos_server search permission on every folder above it and ownership of the path itself ('namei -l {path}' "
            "shows where access ends), then repeat the command"
        ),
    ),
    # SCM: persistent memory and RAM disks
    200: (
        "ScmUnknown",
        "scm",
        "persistent memory or RAM storage failed in a way that has no code of its own",
        "read the cause at the end of the line, then the log of daos_server for the same moment",
    ),
    201: (
        "ScmFormatInvalidSize",
        "scm",
        "the RAM disk to be made has size 0",
        (
            "set 'scm_size' of the ram tier in daos_server.yml to at least 4 (GiB), or remove the key so that the size is worked out from "
            "the memory of the machine"
        ),
    ),
    202: (
        "ScmFormatInvalidDeviceCount",
        "scm",
        "a format of persistent memory takes exactly one device for each engine",
        "leave one /dev/pmemN in 'scm_list' of the dcpm tier of the engine in daos_server.yml",
    ),
    203: (
        "ScmFormatMissingMountpoint",
        "scm",
        "the format request does not say where to mount the storage",
        "set 'scm_mount' in the first storage tier of the engine in daos_server.yml, for example /mnt/daos0",
    ),
    204: (
        "ScmFormatMissingDevice",
        "scm",
        "the configuration names {device}, and this machine has no such device",
        (
            "correct the name in daos_server.yml ('lsblk -p' lists the devices that exist); if it is persistent memory, make the "
            "namespaces with 'daos_server scm prepare'"
        ),
    ),
    205: (
        "ScmFormatMissingParam",
        "scm",
        "the request names neither a RAM disk nor a device",
        "give the first storage tier of the engine in daos_server.yml a 'class': ram with 'scm_size', or dcpm with 'scm_list'",
    ),
    206: (
        "ScmFormatConflictingParam",
        "scm",
        "the request names both a RAM disk and a device for the same mount point",
        (
            "keep only one kind in the first storage tier of the engine in daos_server.yml: 'scm_size' belongs to class ram, 'scm_list' to "
            "class dcpm"
        ),
    ),
    207: (
        "ScmPathAccessDenied",
        "scm",
        "a path of the SCM tier may not be used by this user",
        "see 'namei -l PATH' for the folder where access ends, correct its owner or mode, and repeat the command",
    ),
    208: (
        "ScmDiscoveryFailed",
        "scm",
        "the persistent memory modules could not be listed",
        (
            "run 'ipmctl show -dimm' as root and repair what it reports; on a machine without such modules, use class ram instead of dcpm "
            "in daos_server.yml"
        ),
    ),
    209: (
        "ScmDuplicatesInDeviceList",
        "scm",
        "the list of SCM modules names one module more than once",
        "remove the repeated entry from the list and repeat the command",
    ),
    210: (
        "ScmNoDevicesMatchFilter",
        "scm",
        "the filter leaves none of this machine's SCM modules",
        "list the modules with 'daos_server scm scan', then drop or correct the filter for model or firmware revision",
    ),
    211: (
        "ScmNoPMem",
        "storage",
        "this machine has no persistent memory modules",
        "use class ram instead of dcpm in daos_server.yml; if modules are fitted, check that the BIOS lists them and repeat the command",
    ),
    212: (
        "ScmBadRegion",
        "storage",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    213: (
        "ScmInvalidPMem",
        "storage",
        "the persistent memory is in a state that does not fit together: {msg}",
        (
            "compare 'ndctl list -RNi' with 'ipmctl show -region' and ask for the number of namespaces that there is; or, after saving the "
            "data: 'daos_server scm reset', reboot, 'daos_server scm prepare'"
        ),
    ),
    214: (
        "ScmRamdiskLowMem",
        "storage",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    215: (
        "ScmRamdiskBadSize",
        "storage",
        "the RAM disk that is already mounted has {existing}, too far from the {calc} that the configuration leads to",
        (
            "unmount it so that daos_server makes a new one (its content is lost), or remount it with 'mount -o remount,size=SIZE', SIZE "
            "being {calc}"
        ),
    ),
    216: (
        "ScmConfigTierMissing",
        "storage",
        "an engine has no SCM tier in its storage section",
        "put a tier of class ram or dcpm first in the 'storage' list of that engine in daos_server.yml",
    ),
    # Block devices
    300: (
        "BdevUnknown",
        "bdev",
        "an NVMe or block device failed in a way that has no code of its own",
        "read the cause at the end of the line, then the log of daos_server and 'dmesg' for the same moment",
    ),
    301: (
        "BdevFormatUnknownClass",
        "bdev",
        "a tier has the class '{device_class}', which cannot be formatted as a block device",
        "use class nvme, kdev or file for tiers after the first in daos_server.yml",
    ),
    302: (
        "BdevFormatFailure",
        "bdev",
        "'{dev}' could not be formatted: {err}",
        (
            "if it is a file, free space, or let the account daos_server write to its folder; else see with 'daos_server storage scan' "
            "whether the device still answers, and look for its errors in 'dmesg'; then repeat the format"
        ),
    ),
    303: (
        "BdevBadPCIAddress",
        "bdev",
        "'{addr}' is not a PCI address",
        (
            "write it as domain:bus:device.function in hexadecimal, for example 0000:81:00.0 ('daos_server nvme scan --ignore-config' "
            "lists the addresses), and repeat the command"
        ),
    ),
    304: (
        "BdevNotFound",
        "storage",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    305: (
        "BdevDuplicatesInDeviceList",
        "bdev",
        "the list of NVMe devices names one address more than once",
        "remove the repeated address from the list and repeat the command",
    ),
    306: (
        "BdevNoDevicesMatchFilter",
        "bdev",
        "the filter leaves none of this machine's NVMe SSDs",
        "list models and firmware revisions with 'daos_server nvme scan --ignore-config', then drop or correct the filter",
    ),
    307: (
        "BdevAccelEngineUnknown",
        "storage",
        "the acceleration engine '{input}' is not known",
        "set 'acceleration: engine:' of that engine in daos_server.yml to none, spdk or dml",
    ),
    308: (
        "BdevConfigOptFlagUnknown",
        "storage",
        "'{input}' is not a known option",
        "use only these: {options}; correct daos_server.yml and repeat the command",
    ),
    309: (
        "BdevConfigTierTypeMismatch",
        "storage",
        "real NVMe SSDs and emulated devices (class file or kdev) are mixed in the block tiers of one configuration",
        "make every block tier of every engine in daos_server.yml either class nvme, or class file or kdev",
    ),
    310: (
        "BdevNonRootVFIODisable",
        "storage",
        "VFIO is switched off, and without it a user other than root cannot use NVMe SSDs",
        "remove 'disable_vfio: true' from daos_server.yml , or prepare the drives for root",
    ),
    311: (
        "BdevNoIOMMU",
        "storage",
        "this machine has no working IOMMU, and a user other than root cannot use NVMe SSDs without one",
        (
            "switch on VT-d or AMD-Vi in the BIOS and boot with 'intel_iommu=on' (AMD needs no option) on the kernel command line, or, "
            "if this is a virtual machine, give it an IOMMU on its host ('daos_server doctor' shows how); /sys/class/iommu must not be "
            "empty then"
        ),
    ),
    312: (
        "BdevConfigRolesWithDCPM",
        "storage",
        "MD-on-SSD roles are given although the SCM tier is of class dcpm",
        "remove 'bdev_roles' from the block tiers in daos_server.yml, or change the first tier to class ram",
    ),
    313: (
        "BdevConfigRolesBadNr",
        "storage",
        "the role {role} is given to {got} block tiers, and it must be exactly 1",
        "edit 'bdev_roles' in daos_server.yml so that {role} appears in exactly one tier of each engine",
    ),
    314: (
        "BdevConfigRolesMissing",
        "storage",
        "some block tiers of an engine have 'bdev_roles' and some have not",
        "give every block tier of that engine in daos_server.yml its 'bdev_roles', or remove them all",
    ),
    315: (
        "BdevConfigMultiTierWithoutRoles",
        "storage",
        "an engine has several block tiers but no 'bdev_roles' to tell them apart",
        "write 'bdev_roles' into each block tier in daos_server.yml, or put all drives of the engine into one tier",
    ),
    316: (
        "BdevConfigBadNrTiersWithRoles",
        "storage",
        "an engine has more than three block tiers with 'bdev_roles'",
        "merge the block tiers of that engine in daos_server.yml so that at most three remain",
    ),
    317: (
        "BdevConfigControlMetadataNoRoles",
        "storage",
        "'control_metadata.path' is set, but no block tier of the engine has the role meta",
        "give the block tiers in daos_server.yml their 'bdev_roles', or remove 'control_metadata'",
    ),
    318: (
        "BdevConfigRolesNoControlMetadata",
        "storage",
        "block tiers have the role meta, but 'control_metadata.path' is not set",
        (
            "add to daos_server.yml, at the top level, 'control_metadata:' with 'path: /var/daos/config' or another folder on a local disk "
            "that survives a reboot"
        ),
    ),
    319: (
        "BdevConfigRolesWalDataNoMeta",
        "storage",
        "a block tier has the roles wal and data but not meta, a combination that the engine does not support",
        "use wal alone, or wal with meta, or all three roles in that tier in daos_server.yml",
    ),
    # System membership
    400: (
        "SystemUnknown",
        "system",
        "the system failed in a way that has no code of its own",
        "ask the management service for its state with 'dmg system query' and read the server logs of the same moment",
    ),
    401: (
        "SystemBadFaultDomainDepth",
        "system",
        "this server's fault domain '{domain}' does not fit the system, whose fault domains have {depth} layers",
        (
            "set 'fault_path' (or the output of 'fault_cb') in daos_server.yml to {depth} layers, as on the other servers, and restart "
            "daos_server"
        ),
    ),
    402: (
        "SystemPoolLocked",
        "system",
        "pool {uuid} is locked by another operation ({lock_id}, since {time})",
        "wait for the other operation to end and repeat the command",
    ),
    # Clients
    500: (
        "ClientUnknown",
        "client",
        "the client failed in a way that has no code of its own",
        "repeat the command with debug output (-d with dmg) and read the cause at the end of the line",
    ),
    501: (
        "ClientConfigBadControlPort",
        "client",
        "the control port in the client's configuration is not a usable port number",
        "set 'port' in daos_control.yml (dmg) or daos_agent.yml (agent) to the servers' control port, normally 10001",
    ),
    502: (
        "ClientConfigBadAccessPoints",
        "client",
        "the access points in the client's configuration are not usable",
        "correct the list of servers in the client's configuration file",
    ),
    503: (
        "ClientConfigEmptyHostList",
        "client",
        "the list of servers in the client's configuration is empty",
        "write at least one server name into 'hostlist' in daos_control.yml, or give it to dmg with -l",
    ),
    504: (
        "ClientConnectionBadHost",
        "client",
        "no address was found for the host in {addr}",
        "test it with 'getent hosts NAME'; correct the name in the configuration, /etc/hosts or DNS",
    ),
    505: (
        "ClientConnectionNoRoute",
        "client",
        "there is no network route to the server at {addr}",
        "test with 'ip route get ADDRESS' and 'ping ADDRESS'; correct the address, the route or the firewall",
    ),
    506: (
        "ClientConnectionRefused",
        "client",
        "nothing accepts connections at {addr}",
        (
            "check on that host that daos_server runs ('systemctl status daos_server') and listens on this port ('ss -ltn'); start it, or "
            "correct the address or port"
        ),
    ),
    507: (
        "ClientConnectionClosed",
        "client",
        "the server at {addr} hung up before it took a request",
        (
            "check that both sides have the same 'allow_insecure' setting and certificates of the same CA, and that the address is that of "
            "daos_server"
        ),
    ),
    508: (
        "ClientConnectionTimedOut",
        "client",
        "the server at {addr} did not answer the connection in time",
        "test with 'ping' and with 'nc -vz HOST PORT'; look for a firewall that drops packets, and whether the host is overloaded or down",
    ),
    509: (
        "ClientFormatRunningSystem",
        "client",
        "a storage format was asked for while the system is running",
        "save the data, then 'dmg system stop' and 'dmg system erase' (this destroys all pools), and repeat the format",
    ),
    510: (
        "ClientRpcTimeout",
        "client",
        "the {request_type} request got no answer within {duration}",
        "look in the server logs whether it is still being worked on before repeating it; then repeat it",
    ),
    511: (
        "ClientConfigVMDImbalance",
        "client",
        "the VMDs of different engines have different numbers of SSDs behind them",
        (
            "move drives in the chassis or reassign them in the BIOS so that each engine's VMDs have the same number, then generate the "
            "configuration again"
        ),
    ),
    # Server
    600: (
        "ServerUnknown",
        "server",
        "the server failed in a way that has no code of its own",
        "read the cause at the end of the line, then the control log of daos_server from its last start on",
    ),
    601: (
        "ServerScmUnmanaged",
        "server",
        "the SCM mount point {path} is not available, and this server was told not to make it",
        "make and mount {path} yourself before the start, or let the server manage it by removing --recreate-superblocks",
    ),
    602: (
        "ServerIommuDisabled",
        "server",
        "NVMe SSDs are configured, the server is not root, and the machine has no working IOMMU",
        (
            "switch on VT-d or AMD-Vi in the BIOS and in the kernel ('intel_iommu=on'), so that /sys/class/iommu is not empty, and restart "
            "daos_server"
        ),
    ),
    603: (
        "ServerWrongSystem",
        "server",
        "the request is for the system '{req}', and this server belongs to '{sys}'",
        "correct 'name' in the configuration of the client, or send the request to a server of '{req}'",
    ),
    604: (
        "ServerPoolScmTooSmall",
        "server",
        "the pool would get less than 16 MiB of SCM for each target",
        "ask for {min_total} or more; {min_scm} of that must be SCM",
    ),
    605: (
        "ServerPoolNvmeTooSmall",
        "server",
        "the pool would get less than 1 GiB of NVMe for each target",
        "ask for {min_total} or more; {min_nvme} of that must be NVMe",
    ),
    606: (
        "ServerPoolInvalidRanks",
        "server",
        "these ranks cannot take part in the pool: {ranks}",
        "see 'dmg system query' for the ranks that have joined, and repeat the request with those only",
    ),
    607: (
        "ServerPoolInvalidNumRanks",
        "server",
        "the pool was to span {requested} ranks, but {available} are available",
        "ask for at most {available} ranks, or bring missing ranks back ('dmg system query' lists them), and repeat the request",
    ),
    608: (
        "ServerPoolInvalidServiceReps",
        "server",
        "a pool cannot have that many service replicas: the number must be odd and at most {max}",
        "repeat the request with an odd number up to {max}, or leave it out for the default",
    ),
    609: (
        "ServerPoolDuplicateLabel",
        "server",
        "a pool with the label '{label}' already exists",
        "choose another label, or destroy the old pool first if it is not needed ('dmg pool list' shows it)",
    ),
    610: (
        "ServerHarnessNotStarted",
        "server",
        "the engines of this server are not running yet",
        "wait until the storage is formatted and the engines have started ('dmg system query'), then repeat the command",
    ),
    611: (
        "ServerDataPlaneNotStarted",
        "server",
        "an engine is not running or does not answer on its dRPC socket",
        "look at the engine's log (log_file in daos_server.yml) for why it ended or hangs; restart it with 'dmg system start'",
    ),
    612: (
        "ServerInstancesNotStopped",
        "server",
        "rank {rank} has to be stopped before '{action}'",
        "stop it with 'dmg system stop --ranks={rank}', then repeat '{action}'",
    ),
    613: (
        "ServerConfigInvalidNetDevClass",
        "serverconfig",
        "engine {idx} uses the network interface '{iface}' of class {net_class}, while the first engine uses class {primary_class}",
        "choose interfaces of one class for 'fabric_iface' of all engines in daos_server.yml, and restart daos_server",
    ),
    614: (
        "ServerVfioDisabled",
        "server",
        "'disable_vfio: true' is set, but a server that is not root cannot use NVMe SSDs without VFIO",
        "remove 'disable_vfio' from daos_server.yml (an IOMMU is needed then), and restart daos_server",
    ),
    615: (
        "ServerPoolNoLabel",
        "server",
        "a pool cannot be made without a label",
        "repeat the request with a label, for example 'dmg pool create --size=1TB mypool'",
    ),
    616: (
        "ServerIncompatibleComponents",
        "server",
        "{own} and {other} have versions that cannot work together",
        "install matching versions on both ends (major and minor number; 'daos_server version' prints this end's)",
    ),
    617: (
        "ServerNoCompatibilityInsecure",
        "server",
        "without certificates {own} and {other} must have exactly the same version, and they have not",
        "install the same version on both ends, or set up certificates on both and set 'allow_insecure: false'",
    ),
    618: (
        "ServerPoolHasContainers",
        "server",
        "the pool still has containers in it",
        "list them with 'daos container list'; repeat the destruction with --recursive if they may be lost",
    ),
    619: (
        "ServerHugepagesDisabled",
        "server",
        "hugepages are switched off in the configuration, and this operation needs them",
        "remove 'disable_hugepages' from daos_server.yml, restart daos_server, and format the storage again",
    ),
    # Server configuration
    700: (
        "ServerConfigUnknown",
        "serverconfig",
        "the configuration failed in a way that has no code of its own",
        "read the cause at the end of the line and compare the section with the examples in share/daos/examples of the installation",
    ),
    701: (
        "ServerBadConfig",
        "serverconfig",
        "the configuration is incomplete or contradicts itself",
        "the cause at the end of the line names the key; correct it in daos_server.yml, with the files in share/daos/examples as a pattern",
    ),
    702: (
        "ServerNoConfigPath",
        "serverconfig",
        "no path to a configuration file was given",
        "start with '-o /etc/daos/daos_server.yml' or the path of your file",
    ),
    703: (
        "ServerConfigBadControlPort",
        "serverconfig",
        "the control port in daos_server.yml is not usable",
        "set 'port' to a number from 1 to 65535, normally 10001, and use the same in 'access_points' and on the clients",
    ),
    704: (
        "ServerConfigBadTelemetryPort",
        "serverconfig",
        "the telemetry port in daos_server.yml is not usable",
        "set 'telemetry_port' to a number from 1 to 65535, for example 9191, or remove the key to switch telemetry off",
    ),
    705: (
        "ServerConfigBadAccessPoints",
        "serverconfig",
        "the list of access points in daos_server.yml is empty or has an entry that cannot be used",
        "write each entry of 'access_points' as HOST or HOST:PORT with a name that resolves ('getent hosts NAME'), each only once",
    ),
    706: (
        "ServerConfigEvenAccessPoints",
        "serverconfig",
        "the number of access points in daos_server.yml is even",
        "list 1, 3 or 5 hosts in 'access_points', the same on every server",
    ),
    707: (
        "ServerConfigBadProvider",
        "serverconfig",
        "no network provider is set in daos_server.yml",
        "set 'provider', for example 'ofi+tcp', or 'ofi+verbs;ofi_rxm' for InfiniBand and RoCE",
    ),
    708: (
        "ServerConfigNoEngines",
        "serverconfig",
        "daos_server.yml has no engines",
        "add at least one entry under 'engines', with the files in share/daos/examples as a pattern",
    ),
    709: (
        "ServerConfigDuplicateFabric",
        "serverconfig",
        "engine {current} has the same provider, interface and port as engine {seen}",
        "give engine {current} another 'fabric_iface' or at least another 'fabric_iface_port' in daos_server.yml, and restart daos_server",
    ),
    710: (
        "ServerConfigDuplicateLogFile",
        "serverconfig",
        "engine {current} writes to the same log file as engine {seen}",
        "give each engine its own 'log_file' in daos_server.yml, and restart daos_server",
    ),
    711: (
        "ServerConfigDuplicateScmMount",
        "serverconfig",
        "engine {current} has the same 'scm_mount' as engine {seen}",
        "give each engine its own mount point in daos_server.yml, for example /mnt/daos0 and /mnt/daos1",
    ),
    712: (
        "ServerConfigDuplicateScmDeviceList",
        "serverconfig",
        "engine {current} uses a persistent memory device that engine {seen} uses too",
        "give each engine its own device in 'scm_list' in daos_server.yml ('daos_server scm scan' lists them with their sockets)",
    ),
    713: (
        "ServerConfigOverlappingBdevDeviceList",
        "serverconfig",
        "engine {current} uses block devices that engine {seen} uses too",
        "list every device in the 'bdev_list' of one engine only in daos_server.yml, and restart daos_server",
    ),
    714: (
        "ServerConfigBdevCountMismatch",
        "serverconfig",
        "engine {current} has {count} block devices and engine {seen} has {seen_count}",
        "give all engines the same number of devices over all their tiers in daos_server.yml",
    ),
    715: (
        "ServerConfigTargetCountMismatch",
        "serverconfig",
        "engine {current} has {count} targets and engine {seen} has {seen_count}",
        "set the same 'targets' for every engine in daos_server.yml",
    ),
    716: (
        "ServerConfigHelperStreamCountMismatch",
        "serverconfig",
        "engine {current} has {count} helper threads and engine {seen} has {seen_count}",
        "set the same 'nr_xs_helpers' for every engine in daos_server.yml",
    ),
    717: (
        "ServerConfigFaultDomainInvalid",
        "serverconfig",
        "the fault domain of this server is not well formed",
        "set 'fault_path' in daos_server.yml to a path such as /rack3/node17, or let the 'fault_cb' script print one",
    ),
    718: (
        "ServerConfigFaultCallbackNotFound",
        "serverconfig",
        "the script named by 'fault_cb' does not exist",
        "correct the path in daos_server.yml, or install the script there, and restart daos_server",
    ),
    719: (
        "ServerConfigFaultCallbackInsecure",
        "serverconfig",
        "the script named by 'fault_cb' could be changed by somebody who should not, and is not run",
        (
            "put it below {dir} as a plain file, not a link, without setuid bit and writable for its owner only ('chmod 0755'), then "
            "restart daos_server"
        ),
    ),
    720: (
        "ServerConfigFaultCallbackBadPerms",
        "serverconfig",
        "the account daos_server may not run the script named by 'fault_cb'",
        "give it read and execute permission ('chmod 0755'), look at the folders above it with 'namei -l', and restart daos_server",
    ),
    721: (
        "ServerConfigFaultCallbackFailed",
        "serverconfig",
        "the script named by 'fault_cb' failed: {err}",
        "run it by hand as the account daos_server until it prints one path and ends with status 0, then restart daos_server",
    ),
    722: (
        "ServerConfigBothFaultPathAndCb",
        "serverconfig",
        "both 'fault_path' and 'fault_cb' are set in daos_server.yml",
        "keep one of the two, and restart daos_server",
    ),
    723: (
        "ServerConfigFaultCallbackEmpty",
        "serverconfig",
        "the script named by 'fault_cb' ended well but printed nothing",
        "make it print a path such as /rack3/node17 on its standard output, then restart daos_server",
    ),
    724: (
        "ServerConfigFaultDomainTooManyLayers",
        "serverconfig",
        "the fault domain has more than two levels",
        "shorten 'fault_path' (or the output of 'fault_cb') in daos_server.yml to at most two parts, for example /rack3/node17",
    ),
    725: (
        "ServerConfigNrHugepagesOutOfRange",
        "serverconfig",
        "'nr_hugepages' is {count}, outside 0 to 2147483647",
        "set 'nr_hugepages' in daos_server.yml to 0 or remove it, so that the number is worked out from the targets",
    ),
    726: (
        "ServerConfigHugepagesDisabledWithBdevs",
        "serverconfig",
        "hugepages are switched off, but block devices are configured that need them",
        "remove 'disable_hugepages: true' from daos_server.yml, or remove the block tiers from all engines",
    ),
    727: (
        "ServerConfigVMDSettingDuplicate",
        "serverconfig",
        "both 'enable_vmd' and 'disable_vmd' are set in daos_server.yml",
        "remove 'enable_vmd'; VMD is used by default, and 'disable_vmd: true' switches it off",
    ),
    728: (
        "ServerConfigEngineNUMAImbalance",
        "server",
        "the engines are spread unevenly over the NUMA nodes: {layout}",
        "give each NUMA node that is used the same number of engines, by 'pinned_numa_node' in daos_server.yml",
    ),
    729: (
        "ServerConfigControlMetadataNoPath",
        "serverconfig",
        "'control_metadata' names a device but no path to mount it on",
        "add 'path' below 'control_metadata' in daos_server.yml, for example /var/daos/config",
    ),
    730: (
        "ServerConfigRamdiskUnderMinMem",
        "storage",
        "the configured RAM disk of {conf} is below the minimum of 4 GiB",
        "set 'scm_size' in daos_server.yml to 4 or more (the unit is GiB), or remove it for an automatic size",
    ),
    731: (
        "ServerConfigRamdiskOverMaxMem",
        "serverconfig",
        "the configured RAM disk of {conf} is larger than the {max} that this machine can spare for each engine",
        "set 'scm_size' in daos_server.yml between 4 GiB and {max}, or remove it for an automatic size",
    ),
    732: (
        "ServerConfigScmDiffClass",
        "serverconfig",
        "the SCM tier of engine {current} has another class than that of engine {seen}",
        "give the first tier of all engines in daos_server.yml the same class, all ram or all dcpm",
    ),
    733: (
        "ServerConfigEngineBdevRolesMismatch",
        "serverconfig",
        "some engines in daos_server.yml have 'bdev_roles' and others have not",
        "set 'bdev_roles' on all engines, or on none",
    ),
    734: (
        "ServerConfigSysRsvdZero",
        "serverconfig",
        "'system_ram_reserved' in daos_server.yml is not above 0",
        "set it to the GiB that the operating system and other programs need, or remove it for the default of 16",
    ),
    # SPDK
    800: (
        "SpdkUnknown",
        "spdk",
        "SPDK failed in a way that has no code of its own",
        "read the cause at the end of the line and the helper's log of the same moment",
    ),
    801: (
        "SpdkCtrlrNoHealth",
        "spdk",
        "an NVMe SSD was found, but it delivers no health data",
        "look at the drive with 'nvme smart-log'; update its firmware if the log page is missing there too",
    ),
    802: (
        "SpdkBindingRetNull",
        "spdk",
        "SPDK returned nothing where a result was expected: {msg}",
        "repeat the command; if it fails again, report it with the helper's log and the version of SPDK",
    ),
    803: (
        "SpdkBindingFailed",
        "spdk",
        "an SPDK call failed with return code {rc}: {msg}",
        (
            "look in the helper's log for the lines SPDK printed; check free hugepages (/proc/meminfo) and that no other process drives "
            "the SSD"
        ),
    ),
    # Transport security
    900: (
        "SecurityUnknown",
        "security",
        "transport security failed in a way that has no code of its own",
        "check with 'openssl verify -CAfile CA CERT' on both ends, and read the server log for the reason of the refusal",
    ),
    901: (
        "SecurityMissingCertFile",
        "security",
        "{path} is missing, and TLS cannot be used without it",
        "install the file there, or correct the path in 'transport_config'; 'allow_insecure: true' is for tests only",
    ),
    902: (
        "SecurityUnreadableCertFile",
        "security",
        "{path} is open to users who must not read it, or closed to this one, which needs it for TLS",
        "give it to the account that uses it; keys have mode 0400 (0440 for dmg), certificates 0644, their folders 0750",
    ),
    903: (
        "SecurityInvalidCert",
        "security",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    # Control metadata
    1000: (
        "ControlMetadataUnknown",
        "controlmetadata",
        "the control metadata failed in a way that has no code of its own",
        "read the cause at the end of the line; look at the folder with 'findmnt --target PATH' and 'ls -ld PATH'",
    ),
    1001: (
        "ControlMetadataBadFilesystem",
        "controlmetadata",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    # System checker
    1100: (
        "SystemCheckerUnknown",
        "checker",
        "the system checker failed in a way that has no code of its own",
        "see 'dmg check query' for the state of the checker",
    ),
    1101: (
        "SystemCheckerInvalidMemberStates",
        "checker",
        "",  # several wordings: see _VARIANTS
        "",
    ),
    1102: (
        "SystemCheckerNotEnabled",
        "checker",
        "the system is not in checker mode",
        "stop the system and run 'dmg check enable', then repeat the command",
    ),
    1103: (
        "SystemCheckerEnabled",
        "checker",
        "the system is in checker mode and does not serve normal requests",
        "finish the check, then leave the mode with 'dmg check disable' and 'dmg system start'",
    ),
    # Ours: the helper and its protocol
    2000: (
        "HelperProtocolMismatch",
        "pbin",
        "server and helper speak different versions of their protocol: the server {ours}, the helper {theirs}",
        "reinstall both from the same package; 'daos_server version' and 'daos_server helper check' print what is installed",
    ),
    2001: (
        "HelperFrameInvalid",
        "pbin",
        "bytes between server and helper are not a valid frame: {reason}",
        "repeat the command; if it fails again, run 'daos_server helper check' and report it with the helper's log",
    ),
    2002: (
        "HelperMessageInvalid",
        "pbin",
        "the request {method} has content that is not allowed: {reason}",
        (
            "if daos_server sent it, compare versions with 'daos_server version' and report it; if your own program did, correct the named "
            "field"
        ),
    ),
    2003: (
        "HelperMethodUnknown",
        "pbin",
        "the helper has no method named {method}",
        "reinstall server and helper from the same package, then repeat the command",
    ),
    2004: (
        "HelperPolicyInvalid",
        "pbin",
        "the helper's policy file {path} cannot be used: {reason}",
        (
            "correct the file as root (owner root, not writable for others, valid TOML) or remove it, in which case safe defaults hold; "
            "'daos_server helper policy' shows what is in force then"
        ),
    ),
    2005: (
        "HelperPolicyRefused",
        "pbin",
        "the helper's policy refuses this: {what}",
        "to allow it, edit {policy} as root (the line replaces any with the same key), then repeat the command: {line}",
    ),
    2006: (
        "HelperWorkerCrashed",
        "pbin",
        "the helper's worker for {step} crashed with signal {signal}",
        (
            "look at 'dmesg' and the helper's log for the cause, then repeat the command; what was half done is undone or continued by the "
            "next run"
        ),
    ),
    2007: (
        "HelperWorkerNoAnswer",
        "pbin",
        "the helper's worker for {step} ended without a usable answer ({status})",
        "look at the helper's log for its last lines, then repeat the command",
    ),
    2008: (
        "HelperDeadlineExceeded",
        "pbin",
        "{step} did not finish within {seconds} seconds and was stopped",
        "look at 'dmesg' for a device that does not answer; repeat the command when it does",
    ),
    2009: (
        "HelperCancelled",
        "pbin",
        "{step} was cancelled",
        "repeat the command when you want it done; it continues from the state that the cancelled one left",
    ),
    2010: (
        "HelperResourceBusy",
        "pbin",
        "{resource} is in use by {holder}",
        "wait for the other command to end and repeat this one; if the holder is gone or stuck, see 'daos_server explain 2011'",
    ),
    2011: (
        "HelperWorkerStuck",
        "pbin",
        "the worker of {step} (process {pid}) hangs in the kernel ({where}) and cannot be killed",
        "look at 'dmesg' for the device or file server that does not answer and bring it back; if that is not possible, reboot the machine",
    ),
    2012: (
        "HelperSessionClosed",
        "pbin",
        "the session with the helper ended: {reason}",
        "repeat the command; if it happens again, run 'daos_server helper check' and look at the helper's log",
    ),
    2013: (
        "HelperAuditUnavailable",
        "pbin",
        "the helper cannot write its audit record anywhere ({sinks}), so it changes nothing",
        (
            "repair one of the places: start systemd-journald or a syslog daemon, or free space for /var/log/daos/helper.log; then repeat "
            "the command"
        ),
    ),
    2014: (
        "HelperPrivilegeDropFailed",
        "pbin",
        "the worker for {step} could not give up its rights: {reason}",
        "run 'daos_server helper check'; on an unusual kernel or container report the reason together with the output of 'uname -r'",
    ),
    2015: (
        "HelperTooManyRequests",
        "pbin",
        "too many requests at once: the helper takes {limit} in one session",
        "wait for some of them to end and repeat the rest",
    ),
    2016: (
        "HelperCallerRefused",
        "pbin",
        "the user with id {uid} may not use the helper",
        "run the command as root or as the account daos_server, for example with 'sudo -u daos_server'",
    ),
    2017: (
        "HelperStartFailed",
        "pbin",
        "the helper {helper} started but refuses to work: {reason}",
        "run 'daos_server helper check', which shows the same problem with its remedy",
    ),
    2018: (
        "HelperInternal",
        "pbin",
        "the helper met an error that it did not expect: {what}",
        "repeat the command; if it fails again, report it with the helper's log of that moment",
    ),
    # Ours: storage
    2100: (
        "StorageDeviceInUse",
        "storage",
        "{device} is in use: {found}",
        (
            "see 'lsblk {device}'; if it may be used, free it ('swapoff', 'vgchange -an', 'mdadm --stop', 'cryptsetup close') and repeat "
            "the command; if not, name another device in daos_server.yml"
        ),
    ),
    2101: (
        "StorageDeviceHoldsRoot",
        "storage",
        "{device} is the disk, or on the disk, that the running system was started from",
        (
            "name another device in daos_server.yml; neither --force nor any line in the helper's policy allows this one ('lsblk' shows "
            "which disk carries /)"
        ),
    ),
    2102: (
        "StorageDeviceNotBlock",
        "storage",
        "{path} is not a block device: it is {what}",
        "correct the path in daos_server.yml; 'lsblk -p' lists the block devices",
    ),
    2103: (
        "StorageMountBusy",
        "storage",
        "the mount at {target} is busy",
        "see who uses it with 'fuser -vm {target}', stop those processes (an engine: 'systemctl stop daos_server'), and repeat the command",
    ),
    2104: (
        "StoragePathInvalid",
        "storage",
        "the path '{path}' is not acceptable: {reason}",
        "write it as an absolute path without '..', double or trailing slashes and links, and repeat the command",
    ),
    2105: (
        "StoragePathUnsafe",
        "storage",
        "the path {path} cannot be trusted: {reason}",
        (
            "look at each part with 'namei -l {path}'; replace links by real folders and give the folders to root or to the account "
            "daos_server, then repeat the command"
        ),
    ),
    2106: (
        "StorageMountForeign",
        "storage",
        "{target} carries a mount that is not ours: {found}",
        "see 'findmnt {target}'; unmount it if it is not needed, or choose another mount point in daos_server.yml",
    ),
    2107: (
        "StorageMkfsFailed",
        "storage",
        "no ext4 file system could be made on {device}: mkfs.ext4 {status}",
        "read the helper's log for its messages and 'dmesg' for errors of the device; then repeat the command",
    ),
    2108: (
        "StorageMountFailed",
        "storage",
        "{source} could not be mounted on {target}",
        "read the cause at the end of the line and 'dmesg'; 'daos_server storage scan' shows whether the device still carries ext4",
    ),
    2109: (
        "StorageFormatUnverified",
        "storage",
        "{device} does not carry the ext4 file system that it should: found {found}",
        (
            "if it was never formatted, run 'daos_server storage format'; if it just was, do not trust it: look at 'dmesg' and its health "
            "('smartctl -a', 'nvme smart-log')"
        ),
    ),
    2110: (
        "StorageFileUnusable",
        "storage",
        "the file {path} cannot be used: {reason}",
        (
            "look at it with 'ls -l {path}' and at the space around it with 'df -h'; the folder of a bdev file must belong to the account "
            "daos_server; then repeat the command"
        ),
    ),
    2112: (
        "StorageFormatInterrupted",
        "storage",
        "an earlier forced format of {what} was interrupted and left it neither old nor new",
        "run 'daos_server storage format --force' again to complete it",
    ),
    2113: (
        "StorageSystemCallFailed",
        "storage",
        "the system call {call} failed on {what}",
        (
            "the cause at the end of the line says why; look at 'dmesg' and, if SELinux enforces ('getenforce'), at 'ausearch -m avc -ts "
            "recent'"
        ),
    ),
    2114: (
        "StorageDirectoryUnusable",
        "storage",
        "the directory {path} cannot be used: {reason}",
        "make it, or correct its owner and mode (the account daos_server must be able to write to it), and repeat the command",
    ),
    2115: (
        "StorageContentLost",
        "storage",
        "unmounting {target} would lose what is only in memory there: {found}",
        "if it may be lost, run 'daos_server storage reset --force'; if not, copy it elsewhere first, or leave it mounted",
    ),
    # Ours: NVMe SSDs
    2120: (
        "NvmeBindingFailed",
        "nvme",
        "the NVMe SSD {address} could not be given to the driver asked for: {step} failed; it has {driver} now",
        (
            "look at 'dmesg' for the reason that the kernel gives; repeat the command; 'daos_server storage reset' restores what was there "
            "before the first prepare"
        ),
    ),
    2121: (
        "NvmeDriverMissing",
        "nvme",
        "the kernel has not loaded the driver {driver}",
        (
            "load it as root with 'modprobe {driver}', and put its name into /etc/modules-load.d so that it is there after a reboot; then "
            "repeat the command"
        ),
    ),
    2122: (
        "NvmeControllerInUse",
        "nvme",
        "the NVMe SSD {address} is in use: {found}",
        (
            "see 'lsblk'; if DAOS may have it, free it ('umount', 'swapoff', 'vgchange -an', 'mdadm --stop', then 'wipefs -a') and repeat "
            "the command; if not, take it out of 'bdev_list' or add it to 'bdev_exclude' in daos_server.yml"
        ),
    ),
    2123: (
        "NvmeGroupShared",
        "nvme",
        "the NVMe SSD {address} shares IOMMU group {group} with devices that drivers of the system hold: {members}",
        (
            "a group can only be used whole: move the SSD to another slot, switch on ACS in the BIOS, or free those devices; or leave "
            "the SSD out of 'bdev_list' in daos_server.yml"
        ),
    ),
    2124: (
        "NvmeControllerGone",
        "nvme",
        "there is no NVMe SSD at {address}, or it has just been removed",
        "compare with 'lspci -D' and 'dmesg'; reseat the drive or correct its address in daos_server.yml, then repeat the command",
    ),
    2125: (
        "NvmeCommandFailed",
        "nvme",
        "the NVMe SSD {address} did not do {command}: {reason}",
        (
            "look at 'dmesg' for the drive; repeat the command; if it fails again, reset the drive ('nvme reset') or replace it"
        ),
    ),
    2126: (
        "NvmeDataMalformed",
        "nvme",
        "the NVMe SSD {address} answered {command} with data that cannot be true: {reason}",
        "update the firmware of the drive or replace it; until then leave it out of 'bdev_list' in daos_server.yml",
    ),
    2127: (
        "NvmeFirmwareUnusable",
        "nvme",
        "the firmware {path} cannot be given to the NVMe SSD {address}: {reason}",
        "get the image for exactly that model from the maker of the drive, unpack it if it is an archive, and repeat the command",
    ),
    # Ours: SPDK
    2140: (
        "SpdkMissing",
        "spdk",
        "SPDK, which reads NVMe SSDs that the kernel's own driver does not have, cannot be used: {reason}",
        (
            "install SPDK 24.09 or later with its development files, so that 'pkg-config --modversion spdk_nvme spdk_env_dpdk' answers, "
            "then 'make install' again (docs/spdk.md); or give the SSDs back to the kernel with 'daos_server nvme reset'"
        ),
    ),
    2141: (
        "SpdkControllerLocked",
        "spdk",
        "another SPDK process drives the NVMe SSD {address}: {path} is locked by process {pid} of uid {uid}",
        "look at it with 'ps -fp {pid}'; stop it (an engine: 'systemctl stop daos_server'), and repeat the command",
    ),
    2142: (
        "SpdkControllerNotAttached",
        "spdk",
        "SPDK could not take over the NVMe SSD {address}: {reason}",
        (
            "look for SPDK's own words in the helper's log of that moment; check with 'daos_server nvme scan' that vfio-pci has the SSD, "
            "and with 'grep Huge /proc/meminfo' that hugepages are free; then repeat the command"
        ),
    ),
    # Ours: what the helper does with NVMe SSDs
    2150: (
        "NvmeUnusable",
        "nvme",
        "the NVMe SSD {address} cannot be used for this: {reason}",
        "{remedy}; then repeat the command",
    ),
    2151: (
        "NvmeWithoutDriver",
        "nvme",
        "these NVMe SSDs have no driver now, because giving them to one was cut short: {addresses}",
        "repeat the command, or run 'daos_server storage reset': both give such SSDs back to the driver of before; 'dmesg' has the reason",
    ),
    # Ours: persistent memory
    2160: (
        "ScmLibraryMissing",
        "scm",
        "libipmctl, which manages persistent memory modules, cannot be loaded: {reason}",
        (
            "install it (Debian and Ubuntu: apt install libipmctl5; EL: dnf install libipmctl; Leap: zypper install libipmctl5), then "
            "repeat the command; without persistent memory, use class ram instead of dcpm in daos_server.yml"
        ),
    ),
    2161: (
        "ScmLibraryFailed",
        "scm",
        "libipmctl failed in {call}: {reason} (code {rc})",
        "run 'ipmctl show -dimm' and 'ipmctl show -region' as root and repair what they report, then repeat the command",
    ),
    2162: (
        "ScmLibraryNotAllowed",
        "scm",
        "libipmctl did not let {call} look at the persistent memory, so nothing is known of it: that takes root",
        "run the command through the installed helper ('daos_server helper check' tells what is wrong with it), not a copy of it",
    ),
    2163: (
        "ScmDataMalformed",
        "scm",
        "{program} answered what cannot be true: {reason}",
        (
            "compare 'ipmctl show -dimm' and 'ipmctl show -region' with 'ndctl list -RNi'; upgrade the program or the firmware that is "
            "wrong, and repeat the command"
        ),
    ),
    2164: (
        "ScmNdctlFailed",
        "scm",
        "'{command}' failed for {what} ({status})",
        "repair what ndctl says at the end of the line, then repeat the command: it goes on from where the machine is",
    ),
    2165: (
        "ScmGoalNotApplied",
        "scm",
        "the firmware did not make the regions that were asked of it on socket {sockets}: {reason}",
        (
            "look in the BIOS set-up and its event log for the reason (modules in slots that do not fit together, Memory Mode, a lock); "
            "then 'daos_server scm reset' takes the request back, and 'daos_server scm prepare' makes it anew"
        ),
    ),
    2166: (
        "ScmRegionNotDivisible",
        "scm",
        "{free} bytes are free on {region}, which is not {count} times a multiple of {align} bytes",
        "ask for another number of namespaces per socket: 'daos_server scm prepare --scm-ns-per-socket 1' or 2",
    ),
    2167: (
        "ScmNamespaceCount",
        "scm",
        "{count} namespaces per socket were asked for; it can be 1 to 4",
        "repeat the command with '--scm-ns-per-socket' from 1 to 4, one for each engine on the socket",
    ),
    2168: (
        "ScmModuleUnknown",
        "scm",
        "this machine has no persistent memory module with the UID {uid}",
        "list the modules with 'ipmctl show -dimm' or 'daos_server scm scan' and correct the UID",
    ),
    2169: (
        "ScmRecordDamaged",
        "scm",
        "{path}, which tells what was begun with the persistent memory, is not as the helper writes it",
        (
            "remove it ('rm {path}' as root) and repeat the command: the machine is looked at anew. A region that was just being divided "
            "into namespaces is then refused as partly full, and 'daos_server scm reset' is the way on"
        ),
    ),
    # Ours: NVMe SSDs on the server's side
    2170: (
        "NvmeNoneNamed",
        "nvme",
        "neither the command line nor the configuration names an NVMe SSD, and none is taken unless it is named",
        (
            "name them ('daos_server nvme prepare 0000:81:00.0,0000:82:00.0'; 'daos_server nvme scan --ignore-config' lists all), or say "
            "--all to take every one that nothing uses; --dry-run shows which that would be"
        ),
    ),
    2171: (
        "NvmeAnswerIncomplete",
        "nvme",
        "nobody knows what became of the NVMe SSD {address}: the helper answered, and did not mention it",
        (
            "look at it with 'daos_server nvme scan' and repeat the command; if it happens again, 'daos_server helper check' tells whether "
            "server and helper are of one version"
        ),
    ),
    # Ours: persistent memory, further on
    2172: (
        "ScmNamespacesChanged",
        "scm",
        "there are namespaces on the persistent memory that were not in the list that was agreed to: {namespaces}; nothing was destroyed",
        "look at them with 'daos_server scm scan', and repeat the reset if they may be destroyed as well",
    ),
    2173: (
        "ScmNamespaceUnseen",
        "scm",
        "{namespace} was not made by DAOS, and what is in it cannot be looked at: {state}; nothing was destroyed",
        (
            "switch it on ('ndctl enable-namespace {namespace}') and repeat the reset, or, if what is in it may be lost, destroy it "
            "('ndctl destroy-namespace --force {namespace}')"
        ),
    ),
    2174: (
        "ScmNamespaceRemains",
        "scm",
        "ndctl said that it deleted {namespace}, and it is still there",
        (
            "its region has no labels, so it cannot be deleted: give it some ('ndctl disable-region', 'ndctl init-labels --force', 'ndctl "
            "enable-region' for the region and its modules) and repeat the reset"
        ),
    ),
    # Ours: the helper as systemd starts it
    2180: (
        "HelperSocketClosed",
        "pbin",
        "the helper behind {socket} ended before it said anything",
        (
            "read why with 'journalctl -n 20 -t daos_server_helper -u daos_server_helper.socket': its last line is the reason; or run "
            "'daos_server helper check' as root"
        ),
    ),
    2181: (
        "StorageMountHidden",
        "storage",
        "the helper does not mount on {path}: the mount that it is on, {mount}, is a slave, so the rest of the host would not see it",
        (
            "take out of the unit that started the helper, and of its drop-ins, what gives it mounts of its own: PrivateMounts=, "
            "PrivateTmp=, PrivateDevices=, ProtectSystem=, ProtectHome=, ProtectKernelTunables= and their like ('daos_server helper check' "
            "names the line); in a container, let it share the host's mounts"
        ),
    ),
    # Ours: hugepages
    2200: (
        "HugepagesShortGrant",
        "hugepages",
        "the kernel gave NUMA node {node} only {granted} of {wanted} hugepages of {size_kib} KiB",
        (
            "stop large programs or reboot, and repeat; to be safe at every boot, add to the kernel command line: hugepagesz={size_kib}K "
            "hugepages={node}:{wanted}"
        ),
    ),
    2201: (
        "HugepagesNodeMissing",
        "hugepages",
        "there is no NUMA node {node} with memory on this machine",
        "see 'numactl -H' or /sys/devices/system/node/has_memory for the nodes; correct 'pinned_numa_node' in daos_server.yml",
    ),
    2202: (
        "HugepagesUnsupported",
        "hugepages",
        "hugepages cannot be set up on this machine: {reason}",
        (
            "boot a kernel with hugetlbfs (CONFIG_HUGETLBFS) outside of a restricted container; engines without block tiers can do without "
            "('disable_hugepages: true')"
        ),
    ),
    2203: (
        "HugepagesInUse",
        "hugepages",
        "NUMA node {node} still has {granted} hugepages instead of {wanted}: the others are in use and cannot be given back",
        "stop the engines and other users (see 'grep -l hugepages /proc/*/maps'), then repeat 'daos_server storage reset'",
    ),
    2204: (
        "HugepagesOverMemory",
        "hugepages",
        "the hugepages asked for need {wanted} of memory, and only {available} can be used for them",
        "lower 'nr_hugepages' or 'targets' in daos_server.yml, or fit more memory",
    ),
    # Ours: the server
    2300: (
        "ServerUserWrong",
        "server",
        "daos_server was started by the user '{user}'; it works as root or as the account '{account}' only",
        "run it with 'sudo daos_server ...' or 'sudo -u {account} daos_server ...'",
    ),
    2301: (
        "ServerNoNewPrivileges",
        "server",
        "this process has no_new_privs set, so the kernel will not let the helper become root",
        (
            "remove NoNewPrivileges=yes, and directives that imply it, from the unit of daos_server, or start it outside of the container "
            "or sandbox that sets it"
        ),
    ),
    2302: (
        "ServerKernelTooOld",
        "server",
        "the kernel {release} is too old: Linux 5.14 or later is needed",
        "upgrade the kernel or the distribution (EL9, Leap 15.5, Debian 12 and Ubuntu 22.04 have it), and reboot into it",
    ),
    2303: (
        "ServerPartialFailure",
        "server",
        "{failed} of {total} parts failed: {parts}",
        "repair what each failed part reports and run the same command again; the parts that succeeded are recognised and left as they are",
    ),
    2304: (
        "ServerConfigUnreadable",
        "serverconfig",
        "the configuration file {path} cannot be read",
        "check that the path is right and that the account daos_server may read it ('namei -l {path}'); give another file with -o",
    ),
    2305: (
        "ServerConfigSyntax",
        "serverconfig",
        "{path}, line {line}, column {column}: {problem}",
        "{remedy}, then repeat the command",
    ),
    2306: (
        "ServerConfigInvalid",
        "serverconfig",
        "{path} contains settings that are not valid: {problems}",
        "correct the named keys in the file, with the files in share/daos/examples as a pattern, and repeat the command",
    ),
    2307: (
        "ServerPrivilegeDropFailed",
        "server",
        "daos_server could not give up root's rights for good: {reason}",
        (
            "check that the account daos_server exists ('getent passwd daos_server') and that no security module or container keeps the "
            "process from changing its user; then start it again"
        ),
    ),
    2310: (
        "ServerConfigHostMismatch",
        "serverconfig",
        "the configuration does not fit this host: {reason}",
        "correct the key for this host: 'ip link' shows its interfaces, 'lsblk -p' its devices, 'daos_server dump-topology' its NUMA nodes",
    ),
    2330: (
        "NetworkInterfaceUnusable",
        "network",
        "the network interface {interface} cannot be used: {problem}",
        "{remedy}; the interfaces that engines use are 'fabric_iface' in daos_server.yml",
    ),
    2331: (
        "NetworkInterfaceNotReady",
        "network",
        "after {seconds} s these network interfaces are still not ready: {interfaces}",
        (
            "see what each waits for ('ip -details link show', 'ibstat' for InfiniBand): a test of the cable, a log-in to the switch, "
            "the subnet manager; put that right and start again"
        ),
    ),
    2332: (
        "NetworkLibraryFailed",
        "network",
        "{library} could not tell which fabric devices there are: {reason}",
        (
            "try the library's own tool ('fi_info' for libfabric, 'ucx_info -d' for UCX); if that fails as well, repair or update the "
            "library or the network card's driver"
        ),
    ),
    2333: (
        "NetworkNothingFound",
        "network",
        "no fabric interface was found: {reason}",
        "{remedy}, then repeat the command",
    ),
    2334: (
        "NetworkUnreadable",
        "network",
        "the kernel did not tell which network interfaces there are: {reason}",
        "check that nothing (a container, seccomp, RestrictAddressFamilies= of the unit) forbids the process netlink sockets and /sys",
    ),
    2335: (
        "ServerOutputUnwritable",
        "server",
        "the result could not be written to {path}",
        "name a file in a folder that exists and that this user may write to, with free space, or leave the option out to get it printed",
    ),
    2340: (
        "ConfigGenerateNoFabric",
        "serverconfig",
        "no configuration can be generated, for want of a network interface: {reason}",
        "{remedy}; then generate it again",
    ),
    2341: (
        "ConfigGenerateNoStorage",
        "serverconfig",
        "no configuration can be generated, for want of storage: {reason}",
        "{remedy}; then generate it again",
    ),
    2342: (
        "ConfigGenerateMachineUnfit",
        "serverconfig",
        "no configuration can be generated for this machine: {reason}",
        "{remedy}; then generate it again",
    ),
    2343: (
        "ConfigGenerateOptionsWrong",
        "serverconfig",
        "no configuration can be generated with these options: {reason}",
        "{remedy}; then generate it again",
    ),
    2360: (
        "ServerAlreadyRunning",
        "server",
        "another daos_server runs as a service on this host (pid {pid})",
        (
            "stop it first ('systemctl stop daos_server', or end process {pid}), then repeat the command; scans, --dry-run, doctor and "
            "config work beside it"
        ),
    ),
    2361: (
        "ServerCommandNotBuilt",
        "server",
        "this version cannot {what} yet; nothing was changed",
        "until a later version does: {instead}",
    ),
    2362: (
        "ServerNotReplica",
        "server",
        "this host is none of the access points that the configuration names: {points}",
        (
            "run it on one of those hosts; if this is one of them, its name must resolve to an address of this host ('getent hosts NAME', "
            "'ip address')"
        ),
    ),
    2363: (
        "ServerOverrideInvalid",
        "server",
        "the option {option} cannot be applied to {path}: {reason}",
        "leave {option} out, or change the configuration so that it can",
    ),
    2364: (
        "ServerStartImpossible",
        "server",
        "daos_server cannot start with {path}: {reason}",
        "{remedy}; then start it again",
    ),
    2365: (
        "ServerLogFileUnusable",
        "server",
        "the log file {path} cannot be written: {reason}",
        "make its folder writable for the account daos_server, or name another file in 'control_log_file' of daos_server.yml",
    ),
    2366: (
        "SupportFolderUnusable",
        "server",
        "nothing was collected, because {path} cannot be used: {reason}",
        (
            "name a folder that does not exist yet, in one that you may write to: 'daos_server support collect-log --target-folder "
            "FOLDER'; with --extra-logs-dir, one that is there and that you may read"
        ),
    ),
    2367: (
        "SupportStopped",
        "server",
        "collecting stopped, as asked, because {name} failed: {reason}",
        (
            "leave --stop-on-error out to collect everything else; what was collected so far is in {place}; as root more can be read: "
            "'sudo daos_server support collect-log'"
        ),
    ),
    2368: (
        "ServerConsentMissing",
        "server",
        "",  # several wordings: see _VARIANTS
        "",
    ),
}

# Code: variant: description, resolution.
_VARIANTS: dict[int, dict[str, tuple[str, str]]] = {
    212: {
        "interleave": (
            "the persistent memory on socket {id} is configured without interleaving, which DAOS cannot use",
            "after saving its data: 'daos_server scm reset', reboot so that the firmware makes the region anew, 'daos_server scm prepare'",
        ),
        "health": (
            "ipmctl reports the persistent memory of socket {id} as damaged (health state Error)",
            (
                "find the bad module with 'ipmctl show -dimm' and replace it; then 'daos_server scm reset', reboot so that the firmware "
                "makes the region anew, 'daos_server scm prepare'"
            ),
        ),
        "partial": (
            "the persistent memory region on socket {id} is only partly free: some namespaces are on it that do not fill it",
            (
                "after saving their data: 'daos_server scm reset' removes those namespaces; reboot; then 'daos_server scm prepare' makes "
                "new ones that fill the region"
            ),
        ),
        "type": (
            "the persistent memory on socket {id} is in a mode that is not AppDirect",
            "after saving its data: 'daos_server scm reset', reboot so that the firmware makes the region anew, 'daos_server scm prepare'",
        ),
    },
    214: {
        "Total": (
            "this machine has too little memory for a RAM disk of {size}: {need} of memory is needed in all and {have} is fitted",
            (
                "lower 'scm_size', 'targets', 'nr_hugepages' or 'system_ram_reserved' in daos_server.yml, run fewer engines, or fit more "
                "memory"
            ),
        ),
        "Available": (
            "there is too little free memory for a RAM disk of {size}: {need} is needed and {have} is free now",
            (
                "free memory ('ps aux --sort=-rss' shows the largest processes, HugePages_Total in /proc/meminfo the reserved pages), or "
                "lower 'scm_size' in daos_server.yml"
            ),
        ),
    },
    304: {
        "ssd": (
            "this machine does not have these NVMe SSDs: {addresses}",
            (
                "compare the addresses in 'bdev_list' of daos_server.yml, or on the command line, with 'daos_server nvme scan "
                "--ignore-config' and 'lspci -D'; correct them, or reseat or replace the missing drives"
            ),
        ),
        "vmd": (
            "the configuration names VMDs that have no drives behind them: {addresses}",
            (
                "compare 'bdev_list' in daos_server.yml with 'daos_server nvme scan --ignore-config'; fit drives behind those VMDs, remove "
                "them from the list, or set 'disable_vmd: true'"
            ),
        ),
    },
    903: {
        "path": (
            "the certificate in {path} was rejected",
            (
                "look at it with 'openssl x509 -noout -dates -subject -issuer -in {path}'; replace it if it has expired or comes from "
                "another CA"
            ),
        ),
        "plain": (
            "a certificate was rejected",
            (
                "look at the certificates of server, agent and dmg with 'openssl x509 -noout -dates -subject -issuer -in FILE'; all must "
                "be in date and issued by the same CA"
            ),
        ),
    },
    1001: {
        "plain": (
            "a file system of type '{fs}' cannot hold the control metadata",
            (
                "set 'control_metadata: path:' in daos_server.yml to a folder on a local file system (ext4, xfs), or name a partition as "
                "'device'"
            ),
        ),
        "nosuid": (
            "the file system of type '{fs}' is mounted nosuid and cannot hold the control metadata",
            (
                "set 'control_metadata: path:' in daos_server.yml to a folder on a local file system that is not mounted nosuid, or name a "
                "partition as 'device'"
            ),
        ),
    },
    1101: {
        "enable": (
            "some members are not in the states the checker needs ({states}): {members}",
            "switch to checker mode with 'dmg check enable', or take those ranks out with 'dmg system exclude', and repeat the command",
        ),
        "stop": (
            "some members are not in the states the checker needs ({states}): {members}",
            "stop the system with 'dmg system stop' before 'dmg check enable', or take those ranks out with 'dmg system exclude'",
        ),
    },
    2368: {
        "refused": (
            "consent was not given, so nothing was changed",
            "look at the plan with '{command} --dry-run', and repeat the command when its steps are what you want",
        ),
        "unattended": (
            "consent is needed for what would be changed, and there is no terminal to ask at, so nothing was changed",
            (
                "look at the plan with '{command} --dry-run'; then run the command at a terminal, or add --force to go on without "
                "being asked"
            ),
        ),
        "goals": (
            "memory allocation goals wait for the next start of this machine, and preparing would take them back",
            (
                "reboot if they are meant, and repeat the command; if not, look at '{command} --dry-run', which shows what would be "
                "changed, and run it without that option, or this command with --force"
            ),
        ),
    },
}

CODES: tuple[int, ...] = tuple(_ENTRIES)
"""All codes, in ascending order."""

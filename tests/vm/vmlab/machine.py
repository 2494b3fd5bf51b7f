# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The command line of QEMU for a guest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vmlab.kernel import Kernel
from vmlab.spec import NODES, Controller, Nvdimm, Spec

LABEL_AREA = 128 << 10
"""Bytes on top of an NVDIMM's image, so that the region before them keeps its alignment."""
FIRST_BUS = 0x40
BUSES_PER_NODE = 0x40
COMMAND_LINE = (
    "console=ttyS0", "quiet", "panic=-1", "random.trust_cpu=1", "mitigations=off", "audit=0", "tsc=reliable", "no_timer_check",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What a guest is made of on this machine.

    :param qemu: the emulator.
    :param folder: where its disks are.
    :param share: folder that the guest can write to.
    :param serial: QEMU's name for what its serial line is connected to.
    :param agent: descriptor of the channel to the agent.
    :param qmp: descriptor of the channel to QEMU itself.
    """

    qemu: str
    kernel: Kernel
    initramfs: Path
    folder: Path
    share: Path
    serial: str
    agent: int
    qmp: int


def disk(folder: Path, controller: Controller, number: int) -> Path:
    """Return the file behind a namespace; namespaces count from 1."""
    return folder / f"{controller.serial}-{number}.img"


def make_disks(spec: Spec, folder: Path) -> None:
    """Make the files behind namespaces and NVDIMMs, all holes; those that exist stay as they are."""
    sizes = {disk(folder, one, number): size for one in spec.controllers for number, size in enumerate(one.namespaces, start=1)}
    sizes |= {folder / f"nvdimm{number}.img": one.size + LABEL_AREA for number, one in enumerate(spec.nvdimms)}
    for path, size in sizes.items():
        with path.open("ab") as file:
            file.truncate(size)


def command_line(spec: Spec, parts: Parts, program: tuple[str, ...]) -> list[str]:
    """Return the command that runs a guest.

    :param program: what the guest executes; none of its words can have a blank in it.
    """
    return [
        parts.qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35,nvdimm=on,nvdimm-persistence=mem-ctrl,hpet=off",
        # Emulation only: where /dev/kvm opens at all on a machine that is a guest itself, it can hang.
        "-accel", "tcg,thread=multi", "-cpu", "max",
        *memory(spec),
        *boot(spec, parts, program),
        *channels(parts),
        *(("-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48") if spec.iommu else ()),
        *(word for node in NODES for word in bridge(node)),
        *(word for number, one in enumerate(spec.controllers) for word in controller_words(parts.folder, number, one)),
        *(word for number, one in enumerate(spec.nvdimms) for word in nvdimm(parts.folder, number, one)),
    ]  # fmt: skip


def memory(spec: Spec) -> list[str]:
    """Return the words for processors, memory and NUMA nodes."""
    words = ["-smp", f"{len(NODES)},sockets={len(NODES)},cores=1,threads=1"]
    words += ["-m", f"{spec.node_mib * len(NODES)}M,slots=16,maxmem=64G"]
    for node in NODES:
        words += ["-object", f"memory-backend-memfd,id=ram{node},size={spec.node_mib}M,share=on"]
        words += ["-numa", f"node,nodeid={node},memdev=ram{node},cpus={node}"]
    return words


def boot(spec: Spec, parts: Parts, program: tuple[str, ...]) -> list[str]:
    """Return the words for the kernel, and for what it starts."""
    iommu = ("intel_iommu=on", "iommu=nopt") if spec.iommu else ()
    # The services of a slot, hotplug among them, cost half a second of boot each.
    slots = () if any(one.hotplug for one in spec.controllers) else ("pcie_ports=compat",)
    manager = (f"manager={spec.manager}",) if spec.manager else ()
    words = (*COMMAND_LINE, *iommu, *slots, *spec.boot_options, "--", str(parts.kernel.modules.parent), *manager, *program)
    return ["-kernel", str(parts.kernel.image), "-initrd", str(parts.initramfs), "-append", " ".join(words)]


def channels(parts: Parts) -> list[str]:
    """Return the words for everything that connects guest and host."""
    return [
        "-chardev", f"{parts.serial},id=console", "-serial", "chardev:console",
        "-chardev", f"socket,id=agent,fd={parts.agent}", "-device", "virtio-serial-pci",
        "-device", "virtserialport,chardev=agent,name=agent,nr=1",
        "-chardev", f"socket,id=qmp,fd={parts.qmp}", "-mon", "chardev=qmp,mode=control",
        "-virtfs", "local,path=/,mount_tag=host,security_model=passthrough,readonly=on,multidevs=remap",
        "-virtfs", f"local,path={parts.share},mount_tag=share,security_model=none,multidevs=remap",
    ]  # fmt: skip


def bridge(node: int) -> tuple[str, ...]:
    """Return the words for the PCI host bridge of a NUMA node: devices below it belong to that node."""
    return ("-device", f"pxb-pcie,id=bridge{node},bus=pcie.0,bus_nr={FIRST_BUS + BUSES_PER_NODE * node},numa_node={node}")


def controller_words(folder: Path, number: int, controller: Controller) -> list[str]:
    """Return the words for a controller, in a slot of its own."""
    slot = f"pcie-root-port,id=slot{number},bus=bridge{controller.node},chassis={number + 1},slot={number + 1}"
    words = ["-device", slot]
    shared = ""
    if controller.hotplug and controller.port_of is None:
        words += ["-device", f"nvme-subsys,id=subsystem{number},nqn={controller.serial}"]
        shared = ",shared=on"
    device = ",".join(f"{key}={value}" for key, value in controller_device(number, controller).items())
    words += ["-device", device.replace("driver=", "", 1)]
    for position, _ in enumerate(controller.namespaces, start=1):
        drive = f"drive{number}.{position}"
        words += ["-drive", f"file={disk(folder, controller, position)},if=none,format=raw,id={drive},cache=unsafe,discard=unmap"]
        words += ["-device", f"nvme-ns,drive={drive},bus=controller{number},nsid={position}{shared}"]
    return words


def controller_device(number: int, controller: Controller) -> dict[str, str]:
    """Return the arguments of QEMU's ``device_add`` for a controller."""
    device = {"driver": "nvme", "id": f"controller{number}", "bus": f"slot{number}", "serial": controller.serial}
    subsystem = number if controller.port_of is None else controller.port_of
    return {**device, "subsys": f"subsystem{subsystem}"} if controller.hotplug else device


def nvdimm(folder: Path, number: int, module: Nvdimm) -> list[str]:
    """Return the words for a persistent memory module."""
    backend = f"memory-backend-file,id=pmem{number},share=on,mem-path={folder}/nvdimm{number}.img,size={module.size + LABEL_AREA},pmem=off"
    return ["-object", backend, "-device", f"nvdimm,id=nvdimm{number},memdev=pmem{number},label-size={LABEL_AREA},node={module.node}"]

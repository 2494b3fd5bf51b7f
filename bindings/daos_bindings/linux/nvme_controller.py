# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the kernel's driver ``nvme`` made of a PCI function: a controller and its namespaces, as sysfs shows them."""

from __future__ import annotations

import msgspec

from daos_bindings.linux import attributes, kernelfiles


class Namespace(msgspec.Struct, frozen=True):
    """A namespace that the kernel made a block device of.

    :param name: of the block device, such as ``nvme0n1``; with multipath that of all paths together.
    :param path_name: such as ``nvme0c1n1`` where this controller is one of several paths; else equal to *name*.
    :param nsid: the namespace's id.
    :param size_bytes: its size; 0 if it went away.
    :param block_bytes: size of a logical block.
    """

    name: str
    path_name: str
    nsid: int
    size_bytes: int
    block_bytes: int

    @property
    def path(self) -> str:
        """Path of the block device."""
        return f"/dev/{self.name}"


class NvmeController(msgspec.Struct, frozen=True):
    """What the kernel's driver ``nvme`` made of a function.

    :param name: such as ``nvme0``; numbers differ from boot to boot.
    :param major: device number of the character device.
    :param minor: as above.
    :param state: ``live``, ``resetting``, ``connecting``, ``deleting``, ``dead`` or ``new``; empty if it went away.
    """

    name: str
    major: int
    minor: int
    state: str
    namespaces: tuple[Namespace, ...]

    @property
    def path(self) -> str:
        """Path of the character device."""
        return f"/dev/{self.name}"


def read(directory: str) -> NvmeController | None:
    """Describe the controller of the function with that folder in sysfs.

    :return: None if it has none, or one that is not numbered yet, or is going away.
    :raises MalformedError: if an attribute is not as the kernel writes it.
    """
    name = next((entry for entry in attributes.entries(f"{directory}/nvme") if entry.removeprefix("nvme").isdigit()), "")
    if not name:
        return None
    folder = f"{directory}/nvme/{name}"
    number = attributes.optional(f"{folder}/dev")
    if not number:
        return None
    major, _, minor = number.partition(":")
    found = (_namespace(folder, entry) for entry in attributes.entries(folder) if _namespace_parts(entry) is not None)
    return NvmeController(
        name,
        kernelfiles.decimal(f"{folder}/dev", major),
        kernelfiles.decimal(f"{folder}/dev", minor),
        attributes.optional(f"{folder}/state"),
        tuple(sorted((namespace for namespace in found if namespace is not None), key=lambda namespace: namespace.nsid)),
    )


def _namespace_parts(name: str) -> tuple[int, int] | None:
    """Return subsystem (or controller) and number of ``nvme0n1`` and ``nvme0c1n1``; None for any other name."""
    first, n, number = name.removeprefix("nvme").partition("n")
    subsystem, c, controller = first.partition("c")
    digits = [subsystem, number, *([controller] if c else [])]
    if not name.startswith("nvme") or not n or not all(part.isascii() and part.isdigit() for part in digits):
        return None
    return int(subsystem), int(number)


def _namespace(folder: str, name: str) -> Namespace | None:
    parts = _namespace_parts(name)
    if parts is None:
        return None
    directory = f"{folder}/{name}"
    try:
        return Namespace(
            # drivers/nvme/host/multipath.c: the paths of nvme0n1 are nvme0c1n1, nvme0c2n1, which nobody can open.
            f"nvme{parts[0]}n{parts[1]}",
            name,
            kernelfiles.number(f"{directory}/nsid"),
            kernelfiles.number(f"{directory}/size") * 512,
            kernelfiles.number(f"{directory}/queue/logical_block_size"),
        )
    except OSError as error:
        if error.errno in attributes.GONE:
            return None
        raise

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What an installation consists of: written before anything else is, so that uninstall also knows a half-done install."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from daos_install.errors import InstallError

FORMAT = 1


@dataclass
class Manifest:
    """All paths are those of the installed system.

    :param files: every file put there.
    :param directories: every folder that was not there before.
    :param accounts: the accounts that were not there before.
    :param settings: files that the administrator may change, each with the digest of what was put there.
    :param data: folders whose whole content is ours, whatever was written to it later (state, log, run).
    """

    files: set[str] = field(default_factory=set)
    directories: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    data: set[str] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)

    def merge(self, other: Manifest) -> Manifest:
        """Return the union of two."""
        return Manifest(
            self.files | other.files,
            self.directories | other.directories,
            self.accounts | other.accounts,
            self.data | other.data,
            self.settings | other.settings,
        )

    def write(self, path: Path) -> None:
        """Replace the file at ``path`` in one step."""
        content = {"format": FORMAT, **{name: _plain(values) for name, values in asdict(self).items()}}
        fresh = path.with_name(path.name + ".new")
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(0o644)
        fresh.rename(path)


def _plain(values: set[str] | dict[str, str]) -> list[str] | dict[str, str]:
    return dict(sorted(values.items())) if isinstance(values, dict) else sorted(values)


def read(path: Path) -> Manifest:
    """Return the manifest at ``path``; an empty one if there is none.

    :raises InstallError: if it cannot be understood.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise InstallError(f"{path}: made by another version of the installer; use that one")
        settings = dict(content.pop("settings", {}))
        return Manifest(**{name: set(values) for name, values in content.items()}, settings=settings)
    except FileNotFoundError:
        return Manifest()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError(f"{path}: not a manifest ({error}); remove it, install again, then uninstall") from error

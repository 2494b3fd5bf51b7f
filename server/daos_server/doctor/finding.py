# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One point of what was looked at; all checks of a machine and of the helper answer with these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from daos_pbin.faults import Fault

Verdict = Literal["ok", "warning", "stops", "unknown"]
"""``stops``: an engine, or the helper, would not start or work; ``unknown``: it cannot be seen, or not without root."""

AS_ROOT = "ask again as root"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One point.

    :param subject: what was looked at; no two points of one answer have the same.
    :param found: what is there, in words.
    :param why: why it matters; empty if it is well.
    :param advice: what to do about it, in lines: one that is indented is a command, to be typed as it is.
    """

    subject: str
    found: str
    verdict: Verdict
    why: str = ""
    advice: str = ""

    @classmethod
    def of(cls, subject: str, found: str, *, right: bool, why: str = "", advice: str = "", bad: Verdict = "stops") -> Finding:
        """Return a point that is ok if it is right, and otherwise has a verdict, a reason and an advice.

        :param bad: the verdict; ``ok`` for what the configuration does without.
        """
        if right:
            return cls(subject=subject, found=found, verdict="ok")
        if bad == "ok":
            return cls(subject=subject, found=f"{found}; not needed by this configuration", verdict="ok")
        return cls(subject=subject, found=found, verdict=bad, why=why, advice=advice)

    @classmethod
    def unseen(cls, subject: str, error: OSError, *, why: str = "", advice: str = "") -> Finding:
        """Return a point for what could not be looked at: forbidden is unknown, absent is wrong and comes with the advice."""
        if isinstance(error, PermissionError):
            return cls(subject=subject, found="may not be looked at by this user", verdict="unknown", advice=AS_ROOT)
        return cls(subject=subject, found=(error.strerror or str(error)).lower(), verdict="stops", why=why, advice=advice)

    @classmethod
    def of_fault(cls, subject: str, fault: Fault, *, why: str) -> Finding:
        """Return a point for a fault that would end the server or an engine."""
        cause = f": {fault.cause}" if fault.cause and fault.cause not in fault.description else ""
        found = f"{fault.description}{cause} (fault {fault.code})"
        return cls(subject=subject, found=found, verdict="stops", why=why, advice=fault.resolution)

    def as_json(self) -> dict[str, str]:
        """Return the point as the value that ``--json`` prints."""
        return asdict(self)


def count_text(findings: tuple[Finding, ...]) -> str:
    """Return how many points there are of each verdict, in words."""
    verdicts = [point.verdict for point in findings]
    numbers = {verdict: verdicts.count(verdict) for verdict in ("ok", "warning", "stops", "unknown")}
    return (
        f"{len(verdicts)} checks: {numbers['ok']} ok, {numbers['warning']} warnings, {numbers['stops']} would stop an engine, "
        f"{numbers['unknown']} unknown"
    )

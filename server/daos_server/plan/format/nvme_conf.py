# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The NVMe configuration of one engine: written if it is not there, or not as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daos_server.plan import nvme
from daos_server.plan.format import keys
from daos_server.plan.steps import WriteNvmeConf
from daos_server.storage import nvme_json

if TYPE_CHECKING:
    from daos_server.plan.format.draft import Draft, Judged
    from daos_server.plan.steps import Step


def plan(draft: Draft, one: Judged, steps: list[Step]) -> list[Step]:
    """Return the step that writes the configuration of an engine; none if it has none, or it stays as it is.

    :param steps: those for the bdevs of the engine.
    """
    engine = one.engine
    if not engine.nvme_conf:
        return []
    if any(part.fault is not None and part.engine == engine.index for part in draft.standing):
        _stand(draft, one, "is not written, because an SSD of this engine cannot be used", already=False)
        return []
    content = _content(draft, one)
    in_metadata = engine.has_meta_role and bool(engine.metadata_dir)
    why = _why_kept(draft, one, content, in_metadata=in_metadata) if not steps else ""
    if why:
        _stand(draft, one, why, already=True)
        return []
    return [
        WriteNvmeConf(
            key=keys.nvme_conf(engine.index),
            engine=engine.index,
            subject=engine.nvme_conf,
            content=content,
            folder=engine.metadata_dir if in_metadata else "",
            needs=(*draft.bdev_needs(engine), *(step.key for step in steps)),
        )
    ]


def _why_kept(draft: Draft, one: Judged, content: str, *, in_metadata: bool) -> str:
    """Return why the file of an engine whose bdevs stay as they are stays too; empty if it is written."""
    before = draft.consent.state(keys.nvme_conf(one.engine.index))
    if in_metadata and draft.metadata_is_hidden and one.scm != "format" and before in (None, "done"):
        return "cannot be seen while the control metadata is not mounted, and nothing else of this engine changes"
    gone = draft.metadata_fresh and before != "done" if in_metadata else one.scm == "format"
    return "is as it should be" if not gone and one.state.nvme_conf == content else ""


def _stand(draft: Draft, one: Judged, detail: str, *, already: bool) -> None:
    draft.stand(one.engine.nvme_conf, WriteNvmeConf.action, already=already, detail=detail, engine=one.engine.index)


def _content(draft: Draft, one: Judged) -> str:
    engine, buses = one.engine, one.state.buses
    if draft.wanted.enable_hotplug and buses is None:
        buses = nvme_json.ALL_BUSES
        node = engine.numa_node
        draft.notes.append(f"engine {engine.index}: NUMA node {node} shows no PCI buses: hotplug events of all buses are taken")
    content = nvme_json.render(
        engine,
        hostname=draft.wanted.hostname,
        enable_hotplug=draft.wanted.enable_hotplug,
        enable_vmd=bool(draft.access.vmds),
        backing=nvme.backing(draft.facts.ssds),
        buses=buses,
    )
    return content or ""

# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A helper on the protocol that answers for a made-up machine with persistent memory, kept in a file between its runs.

Arguments: the import path as JSON (its environment is empty), and the file (``pmem_file.py``).  Every request is written beside it.
"""

from __future__ import annotations

import json
import os
import signal
import sys

sys.path[:] = json.loads(sys.argv[1])

import msgspec  # noqa: E402  # needs the path above
import pmem_file  # noqa: E402
from pmem_facts import World, namespace  # noqa: E402

from daos_helper.methods.pmem_words import described  # noqa: E402
from daos_pbin import PROTOCOL_VERSION, VERSION, codes, envelope, pmem_plan  # noqa: E402
from daos_pbin.faults import Fault  # noqa: E402
from daos_pbin.frames import ANSWER_LIMIT, REQUEST_LIMIT, FrameReader, encode  # noqa: E402
from daos_pbin.pmem_messages import ScmPrepare, ScmPrepareResult, ScmScan, ScmScanResult  # noqa: E402
from daos_pbin.pmem_plan import Decision, DestroyNamespace, Found  # noqa: E402
from daos_pbin.pmem_state import assess  # noqa: E402
from daos_pbin.wire_fault import WireFault  # noqa: E402

BROKEN = Fault(codes.SCM_NDCTL_FAILED, object="region0", command="ndctl create-namespace", what="region0", status="exit status 1")


def send(message: dict[str, object]) -> None:
    data = encode(message, ANSWER_LIMIT)
    while data:
        data = data[os.write(1, data) :]


class Helper:
    """One session."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.settings = pmem_file.read(path)

    def save(self, found: Found) -> None:
        self.settings = pmem_file.with_found(self.settings, found)
        pmem_file.write(self.path, self.settings)

    def run(self) -> None:
        send(envelope.hello(PROTOCOL_VERSION, VERSION, ["Ping", "ScmScan", "ScmPrepare"]))
        reader = FrameReader(REQUEST_LIMIT)
        while data := os.read(0, 65536):
            for message in reader.feed(data):
                received = envelope.parse_from_server(message)
                if isinstance(received, envelope.Cancel):
                    send(envelope.failure(received.id, Fault(codes.HELPER_CANCELLED, step="ScmPrepare")))
                else:
                    self.answer(received)

    def answer(self, received: envelope.RequestEnvelope) -> None:
        with open(f"{self.path}.requests", "a") as file:
            file.write(json.dumps([received.method, received.payload]) + "\n")
        if self.settings.refuse is not None:
            send(envelope.failure(received.id, Fault.from_wire(self.settings.refuse)))
        elif received.method == "ScmScan":
            send(envelope.result(received.id, msgspec.to_builtins(self.scan(msgspec.convert(received.payload, ScmScan)))))
        else:
            request = msgspec.convert(received.payload, ScmPrepare)
            if self.settings.hang and not request.plan_only:
                send(envelope.progress(received.id, 1, 3, "steps", "destroy namespace0.0"))
                return
            send(envelope.result(received.id, msgspec.to_builtins(self.prepare(request))))

    def scan(self, request: ScmScan) -> ScmScanResult:
        found = self.settings.found
        here, seen = found.on(request.socket), pmem_plan.seen(found, request.socket)
        fault = pmem_plan.not_applied(here) if here.modules else None
        return ScmScanResult(
            state=int(seen.state),
            socket=seen.socket,
            modules=here.modules,
            regions=here.regions,
            namespaces=pmem_plan.namespaces_on(found, request.socket),
            goals=here.goals,
            reboot_required=pmem_plan.waits_for_reboot(found, request.socket),
            notes=pmem_plan.notes(found, request.socket),
            fault=WireFault.of(fault) if fault else None,
        )

    def prepare(self, request: ScmPrepare) -> ScmPrepareResult:
        found = self.settings.found
        if request.reset:
            decision = pmem_plan.reset(found, request.socket)
        else:
            decision = pmem_plan.prepare(found, request.namespaces_per_socket, request.socket)
        going = tuple(one for one in found.namespaces if DestroyNamespace(one.dev) in decision.steps)
        answer = ScmPrepareResult(
            state=int(decision.state),
            outcome=decision.outcome,
            socket=decision.socket,
            reboot_required=decision.reboot,
            namespaces=pmem_plan.namespaces_on(found, request.socket),
            destroyed=going,
            steps=tuple(map(described, decision.steps)),
            notes=decision.notes,
            fault=WireFault.of(decision.fault) if decision.fault else None,
        )
        if request.plan_only:
            if self.settings.late:
                self.save(msgspec.structs.replace(found, namespaces=(*found.namespaces, namespace(0, 3))))
            return answer
        others = [one.dev for one in going if request.seen is not None and one.dev not in request.seen]
        if others:
            changed = Fault(codes.SCM_NAMESPACES_CHANGED, object=others[0], namespaces=", ".join(others))
            return msgspec.structs.replace(answer, outcome="refused", steps=(), destroyed=(), fault=WireFault.of(changed))
        return self.carry_out(answer, decision, request)

    def carry_out(self, answer: ScmPrepareResult, decision: Decision, request: ScmPrepare) -> ScmPrepareResult:
        world = World(self.settings.found)
        limit = self.settings.stop_after
        world.do(decision, limit)
        self.save(world.facts)
        done = len(answer.steps) if limit is None else limit
        steps = tuple(msgspec.structs.replace(step, done=place < done) for place, step in enumerate(answer.steps))
        left = pmem_plan.namespaces_on(world.facts, request.socket)
        gone = tuple(one for one in answer.destroyed if one not in left)
        answer = msgspec.structs.replace(answer, steps=steps, namespaces=left, destroyed=gone)
        if done < len(steps):
            return msgspec.structs.replace(answer, outcome="stopped", reboot_required=False, fault=WireFault.of(BROKEN))
        if request.reset or answer.outcome != "namespaces":
            return answer
        return msgspec.structs.replace(answer, state=int(assess(world.facts.on(request.socket).regions).state))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Helper(sys.argv[2]).run()

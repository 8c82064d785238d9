"""One measurement of the Mover alone, in a process of its own: python -m benchmarks.alone HOW PORT COUNT."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import tracemalloc
from typing import Any

import pandas as pd

from benchmarks.harness import memory, peak_memory
from dicomover import Mover, Node
from dicomover.testing import made_studies

TRACED = 10_000
"""Up to so many requests the memory is traced too, in a second run, since that is slow."""


def main() -> None:
    """Print what a request costs: milliseconds of CPU and of time; and the memory of all of them, in MB."""
    how, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    uids = [study.study_instance_uid for study in made_studies(count, instances=1)]
    print(json.dumps(pynetdicom(port, uids) if how == "pynetdicom" else mover(how, port, uids)))


def mover(how: str, port: int, uids: list[str]) -> dict[str, float]:
    """Measure ours, with the settings that it has by default but for what is asked."""
    logging.getLogger("dicomover").setLevel(logging.ERROR)
    table = pd.DataFrame({"StudyInstanceUID": uids})
    options: dict[str, Any] = {"verify": how, "retry": "none", "progress": "none", "destination": "WORKSTATION"}
    with Mover(Node("127.0.0.1", port, ae_title="DEMO"), **options) as ours:
        ours.move(table[:10])  # what is imported and opened only once
        before = memory(os.getpid())
        begun, busy = time.perf_counter(), time.process_time()
        summary = ours.move(table)
        spent, worked = time.perf_counter() - begun, time.process_time() - busy
        found = {**each(uids, worked, spent), "memory": peak_memory(os.getpid()) - before}
        if not (summary["status"] == "success").all():
            raise RuntimeError(f"not moved: {summary['status'].value_counts().to_dict()}")
        if len(uids) <= TRACED:
            del summary
            tracemalloc.start()
            ours.move(table)
            found["traced"] = tracemalloc.get_traced_memory()[1] / 1e6
    return found


def each(uids: list[str], worked: float, spent: float) -> dict[str, float]:
    """Return milliseconds for each request."""
    return {"CPU": worked / len(uids) * 1e3, "time": spent / len(uids) * 1e3}


def pynetdicom(port: int, uids: list[str]) -> dict[str, float]:
    """Measure pynetdicom's `send_c_move` on one association, with TCP_NODELAY, which it does not set itself."""
    import socket

    from pydicom import Dataset
    from pynetdicom import AE, evt
    from pynetdicom.association import Association
    from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

    def nodelay(event: evt.Event) -> None:
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def associate() -> Association:
        made = entity.associate("127.0.0.1", port, ae_title="DEMO", evt_handlers=[(evt.EVT_CONN_OPEN, nodelay)])
        if not made.is_established:
            raise RuntimeError("pynetdicom got no association")
        return made

    entity = AE("MOVESCU")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
    association = associate()
    left = uids[::-1]
    begun, busy = time.perf_counter(), time.process_time()
    while left:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = "STUDY"
        identifier.StudyInstanceUID = left[-1]
        model = StudyRootQueryRetrieveInformationModelMove
        for status, _identifier in association.send_c_move(identifier, "WORKSTATION", model):
            last = status
        if "Status" not in last and association.is_aborted:  # it loses one now and then on a busy machine
            association = associate()
        elif last.Status != 0x0000 or last.NumberOfCompletedSuboperations != 1:
            raise RuntimeError(f"not moved: {last}")
        else:
            left.pop()
    spent, worked = time.perf_counter() - begun, time.process_time() - busy
    association.release()
    return each(uids, worked, spent)


if __name__ == "__main__":
    main()

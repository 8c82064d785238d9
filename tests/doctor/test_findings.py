"""What our own receiver refused is a finding, once for each cause, with its mend."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pandas as pd

from dicomover import Mover
from dicomover.doctor.findings import Check, Witness, findings_table
from dicomover.events import Refusal, Refused
from dicomover.testing import DemoPacs, made_study


def test_each_cause_is_told_once() -> None:
    """Many refusals for one reason are one finding; another reason is another."""
    witness = Witness()
    for _ in range(3):
        witness.arrived(Refusal(0.0, "it calls 'OTHER', we are 'ME'", what=Refused.ASSOCIATION, peer="10.1.2.3"))
    witness.arrived(Refusal(1.0, "nobody asked for it", 0x0124, "ARCHIVE", mend="ask for it"))
    assert witness.checks() == [
        Check("our receiver", "failed", "we refused the association of 10.1.2.3: it calls 'OTHER', we are 'ME'"),
        Check("our receiver", "failed", "we refused the instance of ARCHIVE: nobody asked for it", "ask for it"),
    ]


def test_without_a_refusal_there_is_no_finding() -> None:
    """The table has its dtypes all the same."""
    assert Witness().checks() == []
    table = findings_table([Check("a", "ok", "b")])
    assert (table.dtypes == "string").all()
    assert pd.isna(table.advice.iloc[0])


def test_what_is_refused_while_the_archive_is_examined_is_found(tmp_path: Path) -> None:
    """A peer that speaks another protocol to our port meanwhile is named among the findings."""
    with DemoPacs([made_study("1")]) as pacs, Mover(pacs.node, receive=tmp_path, port=0) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        ended = threading.Event()

        def disturb() -> None:
            while not ended.wait(0.05):
                with socket.create_connection(("127.0.0.1", mover.port or 0), timeout=5) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    sock.settimeout(2)
                    with contextlib.suppress(OSError):
                        sock.recv(1)

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            limit = time.monotonic() + 10
            while time.monotonic() < limit:  # each takes a few milliseconds, and may fall between two of them
                findings = mover.diagnose()
                if "our receiver" in set(findings.check):
                    break
        finally:
            ended.set()
            thread.join()
    refused = findings[findings.check == "our receiver"]
    assert set(refused.result) == {"failed"}
    assert refused.found.str.contains("127.0.0.1").all()

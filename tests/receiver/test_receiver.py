"""The receiver's seam: it listens, files, tells, admits, and ends without a trace."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from dicomover.errors import ConfigurationError
from dicomover.events import Arrival
from dicomover.mover import Mover
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, made_study
from receiver_kit import (
    CT,
    EXPLICIT,
    SERIES,
    STUDY,
    Peer,
    Start,
    body_of,
    data_set,
)


def test_an_instance_is_filed_as_sent_and_told(start: Start) -> None:
    """A stored instance lies in the default layout with its bytes unchanged, and its arrival says all about it."""
    data = data_set("1.2.3.1.1.1")
    with start(checksums=True) as run:
        with run.peer() as peer:
            more = {"MoveOriginatorApplicationEntityTitle": "THEM", "MoveOriginatorMessageID": 42}
            assert peer.store("1.2.3.1.1.1", data, **more) == 0
            peer.release()
        (arrival,) = run.wait(1)
        assert isinstance(arrival, Arrival)
        assert arrival.path == run.folder / "4711" / STUDY / SERIES / "1.2.3.1.1.1.dcm"
        assert body_of(arrival.path) == data
        assert (arrival.sop_class_uid, arrival.sop_instance_uid) == (CT, "1.2.3.1.1.1")
        assert (arrival.study_instance_uid, arrival.series_instance_uid) == (STUDY, SERIES)
        assert (arrival.patient_id, arrival.size, arrival.transfer_syntax_uid) == ("4711", len(data), EXPLICIT)
        assert (arrival.calling_ae_title, arrival.originator_ae_title) == ("YOU", "THEM")
        assert (arrival.originator_message_id, arrival.duplicate, arrival.conflict) == (42, False, False)
        assert 0 <= time.monotonic() - arrival.at < 5
        assert arrival.sha256 == hashlib.sha256(data).hexdigest()
        run.receiver.sync()


def test_a_listener_that_raises_does_not_stop_the_receiver(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of on_event is logged, and the next event comes all the same."""
    told: list[object] = []

    def listen(event: object) -> None:
        told.append(event)
        raise RuntimeError("the notebook's mistake: " + "2400-P"[::-1])

    receiver = Receiver(tmp_path, ae_title="ME", on_event=listen, port=0, bind="127.0.0.1", restrict=False)
    with receiver, Peer(receiver.port) as peer:
        assert [peer.store("1.2"), peer.store("1.3")] == [0, 0]
        peer.release()
    assert len(told) == 2
    assert sum("raised" in record.message for record in caplog.records) == 2
    assert "P-0042" not in caplog.text


def test_a_mover_receives_with_several(tmp_path: Path) -> None:
    """`Mover(workers=2)` moves what it is asked for; without receive= the number has no meaning."""
    with (
        DemoPacs([made_study(f"S{number}", instances=4) for number in range(4)]) as pacs,
        Mover(pacs.node, receive=tmp_path, port=0, workers=2, journal=None, progress="none") as mover,
    ):
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move([{"StudyInstanceUID": study.study_instance_uid} for study in pacs.studies])
        assert set(summary["status"]) == {"success"}
        assert summary["received"].sum() == len(list(tmp_path.rglob("*.dcm"))) == 16
    with pytest.raises(ConfigurationError, match="name a folder with receive="):
        Mover(pacs.node, destination="WORKSTATION", workers=2)
    with pytest.raises(ConfigurationError, match="workers=0"):
        Mover(pacs.node, receive=tmp_path, workers=0)

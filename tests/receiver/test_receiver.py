"""The receiver's seam: it listens, files, tells, admits, and ends without a trace."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from dicomover.errors import AssociationLost, ConfigurationError, ReceiverError
from dicomover.events import Arrival, Refusal
from dicomover.mover import Mover
from dicomover.receiver import Receiver
from dicomover.security import TLS, Secret
from dicomover.security.tls import client_context
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
from security_kit import Authority


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


def test_by_tls_it_receives_in_processes_of_its_own(start: Start, tmp_path: Path) -> None:
    """A TLS is told to a process, the password of its key too; only who has a right name is let in, others are told."""
    authority = Authority(tmp_path / "ca")
    files = authority.issue("ME", password="made-up-secret")
    tls = TLS(
        ca=authority.cert, cert=files.cert, key=files.key, password=Secret.text("made-up-secret"), peers=["ARCHIVE"]
    )
    archive, other = (client_context(authority.tls(name)) for name in ("ARCHIVE", "OTHER"))
    data = data_set("1.2.3.1.1.1", pixels=os.urandom(300_000))
    with start(tls=tls, ends_broken=True) as run:
        with pytest.raises(AssociationLost):  # TLS 1.3 lets a caller go on before it is let in
            run.peer(tls=other)
        with pytest.raises(AssociationLost):
            run.peer()
        with run.peer(tls=archive) as peer:
            assert peer.store("1.2.3.1.1.1", data) == 0
            peer.release()
        events = run.wait(3)
        (arrival,) = [event for event in events if isinstance(event, Arrival)]
        assert body_of(arrival.path) == data
        refused = sorted(event.why for event in events if isinstance(event, Refusal))
        assert "its certificate names '127.0.0.1', 'localhost', 'OTHER', and none of those" in refused[1]
        assert "it speaks DICOM without TLS, and we listen with TLS" in refused[0]


@pytest.mark.parametrize("own_process", [True, False])
def test_files_for_tls_that_are_not_there(tmp_path: Path, own_process: bool) -> None:
    """It does not begin to listen, and says which file it is, wherever it runs."""
    tls = TLS(cert=tmp_path / "missing.pem")
    receiver = Receiver(tmp_path / "in", ae_title="ME", on_event=print, port=0, tls=tls, own_process=own_process)
    with pytest.raises(ReceiverError, match=r"the certificate in '.*missing.pem' cannot be read"):
        receiver.start()
    with pytest.raises(ConfigurationError, match="is no TLS"):
        Receiver(tmp_path, ae_title="ME", on_event=print, tls="cert.pem")  # type: ignore[arg-type]

"""Images by C-GET: the same rows and the same files as by C-MOVE, without a port, whatever the archive does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydicom import dcmread

from batch_kit import seen
from behaviours import BEHAVIOURS, Behaviour
from dicomover import Mover, Quirks, Timeouts, errors
from dicomover.batch import retrieval
from dicomover.batch.ways import Via
from dicomover.cli.report import plan_text
from dicomover.query import parts
from dicomover.testing import DemoPacs, Misbehaviour, Study, data_set_of_file, made_study
from dicomover.testing._storing import StoreAssociation
from dicomover.testing._studies import Instance
from dicomover.wire.association import Association
from dicomover.wire.lines import Pool
from peers import ONCE, answers, wait_until
from stacks.cohort import make_studies

STUDIES = {
    "00123": made_study("00123", instances=4, patient="P-1"),
    "00007": made_study("00007", series=2, instances=2, patient="P-7", modality=("CT", "MR")),
    "MIXED": made_study("MIXED", series=4, instances=2, patient="P-9", modality=("CT", "MR", "US", "SR")),
}
SOON = Timeouts(connect=5, acse=0.5, stall=1)


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive that knows nobody to send to."""
    with DemoPacs(list(STUDIES.values())) as archive:
        yield archive


def getting(pacs: DemoPacs, folder: Path, **options: object) -> Mover:
    """Return a Mover that receives by C-GET and shows nothing."""
    options = {"via": "get", "progress": "none", **ONCE, **options}
    return Mover(pacs.node, receive=folder, **options)  # type: ignore[arg-type]


def data_sets(folder: Path) -> dict[str, bytes]:
    """Return the data set of each file by its name."""
    return {path.stem: data_set_of_file(path.read_bytes()) for path in folder.rglob("*.dcm")}


def test_the_same_comes_as_by_c_move_without_a_port(pacs: DemoPacs, tmp_path: Path) -> None:
    """Rows and data sets are the same in both ways, and by C-GET nothing listens and nobody is called."""
    requests = [{"AccessionNumber": accession} for accession in STUDIES]
    with getting(pacs, tmp_path / "get") as mover:
        assert mover.port is None
        by_get = mover.move(requests)
    assert not seen(pacs, "C-MOVE")
    with getting(pacs, tmp_path / "move", via="move", port=0) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        by_move = mover.move(requests)
    timed = ["started", "seconds"]
    pd.testing.assert_frame_equal(by_get.drop(columns=timed), by_move.drop(columns=timed))
    assert by_get["status"].tolist() == ["success"] * len(STUDIES)
    assert data_sets(tmp_path / "get") == data_sets(tmp_path / "move")
    assert len(data_sets(tmp_path / "get")) == sum(map(len, map(list, (s.instances() for s in STUDIES.values()))))


@pytest.mark.parametrize(("first", "second"), [("get", "move"), ("move", "get")])
def test_a_rerun_by_the_other_way_skips(pacs: DemoPacs, tmp_path: Path, first: str, second: str) -> None:
    """What is here is known by instance, in whichever way it came."""
    for via, status in ((first, "success"), (second, "skipped")):
        with getting(pacs, tmp_path, via=via, port=0) as mover:
            pacs.destinations["MOVESCU"] = mover.port or 9
            assert mover.move({"AccessionNumber": "00123"})["status"].tolist() == [status]


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_each_level_comes(pacs: DemoPacs, tmp_path: Path, level: str) -> None:
    """A patient, a study, a series and a list of images come alike."""
    study = pacs.study("00007")
    series = study.series[0]
    keys = {
        "PatientID": study.patient_id,
        "StudyInstanceUID": study.study_instance_uid,
        "SeriesInstanceUID": series.series_instance_uid,
        "SOPInstanceUID": [image.sop_instance_uid for image in series.instances],
    }
    depth = ["PATIENT", "STUDY", "SERIES", "IMAGE"].index(level) + 1
    (row,) = getting(pacs, tmp_path).move(dict(list(keys.items())[:depth]), level=level).to_dict("records")
    assert (row["status"], row["received"]) == ("success", 4 if depth < 3 else 2)


def test_an_association_is_kept_for_the_next_row(pacs: DemoPacs, tmp_path: Path) -> None:
    """Two rows of one kind take one association for look-ups and one for images, and so do two batches of a Mover."""
    rows = [{"AccessionNumber": "00123"}, {"AccessionNumber": "00007"}]
    with getting(pacs, tmp_path, associations=1, journal=None) as mover:
        mover.move(rows[:1] * 2)
        mover.move(rows[:1])
        assert len(pacs.associations) == 2


def test_classes_that_do_not_fit_into_one_association_are_asked_for_by_series(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each series has its classes on an association, and the row is one; what its modality does not tell comes last."""
    for module in ("query.parts", "query.classes", "batch.carriers"):
        monkeypatch.setattr(f"dicomover.{module}.MOST_PAIRS", 20)
    (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "MIXED"}).to_dict("records")
    assert (row["status"], row["received"], row["completed"], row["attempts"]) == ("success", 8, 8, 5)
    assert [request.level for request in seen(pacs, "C-GET")] == [*["SERIES"] * 4, "IMAGE"]


def test_a_class_that_nobody_thought_of_is_asked_for_again(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What did not come for want of a presentation context comes by image over another association, and counts once."""
    monkeypatch.setattr(parts, "classes_of", lambda _: ("1.2.840.10008.5.1.4.1.1.4",))
    monkeypatch.setattr(parts, "read_classes", lambda _: ())
    monkeypatch.setattr("dicomover.query.resolve.read_classes", lambda _: ())
    (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "00007"}).to_dict("records")
    assert (row["status"], row["received"], row["completed"], row["failed"]) == ("success", 4, 4, 0), row["error"]
    assert (row["status_code"], row["attempts"]) == ("0x0000", 2)
    assert pd.isna(row["failed_uids"])


ACCESSIONS = {item.name: f"{'Ä' if item.letters else 'B'}{number:04d}" for number, item in enumerate(BEHAVIOURS)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DemoPacs, Mover]]:
    """Make an archive with a study for each misbehaviour, and a Mover that gets them."""
    studies = [made_study(accession, series=2, instances=3) for accession in ACCESSIONS.values()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.1,) * 20)
        with DemoPacs(studies) as pacs, getting(pacs, tmp_path_factory.mktemp("get"), associations=1) as mover:
            yield pacs, mover


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_whatever_the_archive_does_the_row_is_true(
    behaviour: Behaviour, scene: tuple[DemoPacs, Mover], tmp_path: Path
) -> None:
    """A row by C-GET ends in time, is a success only with all files, counts what lies there, and blames no port."""
    if behaviour.name.startswith("associate"):
        study = made_study("B1", series=2, instances=3)
        with DemoPacs([study], on_associate=behaviour.name) as pacs, contextlib.suppress(errors.NodeError):
            summary = getting(pacs, tmp_path).move({"AccessionNumber": "B1"}, timeouts=Timeouts(acse=0.5))
            check(summary, study, behaviour, tmp_path)
        return
    pacs, mover = scene
    study = pacs.study(ACCESSIONS[behaviour.name])
    pacs.misbehave[study.accession_number] = [
        Misbehaviour(name, **knobs)  # type: ignore[arg-type]
        for name, knobs in {behaviour.name: behaviour.knobs, **behaviour.also}.items()
    ]
    job = mover.start({"AccessionNumber": study.accession_number}, timeouts=Timeouts(stall=behaviour.stall))
    if behaviour.cancelled:
        uid = study.study_instance_uid
        wait_until(lambda: job.done or any(store.study_instance_uid == uid for store in list(pacs.stores)))
        job.cancel()
    assert job.wait(30), "the batch did not end"
    if behaviour.name == "restart":
        wait_until(lambda: answers(mover))
    assert mover.receive is not None
    check(job.summary(), study, behaviour, mover.receive)


def check(summary: pd.DataFrame, study: Study, behaviour: Behaviour, folder: Path) -> None:
    """Hold the one row of a summary against the files of its study."""
    (row,) = summary.to_dict("records")
    paths = [path for path in folder.rglob("*.dcm") if study.study_instance_uid in path.parts]
    files = {path.stem: data_set_of_file(path.read_bytes()) for path in paths}
    if row["status"] in ("success", "warning"):
        whole = {item.sop_instance_uid: item.data_set_bytes() for item in study.instances()}
        assert behaviour.changed or files.items() >= whole.items(), row["error"]
        assert len(paths) >= len(whole)
    else:
        assert isinstance(row["error"], str)
    assert pd.isna(row["received"]) or row["received"] <= len(paths)
    said = str(row["error"]).replace("(Move Destination unknown)", "")
    assert not re.search(r"\b(port|destination|C-MOVE)\b", said), said


def test_a_row_of_several_names_no_c_move(tmp_path: Path) -> None:
    """A row of two studies of which one is refused counts its C-GETs, and nothing in it speaks of a C-MOVE."""
    studies = [made_study(accession, instances=2) for accession in ("B1", "B2")]
    with DemoPacs(studies, misbehave={"B2": "not-authorized"}) as pacs, getting(pacs, tmp_path) as mover:
        (row,) = mover.move({"AccessionNumber": "B*"}).to_dict("records")
    assert (row["status"], row["received"]) == ("partial", 2)
    assert row["error"].startswith("1 of 2 C-GETs complete; 0x0124")
    assert "C-MOVE" not in row["error"]


@pytest.mark.parametrize("how", ["ignores-cancel", "silence", "endless-pending", "silence-in-store"])
def test_a_cancel_and_a_close_have_their_bounds(tmp_path: Path, how: str) -> None:
    """Seven seconds for a cancel and ten to close, whatever the archive does on our association."""
    with DemoPacs([made_study("00123", instances=6)], misbehave={"*": how}) as pacs:
        mover = getting(pacs, tmp_path).open()
        job = mover.start({"AccessionNumber": "00123"})
        wait_until(lambda: any(list(pacs.requests)) and any(list(seen(pacs, "C-GET"))))
        begun = time.monotonic()
        job.cancel()
        assert job.wait(7.5)
        assert job.summary()["status"].tolist() in (["cancelled"], ["success"])
        assert time.monotonic() - begun < 7
        begun = time.monotonic()
        mover.close()
        assert time.monotonic() - begun < 10


def test_auto_goes_on_by_c_get_where_it_is_not_known(pacs: DemoPacs, tmp_path: Path) -> None:
    """A801 turns the row and the rest of the batch, each row says so, and no second C-MOVE is sent."""
    rows = [{"AccessionNumber": accession} for accession in STUDIES]
    summary = getting(pacs, tmp_path, via="auto", port=0, associations=1).move(rows)
    assert summary["status"].tolist() == ["success"] * len(rows)
    assert summary["error"].str.startswith("by C-GET: the archive does not know our AE title").all()
    assert summary["attempts"].tolist() == [2, 1, 1]
    assert len(seen(pacs, "C-MOVE")) == 1


def test_auto_is_c_move_where_that_works(pacs: DemoPacs, tmp_path: Path) -> None:
    """Nothing is asked for by C-GET, and no row has a remark."""
    with getting(pacs, tmp_path, via="auto", port=0) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        summary = mover.move([{"AccessionNumber": accession} for accession in STUDIES])
    assert summary["status"].tolist() == ["success"] * len(STUDIES)
    assert summary["error"].isna().all()
    assert not seen(pacs, "C-GET")


@pytest.mark.parametrize("where", ["closed", "elsewhere"])
def test_auto_turns_where_nothing_reaches_our_port(pacs: DemoPacs, tmp_path: Path, where: str) -> None:
    """An archive that cannot reach us, or that sends to somebody else, is asked to send on our own association."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as shut:
        closed = shut.getsockname()[1]
    pacs.destinations["MOVESCU"] = closed if where == "closed" else pacs.workstation.port
    (row,) = getting(pacs, tmp_path, via="auto", port=0).move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["received"]) == ("success", 4), row["error"]
    assert row["error"] == "by C-GET: nothing that the archive sent has reached our port"


def test_auto_goes_without_a_port_where_none_can_be_had(pacs: DemoPacs, tmp_path: Path) -> None:
    """A port that is taken is an error by C-MOVE, and none with auto."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.ReceiverError):
            getting(pacs, tmp_path, via="move", port=port, bind="127.0.0.1").move({"AccessionNumber": "00123"})
        with getting(pacs, tmp_path, via="auto", port=port, bind="127.0.0.1") as mover:
            assert mover.port is None
            (row,) = mover.move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["error"]) == ("success", "by C-GET: no port can be had here")
    assert not seen(pacs, "C-MOVE")


def test_auto_says_what_it_is_where_c_get_is_not_served(tmp_path: Path) -> None:
    """Where the archive serves none, the dead end of the C-MOVE is what the row says."""
    with DemoPacs([made_study("00123")], get=False) as pacs:
        (row,) = getting(pacs, tmp_path, via="auto", port=0).move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["status_code"]) == ("failure", "0xA801")
    assert "add the AE title 'MOVESCU'" in row["error"]


def test_a_row_by_c_get_alone_says_that_it_is_not_served(tmp_path: Path) -> None:
    """What is not offered is named, and nobody is asked to open a port."""
    with DemoPacs([made_study("00123")], get=False) as pacs:
        (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "00123"}).to_dict("records")
    assert row["status"] == "failure"
    assert "does not offer C-GET" in row["error"]


def test_an_archive_with_one_association_at_a_time_is_asked_in_turns(tmp_path: Path) -> None:
    """The association for look-ups gives way to that for images, and that to the next look-up."""
    with DemoPacs([made_study("00123"), made_study("7")], max_associations=1) as pacs:
        rows = [{"AccessionNumber": "00123"}, {"AccessionNumber": "7"}]
        summary = getting(pacs, tmp_path, associations=1).move(rows)
    assert summary["status"].tolist() == ["success"] * 2, summary["error"].tolist()


def test_who_receives_elsewhere_cannot_get(pacs: DemoPacs, tmp_path: Path) -> None:
    """C-GET brings images to us and nobody else, and that is said before anything is sent."""
    with pytest.raises(errors.ConfigurationError, match="name a folder with receive="):
        Mover(pacs.node, destination="WORKSTATION", via="get")
    with pytest.raises(errors.ConfigurationError, match="receive="):
        Mover(pacs.node, destination="WORKSTATION").move({"AccessionNumber": "00123"}, via="get")
    with pytest.raises(errors.ConfigurationError, match="none of move, get, auto"):
        Mover(pacs.node, receive=tmp_path, via="pull")  # type: ignore[arg-type]
    with pytest.raises(errors.ConfigurationError, match="via='auto'"):
        getting(pacs, tmp_path).move({"AccessionNumber": "00123"}, via="move")
    assert not pacs.requests


def test_a_call_may_say_the_way(pacs: DemoPacs, tmp_path: Path) -> None:
    """What a call says goes before what the Mover says."""
    mover = getting(pacs, tmp_path, via="move")
    assert mover.move({"AccessionNumber": "00123"}, via="get")["status"].tolist() == ["success"]
    assert not seen(pacs, "C-MOVE")


def test_auto_gets_where_no_c_move_is_offered(pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that accepts no context of C-MOVE is asked by C-GET from the beginning."""
    accepts = Association.accepts
    monkeypatch.setattr(Association, "accepts", lambda self, uid: not uid.endswith(".2") and accepts(self, uid))
    (row,) = getting(pacs, tmp_path, via="auto", port=0).move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["error"]) == ("success", "by C-GET: the archive offers no C-MOVE")


@pytest.mark.parametrize(
    ("via", "offered", "way"), [("auto", True, "move"), ("auto", False, "get"), ("get", True, "get")]
)
def test_a_plan_names_the_way(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: Via, offered: bool, way: str
) -> None:
    """A plan says by which way its requests would go, also where all of it was answered before; nothing is sent."""
    accepts = Association.accepts
    monkeypatch.setattr(
        Association, "accepts", lambda self, uid: (offered or not uid.endswith(".2")) and accepts(self, uid)
    )
    mover = getting(pacs, tmp_path, via=via, port=0)
    for _ in range(2):
        plan = mover.plan({"AccessionNumber": "00123"})
        assert (plan["decision"].tolist(), plan.attrs["via"]) == (["move"], way)
    told = {"move": ", by C-MOVE, or by C-GET at a dead end;", "get": " instances, by C-GET;"}[way]
    assert told in plan_text(plan, via=via)
    mover.close()
    pacs.close()
    monkeypatch.setattr(Pool, "take", lambda *_, **__: pytest.fail("what is known needs no association"))
    assert mover.plan({"AccessionNumber": "00123"}).attrs["via"] == way
    assert {request.kind for request in pacs.requests} == {"C-FIND"}
    assert not seen(pacs, "C-MOVE")


def test_what_the_archive_does_not_accept_is_named(tmp_path: Path) -> None:
    """The row says which class could not come, and how some archives want to be asked."""
    with DemoPacs([made_study("B1", instances=3)], on_associate="associate-refuses-roles") as pacs:
        (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "B1"}).to_dict("records")
    assert (row["status"], row["failed"]) == ("failure", 3)
    assert "the archive did not accept CT Image Storage by C-GET" in row["error"]
    assert "Quirks(roles='both')" in row["error"]


def test_what_we_refuse_ourselves_is_blamed_on_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where our own receiver took none of it, no class and no transfer syntax of the archive's is named."""
    monkeypatch.setattr(retrieval.Retrieval, "_explain", lambda *_: "another cause")
    with DemoPacs([made_study("B1", instances=3)], misbehave={"B1": "stores-cut-pixels"}) as pacs:
        (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "B1"}).to_dict("records")
    assert (row["status"], row["failed"]) == ("failure", 3)
    assert "we refused 3" in row["error"]
    assert "another cause" not in row["error"]


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DemoPacs, list[bool]]]:
    """Run an archive with three images in JPEG 2000 and a report, that uses one context for each SOP Class.

    Put True into the list, and it sends them in that one whatever they are; else what is not in it fails.
    """
    how: list[bool] = []

    def context_for(self: StoreAssociation, instance: Instance) -> int | None:
        held = instance.transfer_syntax_uid
        mine = [
            (syntax, id_) for (sop_class, syntax), id_ in self._accepted.items() if sop_class == instance.sop_class_uid
        ]
        return next((id_ for syntax, id_ in mine[:1] if syntax == held or how), None)

    monkeypatch.setattr(StoreAssociation, "_context_for", context_for)
    with DemoPacs([study for study in make_studies() if study.accession_number == "B2077"]) as pacs:
        yield pacs, how


def test_what_is_not_in_the_first_transfer_syntax_is_asked_for_without_it(
    compressed: tuple[DemoPacs, list[bool]], tmp_path: Path
) -> None:
    """Of an archive that uses the first context of a class all comes, counts once, and the row says how."""
    pacs, _ = compressed
    with getting(pacs, tmp_path, associations=1, journal=None) as mover:
        for _ in range(2):  # as before, once such contexts have been asked for
            (row,) = mover.move({"AccessionNumber": "B2077"}, recheck=True).to_dict("records")
            told = (row["status"], row["received"], row["completed"], row["failed"], row["status_code"])
            assert told == ("success", 4, 4, 0, "0x0000"), row["error"]
            assert row["error"].startswith("3 came by a C-GET of their own: the archive uses one transfer syntax")
            assert (row["attempts"], pd.isna(row["failed_uids"])) == (2, True)
            for path in tmp_path.rglob("*.dcm"):
                path.unlink()
    assert [request.level for request in seen(pacs, "C-GET")] == ["STUDY", "IMAGE"] * 2


def test_the_others_come_too_where_the_compressed_ones_are_preferred(
    compressed: tuple[DemoPacs, list[bool]], tmp_path: Path
) -> None:
    """The order of `accept=` decides what is tried first, and not what comes."""
    accept = ["1.2.840.10008.1.2.4.90", "ExplicitVRLittleEndian"]
    (row,) = getting(compressed[0], tmp_path, accept=accept).move({"AccessionNumber": "B2077"}).to_dict("records")
    assert (row["status"], row["received"]) == ("success", 4), row["error"]


def test_a_second_request_that_is_lost_makes_nothing_worse(
    compressed: tuple[DemoPacs, list[bool]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that hangs up on it has still failed in three images of four, and is blamed for no more."""
    usual = StoreAssociation._context_for

    def hang_up(self: StoreAssociation, instance: Instance) -> int | None:
        if "1.2.840.10008.1.2.1" not in {syntax for _, syntax in self._accepted}:
            self.connection.close()
        return usual(self, instance)

    monkeypatch.setattr(StoreAssociation, "_context_for", hang_up)
    (row,) = getting(compressed[0], tmp_path).move({"AccessionNumber": "B2077"}).to_dict("records")
    told = (row["status"], row["status_code"], row["received"], row["failed"])
    assert told == ("partial", "0xB000", 1, 3), row["error"]
    assert [request.level for request in seen(compressed[0], "C-GET")][:2] == ["STUDY", "IMAGE"]


def test_what_comes_under_a_wrong_label_is_asked_for_under_the_one_that_it_has_shown(
    compressed: tuple[DemoPacs, list[bool]], tmp_path: Path
) -> None:
    """What we refuse stays out; it comes by a second C-GET in the transfer syntax that its pixel data are in."""
    pacs, how = compressed
    how.append(True)
    (row,) = getting(pacs, tmp_path).move({"AccessionNumber": "B2077"}).to_dict("records")
    assert (row["status"], row["received"], row["attempts"]) == ("success", 4, 2), row["error"]
    assert "its pixel data are compressed" in row["error"]
    assert "3 came by a C-GET of their own" in row["error"]
    held = [dcmread(path).file_meta.TransferSyntaxUID for path in sorted(tmp_path.rglob("*.dcm"))]
    assert sorted(held) == ["1.2.840.10008.1.2.1", *["1.2.840.10008.1.2.4.91"] * 3]


def test_what_is_not_wanted_in_the_syntax_that_it_has_shown_is_not_asked_for(
    compressed: tuple[DemoPacs, list[bool]], tmp_path: Path
) -> None:
    """`accept=` names what may come, and a wrong label changes nothing of it."""
    pacs, how = compressed
    how.append(True)
    (row,) = getting(pacs, tmp_path, accept="uncompressed").move({"AccessionNumber": "B2077"}).to_dict("records")
    assert (row["status"], row["received"], row["attempts"]) == ("partial", 1, 1), row["error"]
    assert "its pixel data are compressed" in row["error"]


def test_both_roles_are_what_some_archives_want(tmp_path: Path) -> None:
    """With the quirk of the node all of it comes."""
    with DemoPacs([made_study("B1", instances=3)], on_associate="associate-wants-both-roles") as pacs:
        node = replace(pacs.node, quirks=Quirks(roles="both"))
        mover = Mover(node, receive=tmp_path, via="get", progress="none", **ONCE)
        assert mover.move({"AccessionNumber": "B1"})["status"].tolist() == ["success"]


def test_only_what_is_accepted_is_proposed(pacs: DemoPacs, tmp_path: Path) -> None:
    """`accept=` names the transfer syntaxes, by C-GET as by C-MOVE: what the archive has in another one fails."""
    mover = getting(pacs, tmp_path, accept=["ImplicitVRLittleEndian"])
    (row,) = mover.move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["received"], row["failed"]) == ("failure", 0, 4)
    mover = getting(pacs, tmp_path, accept=["ExplicitVRLittleEndian"])
    assert mover.move({"AccessionNumber": "00123"})["status"].tolist() == ["success"]


def test_a_report_says_the_way(pacs: DemoPacs, tmp_path: Path) -> None:
    """Who received is named without a port."""
    job = getting(pacs, tmp_path).job({"AccessionNumber": "00123"}).run()
    assert "MOVESCU, by C-GET, which is the machine" in str(job.report())


def test_what_runs_by_c_get_alone_leaves_no_place_for_a_c_move(pacs: DemoPacs, tmp_path: Path) -> None:
    """While a batch by C-GET runs without a port, one by C-MOVE on the same Mover says what to do."""
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.3)
    mover = getting(pacs, tmp_path, via="auto", port=0)
    job = mover.start({"AccessionNumber": "00123"}, via="get")
    with pytest.raises(errors.ReceiverError, match="another Mover"):
        mover.move({"AccessionNumber": "00007"}, via="move")
    assert job.wait(30)
    assert job.summary()["status"].tolist() == ["success"]


@pytest.mark.parametrize(
    ("how", "kinds", "bound"),
    [
        ("silence-in-store", ["C-GET"], 7),
        ("silence", ["C-GET"], 7),
        ("ignores-cancel", ["C-GET"], 7),
        ("ignores-cancel", ["C-GET", "C-CANCEL"], 2),
    ],
)
def test_an_interrupt_ends_a_batch_by_c_get(tmp_path: Path, how: str, kinds: list[str], bound: float) -> None:
    """Ctrl-C has its bound, a second one a shorter one, and the summary says what was cancelled."""
    deaf = Misbehaviour("ignores-cancel", seconds=0.1) if how == "ignores-cancel" else how
    pressed: list[float] = []
    with DemoPacs([made_study("00123", instances=200)], misbehave={"*": deaf}) as pacs:

        def press() -> None:
            for kind in kinds:
                wait_until(lambda kind=kind: bool(seen(pacs, kind)))  # type: ignore[misc]
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press, daemon=True).start()
        with pytest.raises(errors.Interrupted) as caught:
            getting(pacs, tmp_path).move({"AccessionNumber": "00123"})
        assert len(pressed) == len(kinds)
        assert time.monotonic() - pressed[-1] < bound
        assert caught.value.summary["status"].tolist() == ["cancelled"]

"""What a batch hands out while it runs: files as they land, and series once all of each is here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_kit import arrival, quiet, running, seen
from dicomover import DicomoverError, Mover, volume
from dicomover.batch.handing import Handing, Series
from dicomover.batch.job import Job
from dicomover.batch.work import OpenRow, SharedMove
from dicomover.identifier import Level, Model, Request
from dicomover.outcome import Status
from dicomover.query.targets import Target
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from peers import ONCE, wait_until


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run an archive with a study of three series, and two of one."""
    studies = [made_study("BIG", series=3, instances=4), made_study("B", instances=2), made_study("C", instances=2)]
    with DemoPacs(studies) as archive:
        yield archive


def receiving(pacs: DemoPacs, folder: Path, **options: object) -> Mover:
    """Return a Mover that the archive sends to, within `with`."""
    return Mover(pacs.node, receive=folder, port=0, progress="none", associations=1, **{**ONCE, **options})  # type: ignore[arg-type]


def begin(mover: Mover, pacs: DemoPacs, *accessions: str) -> Job:
    """Start a batch whose first row is looked up slowly enough for its reader to be there."""
    pacs.destinations["MOVESCU"] = mover.port  # type: ignore[assignment]
    return mover.start([{"AccessionNumber": accession} for accession in accessions])


def followed(numbers: dict[str, int]) -> tuple[Handing, SharedMove]:
    """Return what follows one C-MOVE of study 1."""
    handing = Handing()
    handing.open()
    row = OpenRow(Request(0, "label", {"StudyInstanceUID": "1"}, Level.STUDY, Model.STUDY))
    move = SharedMove(0, Target(running().identifier), row, running())
    move.labels.append("label")
    row.moves.append(move)
    handing.follow(move, numbers)
    return handing, move


def land(handing: Handing, move: SharedMove, instance: str, series: str = "1.1") -> None:
    """Let an instance land for it."""
    event = arrival(instance, series_instance_uid=series, path=Path(f"/x/{instance}"))
    move.running.take(event)
    handing.count(event, [0], lambda _: ("label",))


def waiting(handing: Handing) -> list[Series]:
    """Return what waits for the reader."""
    handing.end()
    return list(handing.series.read())


def test_a_series_is_handed_out_while_the_batch_goes_on(pacs: DemoPacs, tmp_path: Path) -> None:
    """The first series of a study is worked on before the last one has come, and each comes once, with its row."""
    gate = threading.Event()
    pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.05)
    with receiving(pacs, tmp_path) as mover:
        job = begin(mover, pacs, "C", "BIG", "B")
        came: list[Series] = []
        for series in job.series():
            if len(came) == 1 and len(series) == 4:
                assert job.summary()["status"].isna().iloc[1], "its row is not over"
                gate.set()
            came.append(series)
        assert job.wait(10)
    assert gate.is_set()
    assert sorted(len(series) for series in came) == [2, 2, 4, 4, 4]
    assert {series.requests for series in came} == {(0,), (1,), (2,)}
    assert all(path.exists() for series in came for path in series)
    assert volume(came[1]).array.shape[0] == 4
    assert came[1].folder == came[1].files[0].parent
    assert "BIG" not in repr(came[1])


def test_no_count_no_series_before_the_row_ends(pacs: DemoPacs, tmp_path: Path) -> None:
    """Where the archive counts nothing, a series comes with the end of its row, as it does under verify='none'."""
    pacs.misbehave["*"] = "find-omits-counts"
    with receiving(pacs, tmp_path, verify="none") as mover:
        job = begin(mover, pacs, "BIG")
        came = [(series, job.summary()["status"].isna().any()) for series in job.series()]
    assert [len(series) for series, _ in came] == [4, 4, 4]


def test_what_did_not_come_whole_is_not_handed_out(pacs: DemoPacs, tmp_path: Path) -> None:
    """Of a study that lacks an image the other series are handed out, and that one is not."""
    pacs.misbehave["BIG"] = "success-with-failures"
    with receiving(pacs, tmp_path, verify="instances") as mover:
        job = begin(mover, pacs, "C", "BIG", "B")
        came = [len(series) for series in job.series()]
        assert job.summary()["status"].tolist() == ["success", "partial", "success"]
    assert sorted(came) == [2, 2, 4, 4]


def test_a_rerun_hands_out_what_an_earlier_run_has_brought(pacs: DemoPacs, tmp_path: Path) -> None:
    """Series whose row is skipped, and those of which only some files were missing, come with all of their files."""
    with receiving(pacs, tmp_path) as mover:
        job = begin(mover, pacs, "BIG", "B")
        first = {series.series_instance_uid: set(series) for series in job.series()}
        victim = next(path for path in sorted(tmp_path.rglob("*.dcm")) if len(list(path.parent.iterdir())) == 4)
        victim.unlink()
        job = begin(mover, pacs, "BIG", "B")
        again = {series.series_instance_uid: set(series) for series in job.series()}
        assert job.summary()["status"].tolist() == ["success", "skipped"]
    assert again == first


def test_what_your_code_raises_ends_the_loop_and_not_the_batch(pacs: DemoPacs, tmp_path: Path) -> None:
    """The batch goes on and ends well; who reads on later gets the rest."""
    with receiving(pacs, tmp_path) as mover:
        job = begin(mover, pacs, "C", "BIG", "B")

        def work() -> None:
            for series in job.series():
                raise ZeroDivisionError(len(series))

        with pytest.raises(ZeroDivisionError):
            work()
        assert job.wait(20)
        assert job.summary()["status"].tolist() == ["success"] * 3
        assert sorted(len(series) for series in job.series()) == [2, 4, 4, 4]
        assert not list(job.series()), "who asks after the end does not wait for ever"


def test_no_further_request_is_begun_while_many_wait(
    pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is slower than the archive holds the next request up, until it takes or leaves."""
    monkeypatch.setattr(Handing, "MOST_WAITING", 1)
    with receiving(pacs, tmp_path) as mover:
        job = begin(mover, pacs, "B", "C", "BIG")
        series = job.series()
        next(series)
        wait_until(lambda: len(seen(pacs, "C-MOVE")) == 2)
        assert not job.wait(1.5)
        assert len(seen(pacs, "C-MOVE")) == 2
        del series
        assert job.wait(20)


def test_a_reader_that_takes_nothing_holds_nothing_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time the batch goes on."""
    handing = Handing()
    handing.open()
    assert handing.find_room() is None
    handing.series.read()
    for _ in range(Handing.MOST_WAITING):
        handing.series.put(Series("1", "1.1", ()))
    assert "100 series wait" in getattr(handing.find_room(), "why", "")
    monkeypatch.setattr(Handing, "PATIENCE", 0.0)
    assert handing.find_room() is None


def test_a_series_is_complete_by_its_number() -> None:
    """It is handed out with its last image, once; one that grows beyond its number is handed out again at the end."""
    handing, move = followed({"1.1": 2, "1.2": 1})
    land(handing, move, "a")
    assert handing.series.waiting == 0
    land(handing, move, "b")
    land(handing, move, "c", "1.3")
    assert handing.series.waiting == 1
    move.running.take(arrival("d", series_instance_uid="1.1", path=Path("/x/d")))
    handing.conclude(move.row, Status.SUCCESS)
    found = [(series.series_instance_uid, len(series), series.requests) for series in waiting(handing)]
    assert found == [("1.1", 2, ("label",)), ("1.1", 3, ("label",)), ("1.3", 1, ("label",))]


def test_another_attempt_goes_on_where_the_first_ended() -> None:
    """What came before an association was lost counts for the number."""
    handing, move = followed({"1.1": 2})
    land(handing, move, "a")
    handing.follow(move, {"1.1": 2})
    land(handing, move, "b")
    (series,) = waiting(handing)
    assert [path.name for path in series] == ["a", "b"]


@pytest.mark.parametrize("status", [Status.PARTIAL, Status.LOST, None])
def test_a_row_that_is_not_complete_hands_out_nothing_more(status: Status | None) -> None:
    """What is not known to be whole is not told as whole."""
    handing, move = followed({})
    land(handing, move, "a")
    handing.conclude(move.row, status)
    assert not waiting(handing)


def test_very_many_files_that_nobody_asks_for_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes too late is told so."""
    handing = Handing()
    handing.open()
    monkeypatch.setattr(type(handing.series), "MOST_KEPT", 5)
    for _ in range(3):
        handing.series.put(Series("1", "1.1", (Path("a"), Path("b"))), 2)
    with pytest.raises(DicomoverError, match=r"before series\(\) was called"):
        next(handing.read_series())


def test_where_nothing_is_handed_out(pacs: DemoPacs, tmp_path: Path) -> None:
    """A third party's images and a batch in this cell have no reader, and say why."""
    with pytest.raises(DicomoverError, match="a third party receives"):
        quiet(pacs).job({"AccessionNumber": "B"}).series()
    with receiving(pacs, tmp_path) as mover, pytest.raises(DicomoverError, match=r"Mover\.start"):
        mover.job({"AccessionNumber": "B"}).arrivals()

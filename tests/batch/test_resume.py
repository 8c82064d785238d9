"""A batch that is run again: what is complete stays, what is missing moves, no row says more than is there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pydicom
import pytest

from dicomover import ConfigurationError, Mover, Node
from dicomover.batch import worker as worker_module
from dicomover.batch.resume import Resumption
from dicomover.journal import Journal, JournalError, Place
from dicomover.outcome import Status
from dicomover.receiver import Receiver
from dicomover.requests.parse import parse_requests
from dicomover.summary import Result
from dicomover.testing import DemoPacs, Misbehaviour, Request, Study, data_set_of_file, made_study
from peers import ONCE, files_in, sop_instance_uid, wait_until

STUDIES = (
    made_study("A", instances=4),
    made_study("B", series=2, instances=5),
    made_study("C", instances=3),
    made_study("TWO", instances=2, patient="P-2", number=1),
    made_study("TWO", instances=3, patient="P-2", number=2),
)
COUNTS = ["expected", "received", "completed", "failed", "matches", "status_code", "bytes"]


class Site:
    """An archive, a folder, and a fresh Mover for each run, as after a restart of the kernel."""

    def __init__(self, pacs: DemoPacs, folder: Path, name: str = "") -> None:
        self.pacs, self.folder = pacs, folder
        self.node = replace(pacs.node, name=name)

    def mover(self, **options: Any) -> Mover:
        """Return a Mover that receives into the folder and shows nothing."""
        return Mover(self.node, **{"receive": self.folder, "port": 0, "progress": "none", **ONCE, **options})

    def run(self, requests: Any, **options: Any) -> pd.DataFrame:
        """Run a batch, forget what was asked before, and hold every row against the disk."""
        self.pacs.forget()
        with self.mover(**options) as mover:
            if mover.port is not None:
                self.pacs.destinations[mover.ae_title] = mover.port
            summary = mover.move(requests)
        assert summary["status"].notna().all()
        if "receive" not in options:
            hold_true(self.pacs, self.folder, summary)
        return summary

    def moves(self) -> list[Request]:
        """Return the C-MOVEs since the last run began."""
        return [request for request in list(self.pacs.requests) if request.kind == "C-MOVE"]

    def files(self, accession: str) -> list[Path]:
        """Return the files of a study."""
        uids = {study.study_instance_uid for study in self.pacs.studies if study.accession_number == accession}
        return [path for path in sorted(self.folder.rglob("*.dcm")) if pydicom.dcmread(path).StudyInstanceUID in uids]


@pytest.fixture(autouse=True)
def light_receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the receivers of this process run on its threads: what they file is the same, and they start at once."""
    monkeypatch.setattr("dicomover.client.Receiver", partial(Receiver, own_process=False))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Run a well-behaved archive beside an empty folder."""
    with DemoPacs(STUDIES) as pacs:
        yield Site(pacs, tmp_path / "cohort")


def hold_true(pacs: DemoPacs, folder: Path, summary: pd.DataFrame) -> None:
    """No row says that it is complete unless every instance of its studies lies in the folder, byte for byte."""
    here = copies_in(folder)
    for row in summary[summary["status"].isin(["success", "warning", "skipped"])].to_dict("records"):
        studies = [study for study in pacs.studies if names(row, study)]
        instances = [item for study in studies for item in study.instances()]
        assert instances, "complete, and there is nothing of it"
        assert row["received"] == len(instances)
        for item in instances:
            assert item.data_set_bytes() in here[item.sop_instance_uid], "complete, and not there"


def copies_in(folder: Path) -> dict[str, list[bytes]]:
    """Return the data sets of all files in a folder that can be read, by SOP Instance UID."""
    found: dict[str, list[bytes]] = {}
    for path in files_in(folder):
        raw = path.read_bytes()
        if len(raw) > 300 and path.suffix == ".dcm":
            found.setdefault(sop_instance_uid(raw), []).append(data_set_of_file(raw))
    return found


def names(row: dict[Any, Any], study: Study) -> bool:
    """Tell whether a row asks for a study."""
    wanted = {
        "PatientID": study.patient_id,
        "AccessionNumber": study.accession_number,
        "StudyInstanceUID": study.study_instance_uid,
    }
    return all(row[key] == value for key, value in wanted.items() if key in row and isinstance(row[key], str))


def batch(*accessions: str) -> list[dict[str, str]]:
    """Return one request for each accession number."""
    return [{"AccessionNumber": accession} for accession in accessions]


def statuses(summary: pd.DataFrame) -> list[str]:
    """Return the statuses of a summary."""
    return summary["status"].tolist()


def levels(moves: Iterable[Request]) -> list[tuple[str, int]]:
    """Return level and number of the UIDs that C-MOVEs asked for."""
    keys = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
    return sorted((move.level, len(move.keys[keys[move.level]].split("\\"))) for move in moves)


# --- what is complete is left alone


def test_what_is_complete_is_skipped(site: Site) -> None:
    """A rerun asks the archive nothing, and its rows say `skipped` with the counts of the first run."""
    first = site.run(batch("A", "B", "TWO"))
    assert statuses(first) == ["success"] * 3
    again = site.run(batch("A", "B", "TWO"))
    assert statuses(again) == ["skipped"] * 3
    assert site.pacs.requests == []
    pd.testing.assert_frame_equal(again[COUNTS], first[COUNTS])
    assert again["attempts"].tolist() == [0, 0, 0]
    assert again["error"].isna().all()


def test_new_rows_move_beside_skipped_ones(site: Site) -> None:
    """A longer table moves what is new in it; order and index do not matter."""
    site.run(batch("A", "B"))
    table = pd.DataFrame(batch("C", "B", "A"), index=["x", "y", "z"])
    again = site.run(table)
    assert statuses(again) == ["success", "skipped", "skipped"]
    assert again.index.tolist() == ["x", "y", "z"]
    assert len(site.moves()) == 1


def test_a_summary_is_run_again(site: Site) -> None:
    """A summary is an input, also of a rerun."""
    summary = site.run(batch("A", "nobody"))
    again = site.run(summary)
    assert statuses(again) == ["skipped", "not-found"]


def test_without_a_journal_everything_moves_again(site: Site) -> None:
    """With `journal=None` nothing is remembered and nothing is written beside the files."""
    for _ in range(2):
        assert statuses(site.run(batch("A"), journal=None)) == ["success"]
        assert len(site.moves()) == 1
    assert not list(site.folder.glob("*.db*"))


def test_a_journal_elsewhere(site: Site, tmp_path: Path) -> None:
    """A path names the journal; another one knows nothing of it."""
    there, elsewhere = tmp_path / "one.db", str(tmp_path / "other.db")
    assert statuses(site.run(batch("A"), journal=there)) == ["success"]
    assert statuses(site.run(batch("A"), journal=there)) == ["skipped"]
    assert statuses(site.run(batch("A"), journal=elsewhere)) == ["success"]
    assert not list(site.folder.glob("*.db*"))


def test_hashed_keys(site: Site, tmp_path: Path) -> None:
    """A journal that keeps hashes decides as one in plain text does, and has no key in it."""
    path, secret = tmp_path / "hashed.db", "a long and good secret"
    for expected in ("success", "skipped"):
        journal = Journal(path, privacy="hashed", secret=secret)
        assert statuses(site.run([{"PatientID": "P-2"}, *batch("TWO")], journal=journal)) == [expected] * 2
    assert not site.moves()
    assert b"TWO" not in path.read_bytes()
    with pytest.raises(ConfigurationError, match="another secret"):
        site.run(batch("A"), journal=Journal(path, privacy="hashed", secret="another one, as long"))
    assert site.pacs.requests == []


def test_a_relative_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder may be named relative to the working directory, and moved with its journal."""
    monkeypatch.chdir(tmp_path)
    site.folder = Path("in")
    assert statuses(site.run(batch("A"))) == ["success"]
    assert statuses(site.run(batch("A"))) == ["skipped"]
    (tmp_path / "in").rename(tmp_path / "moved")
    site.folder = tmp_path / "moved"
    assert statuses(site.run(batch("A"))) == ["skipped"]


def test_a_folder_behind_a_link(site: Site, tmp_path: Path) -> None:
    """A folder that is reached by a symbolic link is the same folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    site.folder = tmp_path / "link"
    assert statuses(site.run(batch("A"))) == ["success"]
    assert statuses(site.run(batch("A"))) == ["skipped"]


def test_an_archive_and_its_destination_are_remembered_too(site: Site) -> None:
    """The same request to another archive is another request."""
    site.run(batch("A"))
    with DemoPacs(STUDIES, ae_title="OTHER") as pacs:
        other = Site(pacs, site.folder)
        assert statuses(other.run(batch("A"))) == ["success"]
        assert len(other.moves()) == 1


# --- what is missing, and only that


@pytest.mark.parametrize(
    ("accession", "failing", "asked"),
    [
        ("A", 1, [("IMAGE", 1)]),
        ("A", 3, [("IMAGE", 3)]),
        ("B", 2, [("IMAGE", 2)]),
        ("B", 7, [("IMAGE", 2), ("SERIES", 1)]),
    ],
)
def test_only_what_is_missing_moves(site: Site, accession: str, failing: int, asked: list[tuple[str, int]]) -> None:
    """A partial row asks for its missing instances, or for a series that lacks most of them, and ends complete."""
    site.pacs.misbehave[accession] = Misbehaviour("some-failed", count=failing)
    assert statuses(site.run(batch(accession))) == ["partial"]
    site.pacs.misbehave.clear()
    again = site.run(batch(accession))
    total = site.pacs.study(accession).number_of_instances
    assert statuses(again) == ["success"]
    assert (again["expected"][0], again["received"][0]) == (total, total)
    assert levels(site.moves()) == asked
    assert statuses(site.run(batch(accession))) == ["skipped"]
    assert not site.moves()


def test_still_partial(site: Site) -> None:
    """A rerun that does not bring it all is partial with what is here, and the next one goes on from there."""
    site.pacs.misbehave["B"] = Misbehaviour("some-failed", count=4)
    site.run(batch("B"))
    site.pacs.misbehave["B"] = Misbehaviour("some-failed", count=2)
    again = site.run(batch("B"))
    assert statuses(again) == ["partial"]
    assert (again["expected"][0], again["received"][0]) == (10, 8)
    site.pacs.misbehave["B"] = "unable"
    again = site.run(batch("B"))
    assert statuses(again) == ["partial"], "nothing new, but much is here"
    assert again["received"][0] == 8
    site.pacs.misbehave.clear()
    assert statuses(site.run(batch("B"))) == ["success"]
    assert levels(site.moves()) == [("IMAGE", 2)]


@pytest.mark.parametrize("harm", ["deleted", "truncated", "touched", "emptied"])
def test_harm_to_a_file_is_noticed(site: Site, harm: str) -> None:
    """A file that is gone or not as it was moves again, and only it; the harmed one is kept under another name."""
    site.run(batch("A", "B"))
    victim = site.files("B")[3]
    whole = victim.read_bytes()
    if harm == "touched":
        os.utime(victim, ns=(1, 1))
    elif harm in ("truncated", "emptied"):
        os.truncate(victim, 200 if harm == "truncated" else 0)
    else:
        victim.unlink()
    again = site.run(batch("A", "B"))
    assert statuses(again) == ["skipped", "success"]
    assert again["received"].tolist() == [4, 10]
    assert levels(site.moves()) == [("IMAGE", 1)]
    assert statuses(site.run(batch("A", "B"))) == ["skipped"] * 2
    assert victim.read_bytes() == whole
    beside = [path.name for path in victim.parent.iterdir() if path.name.startswith(f"{victim.name}.")]
    assert beside == ([f"{victim.name}.changed-1"] if harm in ("truncated", "emptied") else [])


def test_all_files_gone(site: Site) -> None:
    """A study of which no file is left moves as a whole."""
    site.run(batch("B"))
    for path in site.files("B"):
        path.unlink()
    assert statuses(site.run(batch("B"))) == ["success"]
    assert levels(site.moves()) == [("STUDY", 1)]


def test_a_study_that_has_grown(site: Site, tmp_path: Path) -> None:
    """What has come to a study meanwhile is asked for with what was missing of it."""
    large = made_study("G", instances=6)
    small = large.only(lambda instance: int(instance.number) <= 4)
    with DemoPacs([small], misbehave={"G": "some-failed"}) as before:
        assert statuses(Site(before, site.folder, "main").run(batch("G"))) == ["partial"]
    with DemoPacs([large]) as after:
        again = Site(after, site.folder, "main")
        summary = again.run(batch("G"))
        assert statuses(summary) == ["success"]
        assert summary["received"].tolist() == [6]
        assert levels(again.moves()) == [("IMAGE", 3)]


@pytest.mark.parametrize("answer", ["refused", "nothing", "too few"])
def test_an_archive_that_does_not_list_instances(site: Site, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Where C-FIND at level IMAGE is refused, or says less than there is, the whole study moves again."""
    site.pacs.misbehave["B"] = "some-failed"
    site.run(batch("B"))
    site.pacs.misbehave.clear()
    listing(monkeypatch, "IMAGE", answer)
    again = site.run(batch("B"))
    assert statuses(again) == ["success"]
    assert again["received"].tolist() == [10]
    assert levels(site.moves()) == [("STUDY", 1)]


def test_an_archive_that_does_not_list_series(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where C-FIND at level SERIES finds nothing, the whole study moves again."""
    site.pacs.misbehave["B"] = "some-failed"
    site.run(batch("B"))
    site.pacs.misbehave.clear()
    listing(monkeypatch, "SERIES", "nothing")
    assert statuses(site.run(batch("B"))) == ["success"]
    assert levels(site.moves()) == [("STUDY", 1)]


def test_lost_while_it_lists(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An association that is lost while the archive lists instances is `lost`, as in any other C-FIND."""
    site.pacs.misbehave["B"] = "some-failed"
    site.run(batch("B"))
    site.pacs.misbehave.clear()
    listing(monkeypatch, "IMAGE", "lost")
    again = site.run(batch("B"))
    assert statuses(again) == ["lost"]
    assert "lost during C-FIND" in again["error"][0]
    monkeypatch.undo()
    assert statuses(site.run(batch("B"))) == ["success"]
    assert levels(site.moves()) == [("IMAGE", 1)]


def listing(monkeypatch: pytest.MonkeyPatch, level: str, answer: str) -> None:
    """Let a DemoPacs misbehave in a C-FIND at one level."""
    from dicomover.testing import _pacs
    from dicomover.testing._exchange import Exchange

    good = _pacs.answer_find

    def answer_find(link: Any, message: Any, keys: dict[str, str], model: str) -> None:
        if keys.get("QueryRetrieveLevel") != level:
            good(link, message, keys, model)
        elif answer == "lost":
            Exchange(link, message).break_off("abort", 0)
        elif answer == "too few":
            good(link, message, {**keys, "InstanceNumber": "1"}, model)
        else:
            Exchange(link, message).answer(0xC001 if answer == "refused" else 0x0000)

    monkeypatch.setattr(_pacs, "answer_find", answer_find)


@pytest.mark.parametrize("key", ["AccessionNumber", "StudyInstanceUID"])
def test_a_study_that_is_gone_from_the_archive(site: Site, key: str) -> None:
    """What was partial and is not in the archive any more is not complete, whatever lies here of it."""
    study = site.pacs.study("A")
    request = [{key: getattr(study, "accession_number" if key == "AccessionNumber" else "study_instance_uid")}]
    site.pacs.misbehave["A"] = "some-failed"
    assert statuses(site.run(request)) == ["partial"]
    with DemoPacs([]) as empty:
        for _ in range(2):
            again = Site(empty, site.folder).run(request)
            assert statuses(again)[0] in ("not-found", "partial")


# --- what did not work is tried again


@pytest.mark.parametrize(
    ("misbehaviour", "status"),
    [
        ("find-no-match", "not-found"),
        ("unable", "failure"),
        ("destination-unknown", "failure"),
        ("out-of-resources", "failure"),
        ("abort", "lost"),
        ("find-closes", "lost"),
        ("empty-success", "empty"),
        ("some-failed", "partial"),
        ("claims-without-sending", "empty"),
        ("find-refused", "failure"),
    ],
)
def test_what_did_not_work_is_tried_again(site: Site, misbehaviour: str, status: str) -> None:
    """Whatever a row ended with, if it is not complete, a rerun tries it again, and then it is."""
    site.pacs.misbehave["A"] = misbehaviour
    assert statuses(site.run(batch("A", "B"))) == [status, "success"]
    assert statuses(site.run(batch("A", "B"))) == [status, "skipped"]
    site.pacs.misbehave.clear()
    again = site.run(batch("A", "B"))
    assert statuses(again) == ["success", "skipped"]
    assert again["received"].tolist() == [4, 10]


def test_what_was_cancelled_or_never_sent(site: Site) -> None:
    """A cancelled row goes on from what has arrived; rows that were never sent are not in the journal and move."""
    site.pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.05)
    with site.mover(associations=1) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port
        job = mover.start(batch("B", "A", "C"))
        wait_until(lambda: len(site.pacs.stores) >= 3)
        job.cancel()
        assert job.wait(30)
    assert statuses(job.summary()) == ["cancelled"] * 3
    hold_true(site.pacs, site.folder, job.summary())
    with Journal(site.folder / "journal.db") as journal:
        recorded = [entry.keys for entry in journal.entries().values()]
        assert recorded == batch("B")
    site.pacs.misbehave.clear()
    before = len(copies_in(site.folder))
    again = site.run(batch("B", "A", "C"))
    assert statuses(again) == ["success"] * 3
    assert sum(site.pacs.sends_of(uid) for uid in copies_in(site.folder)) <= 17 - before + 4, "B moved anew"


# --- the same more than once


def test_the_same_request_twice(site: Site) -> None:
    """The same request in two rows moves once and is in both of them, also on a rerun."""
    for expected in ("success", "skipped"):
        summary = site.run(batch("A", "B", "A"), associations=2)
        assert statuses(summary) == [expected] * 3
        assert summary["received"].tolist() == [4, 10, 4]
        assert len(site.moves()) == (2 if expected == "success" else 0)


@pytest.mark.parametrize("associations", [1, 2])
def test_the_same_study_by_two_names(site: Site, associations: int) -> None:
    """A study by accession number and by UID moves once, and both rows are skipped on a rerun."""
    uid = site.pacs.study("A").study_instance_uid
    both = [{"AccessionNumber": "A"}, {"StudyInstanceUID": uid}]
    summary = site.run(both, associations=associations)
    assert statuses(summary) == ["success"] * 2
    assert len(site.moves()) == 1
    again = site.run(both, associations=associations)
    assert statuses(again) == ["skipped"] * 2
    assert not site.moves()


def test_a_study_inside_a_larger_request(site: Site) -> None:
    """A study that moved for one row and belongs to another one too is not moved again on a rerun."""
    uid = next(study.study_instance_uid for study in site.pacs.studies if study.accession_number == "TWO")
    both = [{"StudyInstanceUID": uid}, {"AccessionNumber": "TWO"}]
    assert statuses(site.run(both, associations=1)) == ["success"] * 2
    assert len(site.moves()) == 2
    assert statuses(site.run(both)) == ["skipped"] * 2


def test_the_same_partial_request_twice(site: Site) -> None:
    """Two rows of the same partial request ask once for what is missing and both end complete."""
    site.pacs.misbehave["A"] = "some-failed"
    assert statuses(site.run(batch("A", "A"))) == ["partial"] * 2
    site.pacs.misbehave.clear()
    again = site.run(batch("A", "A"), associations=1)
    assert statuses(again) == ["success"] * 2
    assert again["received"].tolist() == [4, 4]
    assert levels(site.moves()) == [("IMAGE", 1)]
    assert statuses(site.run(batch("A", "A"))) == ["skipped"] * 2


def test_two_jobs_share_a_journal(site: Site, tmp_path: Path) -> None:
    """Two jobs of one Mover with one Journal move each study once, and neither closes it under the other."""
    site.pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.02)
    journal = Journal(tmp_path / "cohort.db")
    with site.mover(journal=journal) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port
        short, long = mover.start(batch("C")), mover.start(batch("A", "B", "TWO"))
        assert short.wait(30)
        assert long.wait(30)
    assert statuses(short.summary()) + statuses(long.summary()) == ["success"] * 4
    assert statuses(site.run(batch("A", "B", "C", "TWO"), journal=journal)) == ["skipped"] * 4


def test_a_journal_of_the_user_stays_open(site: Site, tmp_path: Path) -> None:
    """A Journal that the caller has open is still open after a batch."""
    with Journal(tmp_path / "cohort.db") as journal:
        site.run(batch("A"), journal=journal)
        assert len(journal) == 1


def test_two_processes_with_the_same_requests(tmp_path: Path) -> None:
    """Two processes that run the same batch into one folder move each study once, and both tell of all of them."""
    studies = [made_study(f"S{number:02d}", instances=2, size=512) for number in range(60)]
    script = """
        import sys, pandas as pd
        from dicomover import Mover
        from dicomover.batch import worker
        worker._HELD_AGAIN_AFTER = 0.1
        node, folder, ae_title = sys.argv[1:]
        with Mover(node, ae_title=ae_title, receive=folder, port=0, progress="none") as mover:
            print(mover.port, flush=True)
            sys.stdin.readline()
            summary = mover.move([{"AccessionNumber": f"S{number:02d}"} for number in range(60)])
        print(*summary["status"], *summary["received"], flush=True)
        """
    with DemoPacs(studies) as pacs:
        children = []
        try:
            for title in ("ONE", "OTHER"):
                command = [sys.executable, "-c", textwrap.dedent(script), str(pacs.node), str(tmp_path / "in"), title]
                child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                children.append(child)
                assert child.stdout is not None
                pacs.destinations[title] = int(child.stdout.readline())
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            said = [child.communicate(timeout=90)[0].split() for child in children]
        finally:
            for child in children:
                child.kill()
                child.wait()
        moves = Counter(len(pacs.moves_of(study.study_instance_uid)) for study in studies)
    assert moves == {1: 60}
    for words in said:
        assert len(words) == 120
        assert set(words[:60]) <= {"success", "skipped"}
        assert set(words[60:]) == {"2"}
    assert sum(words[:60].count("success") for words in said) == 60
    here = copies_in(tmp_path / "in")
    assert {uid: [item.data_set_bytes()] for study in studies for uid, item in named(study)} == here


def named(study: Study) -> list[tuple[str, Any]]:
    """Return the instances of a study by UID."""
    return [(item.sop_instance_uid, item) for item in study.instances()]


def test_a_request_that_another_run_holds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that another run holds waits for its end while others move; then what is missing moves."""
    monkeypatch.setattr(worker_module, "_HELD_AGAIN_AFTER", 0.05)
    site.run(batch("A"))
    site.files("A")[0].unlink()
    with Journal(site.folder / "journal.db") as other, site.mover(associations=1) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port
        keys = list(other.entries())
        assert other.claim(keys)
        job = mover.start(batch("A", "B"))
        wait_until(lambda: job.summary()["status"].notna().sum() == 1)
        assert job.summary()["status"].tolist()[1] == "success"
        assert not job.wait(0.2)
        other.release(keys)
        assert job.wait(30)
    assert statuses(job.summary()) == ["success", "success"]


def test_what_is_complete_waits_for_nobody(site: Site) -> None:
    """A request that is complete is skipped, whoever holds it."""
    site.run(batch("A"))
    with Journal(site.folder / "journal.db") as other:
        assert other.claim(other.entries())
        assert statuses(site.run(batch("A"))) == ["skipped"]


def test_a_request_that_another_run_holds_for_ever(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel ends the wait for another run, and the row says so."""
    monkeypatch.setattr(worker_module, "_HELD_AGAIN_AFTER", 0.05)
    site.run(batch("A"))
    site.files("A")[0].unlink()
    with Journal(site.folder / "journal.db") as other, site.mover() as mover:
        assert other.claim(other.entries())
        job = mover.start(batch("A"))
        assert not job.wait(0.2)
        job.cancel()
        assert job.wait(10)
    assert statuses(job.summary()) == ["cancelled"]
    assert job.summary()["error"][0].startswith("not sent")


def test_two_runs_on_two_series_of_one_study(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another run moves of a study holds up no other series of it, but the study and its patient."""
    monkeypatch.setattr(worker_module, "_HELD_AGAIN_AFTER", 0.05)
    study = site.pacs.study("B")
    first, second = (
        {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
        for series in study.series
    )
    requests = [second, {"StudyInstanceUID": study.study_instance_uid}]
    site.pacs.misbehave["B"] = Misbehaviour("slow", seconds=2)
    with (
        site.mover(ae_title="ONE") as one,
        site.mover(ae_title="OTHER") as other,
        site.mover(ae_title="THIRD", level="PATIENT") as third,
    ):
        site.pacs.destinations |= {each.ae_title: each.port or 0 for each in (one, other, third)}
        holding = one.start([first])
        wait_until(site.moves)
        site.pacs.misbehave.clear()
        jobs = other.start(requests), third.start([{"PatientID": study.patient_id}])
        wait_until(lambda: jobs[0].summary()["status"].eq("success").tolist() == [True, False])
        assert not jobs[0].wait(0.3)
        assert jobs[1].summary()["status"].isna().all()
        holding.cancel()
        assert all(job.wait(30) for job in (holding, *jobs))
    assert statuses(jobs[0].summary()) in (["success", "success"], ["success", "skipped"])
    assert statuses(jobs[1].summary()) in (["success"], ["skipped"])


# --- rows that overlap


def let_claim_first(monkeypatch: pytest.MonkeyPatch, position: int) -> None:
    """Let no row claim anything before one has: which C-FIND is answered first is the machine's affair."""
    narrow, has_claimed = Resumption.narrow, threading.Event()

    def wait(self: Resumption, request: Any, *arguments: Any, **options: Any) -> Any:
        if request.position != position:
            assert has_claimed.wait(20)
        try:
            return narrow(self, request, *arguments, **options)
        finally:
            has_claimed.set()

    monkeypatch.setattr(Resumption, "narrow", wait)


def test_a_part_of_what_moves_waits_and_takes_no_association(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A series whose study is moving is decided by what came of it, and other rows move meanwhile."""
    let_claim_first(monkeypatch, 0)
    study = site.pacs.study("B")
    part = {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": study.series[1].series_instance_uid}
    site.pacs.misbehave["B"] = Misbehaviour("slow", seconds=0.05)
    with site.mover(associations=2) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port or 0
        job = mover.start([{"StudyInstanceUID": study.study_instance_uid}, part, *batch("A", "C")])
        assert job.wait(30)
    assert statuses(job.summary()) == ["success", "skipped", "success", "success"]
    moves = [move.keys["StudyInstanceUID"] for move in site.moves()]
    assert moves.count(study.study_instance_uid) == 1
    assert len(site.pacs.stores) == len({store.sop_instance_uid for store in site.pacs.stores}) == 17


@pytest.mark.parametrize("misbehaviour", ["some-failed", "abort", "busy"])
def test_a_part_of_what_did_not_come_is_asked_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, misbehaviour: str
) -> None:
    """Where the row before it brought some or nothing, a row asks for what is missing of its own."""
    let_claim_first(monkeypatch, 0)
    study = site.pacs.study("B")
    keys = {"StudyInstanceUID": study.study_instance_uid}
    parts = [{**keys, "SeriesInstanceUID": series.series_instance_uid} for series in study.series]
    site.pacs.misbehave["B"] = Misbehaviour(misbehaviour, times=1)
    with site.mover(associations=3) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port or 0
        summary = mover.move([keys, *parts])
    assert statuses(summary)[1:] in (["success", "success"], ["skipped", "success"], ["success", "skipped"])
    assert summary["received"].tolist()[1:] == [5, 5]


def test_a_whole_asks_for_what_a_part_before_it_did_not_bring(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a part is claimed first and some of it fails, the whole brings that too, and nothing twice."""
    let_claim_first(monkeypatch, 1)
    study = site.pacs.study("B")
    keys = {"StudyInstanceUID": study.study_instance_uid}
    site.pacs.misbehave["B"] = Misbehaviour("some-failed", times=1)
    with site.mover(associations=2) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port or 0
        summary = mover.move([keys, {**keys, "SeriesInstanceUID": study.series[0].series_instance_uid}])
    assert statuses(summary) == ["success", "partial"]
    assert summary["received"].tolist() == [10, 4]
    assert Counter(store.sop_instance_uid for store in site.pacs.stores).most_common(1)[0][1] == 1


def test_a_row_that_waits_for_another_is_cancelled_with_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel ends what waits behind another row too, as never sent."""
    let_claim_first(monkeypatch, 0)
    study = site.pacs.study("B")
    keys = {"StudyInstanceUID": study.study_instance_uid}
    part = {**keys, "SeriesInstanceUID": study.series[0].series_instance_uid}
    site.pacs.misbehave["B"] = Misbehaviour("slow", seconds=2)
    with site.mover(associations=2) as mover:
        site.pacs.destinations[mover.ae_title] = mover.port or 0
        job = mover.start([keys, part])
        wait_until(site.moves)
        assert not job.wait(0.2)
        job.cancel()
        assert job.wait(20)
    assert statuses(job.summary()) == ["cancelled", "cancelled"]
    assert len(site.moves()) == 1


# --- a third party


def test_a_third_party(site: Site) -> None:
    """Where a third party receives, what the archive has counted decides, and what nobody counted moves again."""
    third = {"receive": None, "port": None, "destination": "WORKSTATION", "journal": site.folder.parent / "third.db"}
    site.pacs.misbehave["B"] = "some-failed"
    site.pacs.misbehave["C"] = "success-without-counters"
    first = site.run(batch("A", "B", "C"), **third)
    assert statuses(first)[:2] == ["success", "partial"]
    again = site.run(batch("A", "B", "C"), **third)
    assert statuses(again)[:2] == ["skipped", "partial"]
    assert again["completed"][0] == 4
    assert pd.isna(again["received"][0])
    asked = {move.keys["StudyInstanceUID"] for move in site.moves()}
    assert asked == {site.pacs.study(name).study_instance_uid for name in "BC"}
    with DemoPacs([]) as elsewhere:
        site.pacs.destinations["ELSEWHERE"] = elsewhere.workstation.port
        again = site.run(batch("A"), **{**third, "destination": "ELSEWHERE"})
        assert statuses(again) == ["success"], "another destination has nothing yet"


# --- a journal that cannot be used


@pytest.mark.parametrize("kind", ["foreign", "folder", "no folder"])
def test_a_journal_that_cannot_be_opened(site: Site, tmp_path: Path, kind: str) -> None:
    """An unusable journal is one clear error before anything is sent, and nothing stays behind."""
    path = tmp_path / "cohort.db"
    if kind == "foreign":
        path.write_bytes(b"no journal at all" * 100)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "nowhere" / "cohort.db"
    with site.mover(journal=path) as mover:
        for go in (mover.move, mover.start):
            with pytest.raises(ConfigurationError, match=r"journal '.*cohort\.db'"):
                go(batch("A"))
    assert site.pacs.requests == []


@pytest.mark.parametrize("accessions", ["AB", "BBAC", "xyAz"], ids=["studies", "twice", "not found"])
@pytest.mark.parametrize("associations", [1, 2])
def test_a_disk_that_is_full_for_the_journal(
    site: Site, monkeypatch: pytest.MonkeyPatch, accessions: str, associations: int
) -> None:
    """A journal that cannot be written ends the batch with one sentence; each row has a status that is true."""
    site.run(batch("TWO"))
    full_after(monkeypatch, 0)
    studies = [made_study(f"M{number}", instances=1) for number in range(20)]
    site.pacs.add(studies)
    everything = batch(*accessions, *(study.accession_number for study in studies))
    summary = site.run(everything, associations=associations)
    said = [error for error in summary["error"].dropna() if "disk is full" in error]
    assert len(said) >= 20
    assert len(set(said)) == 1
    assert said[0].startswith("not sent: journal")
    assert len(site.moves()) <= associations
    monkeypatch.undo()
    again = site.run(everything)
    wanted = ["not-found" if accession in "xyz" else "success" for accession in accessions]
    assert statuses(again) == wanted + ["success"] * 20


def full_after(monkeypatch: pytest.MonkeyPatch, records: int) -> None:
    """Let the disk be full for a journal after so many records."""
    good, done = Journal.record, []

    def record(self: Journal, *arguments: Any, **also: Any) -> bool:
        done.append(1)
        if len(done) > records:
            raise JournalError(
                f"journal {str(self.path)!r} cannot grow, the disk is full; make room, then run it again"
            )
        return good(self, *arguments, **also)

    monkeypatch.setattr(Journal, "record", record)


def test_a_disk_that_is_really_full(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own error of a full disk is that sentence too."""
    from dicomover.journal import database

    connect = database.connect

    def limited(path: Path, *more: Any) -> Any:
        connection, is_fresh = connect(path, *more)
        connection.execute("PRAGMA max_page_count = 1")  # that is, the present size
        return connection, is_fresh

    site.run(batch("A"))
    monkeypatch.setattr(database, "connect", limited)
    studies = [made_study(f"M{number}", instances=20, size=64) for number in range(20)]
    site.pacs.add(studies)
    summary = site.run(batch(*(study.accession_number for study in studies)))
    assert summary["error"].iloc[-1].count("the disk is full") == 1
    assert statuses(summary)[-1] == "failure"


def test_a_disk_that_is_full_during_the_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be renewed ends the batch as one that cannot be written does."""

    def renew(self: Journal) -> None:
        raise JournalError("journal 'x' cannot grow, the disk is full; make room, then run it again")

    monkeypatch.setattr(Journal, "renew", renew)
    site.pacs.misbehave["*"] = Misbehaviour("slow", seconds=0.05)
    summary = site.run(batch("B", "A", "C", "TWO"), associations=1)
    assert "the disk is full" in summary["error"].iloc[-1]
    monkeypatch.undo()
    assert set(statuses(site.run(batch("B", "A", "C", "TWO")))) <= {"success", "skipped"}


# --- the same by other keys


@pytest.mark.parametrize("again", ["plan", "found", "cohort", "with the patient", "by UID"])
def test_the_same_by_other_keys(site: Site, again: str) -> None:
    """What is complete is skipped however it is asked for again: what it comes to is what counts."""
    assert statuses(site.run(batch("A", "B"))) == ["success", "success"]
    mover = site.mover()
    table = mover.find({"AccessionNumber": "A"})
    requests: dict[str, Any] = {
        "plan": lambda: site.mover(journal=None).plan(batch("A", "B")),
        "found": lambda: pd.concat([table, mover.find({"AccessionNumber": "B"})]),
        "cohort": lambda: mover.lock(batch("A", "B"), path=None),
        "with the patient": lambda: table[["PatientID", "AccessionNumber"]],
        "by UID": lambda: table[["StudyInstanceUID"]],
    }
    with mover.open():
        site.pacs.destinations[mover.ae_title] = mover.port
        site.pacs.forget()
        summary = mover.move(requests[again]())
    assert set(statuses(summary)) == {"skipped"}
    assert not site.moves()


def test_what_is_missing_by_other_keys(site: Site) -> None:
    """What is partly here is completed, by whichever keys, and then known by all of them."""
    site.run(batch("A"))
    site.files("A")[0].unlink()
    (uid,) = site.mover().find({"AccessionNumber": "A"}).StudyInstanceUID
    assert statuses(site.run([{"StudyInstanceUID": uid}])) == ["success"]
    assert levels(site.moves()) == [("IMAGE", 1)]
    assert statuses(site.run(batch("A"))) == ["skipped"]


def test_files_that_cannot_be_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be read ends the batch with one sentence, and nothing is taken for gone."""
    site.run(batch("A"))

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dicomover.batch.stock.check_files", denied)
    with site.mover() as mover:
        summary = mover.move(batch("A", "B"))
    assert statuses(summary) == ["failure", "failure"]
    assert summary["error"].str.contains("cannot be looked at").all()
    monkeypatch.undo()
    assert statuses(site.run(batch("A"))) == ["skipped"]


def test_another_archive_of_the_same_ae_title_is_asked_for_its_own(tmp_path: Path) -> None:
    """The same accession number at two archives that call themselves alike is two studies; each is skipped later."""
    theirs = [made_study("00123", instances=count, number=count, patient=f"P{count}") for count in (2, 5)]
    with (
        DemoPacs(theirs[:1], ae_title="ANY-SCP") as one,
        DemoPacs(theirs[1:], ae_title="ANY-SCP") as two,
    ):
        sites = [Site(pacs, tmp_path) for pacs in (one, two)]
        assert [site.run({"AccessionNumber": "00123"}).received[0] for site in sites] == [2, 5]
        assert [site.run({"AccessionNumber": "00123"}).status[0] for site in sites] == ["skipped", "skipped"]


def test_an_archive_that_has_moved_keeps_what_is_recorded_of_it_by_its_name(tmp_path: Path) -> None:
    """Under one name another address is the same archive."""
    study = made_study("00123", instances=2)
    for status in ("success", "skipped"):
        with DemoPacs([study]) as pacs:
            node = Node(pacs.node.host, pacs.node.port, ae_title=pacs.node.ae_title, name="main")
            with Mover(node, receive=tmp_path, port=0, progress="none") as mover:
                pacs.destinations[mover.ae_title] = mover.port or 0
                assert mover.move({"AccessionNumber": "00123"}).status[0] == status


def test_what_a_journal_of_before_knows_is_believed_by_instances_only(tmp_path: Path) -> None:
    """Recorded under the AE title alone, a request moves what the archive that is asked now names and is not here."""
    mine, other = made_study("00123", instances=4), made_study("00123", instances=4, number=9, patient="P9")
    with DemoPacs([mine]) as pacs, Journal(tmp_path / "journal.db") as journal:
        site = Site(pacs, tmp_path)
        site.run({"AccessionNumber": "00123"})
        ((_, came),) = journal.files()
        former = Place.of(pacs.node.ae_title, None)
    (tmp_path / "journal.db").unlink()
    with Journal(tmp_path / "journal.db") as journal:
        old = journal.asked(parse_requests([{"AccessionNumber": "00123"}]).requests[0], archive=pacs.node.ae_title)
        done = Result(Status.SUCCESS, 0, expected=4, received=4)
        journal.record(old, done, place=former, brought={"": came})
    with closing(sqlite3.connect(tmp_path / "journal.db")) as connection:
        connection.execute("INSERT INTO about VALUES ('former', 'by AE title')")
        connection.commit()
    files_in(tmp_path)[0].unlink()
    with DemoPacs([other]) as foreign, DemoPacs([mine]) as pacs:
        row = Site(foreign, tmp_path).run({"AccessionNumber": "00123"}).iloc[0]
        assert (row.status, row.received, row.completed) == ("success", 4, 4)
        row = Site(pacs, tmp_path).run({"AccessionNumber": "00123"}).iloc[0]
        assert (row.status, row.received, row.completed) == ("success", 4, 1)
        assert Site(pacs, tmp_path).run({"AccessionNumber": "00123"}).status[0] == "skipped"


@pytest.mark.parametrize("replaced", [True, False])
def test_no_row_says_success_of_a_folder_that_is_gone_at_its_end(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, replaced: bool
) -> None:
    """Renamed or unmounted after the last image came and before the row ended: lost, nothing received, and why."""
    record = Resumption.record

    def rename(self: Resumption, *arguments: Any) -> None:
        site.folder.rename(tmp_path / "away")
        if replaced:
            site.folder.mkdir()
        record(self, *arguments)

    monkeypatch.setattr(Resumption, "record", rename)
    with site.mover(journal=tmp_path / "cohort.db") as mover:
        site.pacs.destinations[mover.ae_title] = mover.port or 0
        row = mover.move(batch("A")).iloc[0]
    assert (row.status, row.received, row.bytes) == ("lost", 0, 0)
    assert "gone or another one since the batch began" in row.error


def test_what_is_here_is_another_patients(tmp_path: Path) -> None:
    """A study that was moved by its UID is not complete for a row that asks for it as somebody else's."""
    with DemoPacs(STUDIES) as pacs, Mover(pacs.node, receive=tmp_path, port=0, **ONCE, progress="none") as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        uid = STUDIES[0].study_instance_uid
        assert mover.move({"StudyInstanceUID": uid})["status"].tolist() == ["success"]
        wrong = {"StudyInstanceUID": uid, "PatientID": "SOMEBODY"}
        assert mover.plan(wrong)["decision"].tolist() != ["skip"]
        assert mover.move(wrong)["status"].tolist() == ["not-found"]


def test_one_uid_of_two_patients(tmp_path: Path) -> None:
    """What was moved for one patient is not complete for another who has a study under the same UID now."""
    his = made_study("A", instances=3, patient="P-A", study_instance_uid="1.2.3")
    hers = made_study("B", instances=2, patient="P-B", study_instance_uid="1.2.3")
    with DemoPacs([his]) as pacs:
        node = replace(pacs.node, name="archive")
        with Mover(node, receive=tmp_path, port=0, **ONCE, progress="none") as mover:
            pacs.destinations["MOVESCU"] = mover.port or 0
            asked = {"PatientID": "P-A", "StudyInstanceUID": "1.2.3"}
            assert mover.move(asked)["status"].tolist() == ["success"]
            assert mover.move({"AccessionNumber": "A"})["status"].tolist() == ["skipped"], "of the same patient"
    with DemoPacs([hers]) as pacs:
        node = replace(pacs.node, name="archive")
        with Mover(node, receive=tmp_path, port=0, **ONCE, progress="none") as mover:
            pacs.destinations["MOVESCU"] = mover.port or 0
            row = mover.move({"PatientID": "P-B", "StudyInstanceUID": "1.2.3"}).loc[0]
            assert (row["status"], row["received"]) == ("success", 2)


def test_a_path_in_a_journal_that_leads_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    """An image whose path somebody has changed moves again, and what the path names is neither moved nor replaced."""
    site.run(batch("A"))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with Journal(site.folder / "journal.db") as journal:
        ((_, (first, *_)),) = journal.files()
        seen = victim.stat()
        forged = first._replace(path="../victim", size=seen.st_size, mtime_ns=seen.st_mtime_ns + 1)
        asked = journal.asked(parse_requests(batch("A")).requests[0], archive=site.node)
        (study,) = journal.entries()[asked.key].scopes or ()
        journal.record(asked, None, place=journal.places(site.node)[0], brought={study.whose: [forged]})
    (site.folder / first.path).write_bytes(b"other bytes under its name")
    assert statuses(site.run(batch("A"))) == ["success"]
    assert levels(site.moves()) == [("IMAGE", 1)]
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort", "victim"]

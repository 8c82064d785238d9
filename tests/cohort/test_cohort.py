"""Cohorts as values: what stands in a lockfile, what is read back, and what is refused."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli_kit import wait_until
from cohort_kit import SECRET, cohort_of, content_of, locked, study
from dicomover import Cohort, CohortError, ConfigurationError, Mover, Node, NodeError, RequestError
from dicomover.cohort import FIELDS, VERSION, LockState
from dicomover.cohort.content import Digest, LockedRequest, LockedSeries, LockedStudy, content_hash, hide, reveal
from dicomover.cohort.document import Document, read_document, write_document
from dicomover.cohort.frame import Frame, join_table, split_table
from dicomover.identifier import Level, Model
from dicomover.privacy import DamagedRecord, Hashed
from dicomover.testing import DemoPacs, Misbehaviour, made_study

KEEPER, OTHER = Hashed(SECRET, bytes(16)), Hashed("not the same secret", bytes(16))

uids = st.from_regex(r"[1-9][0-9]{0,3}(\.[1-9][0-9]{0,3}){1,4}", fullmatch=True)
texts = st.text(max_size=12)
cells = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts
labels = st.integers() | texts | st.tuples(texts, st.integers())
series = st.builds(LockedSeries, uids, st.sampled_from(["", "CT", "MR"]), st.lists(uids, unique=True).map(tuple))
studies = st.builds(LockedStudy, uids, st.lists(series, max_size=3).map(tuple))
requests = st.builds(
    LockedRequest,
    labels,
    st.sampled_from(Level),
    st.sampled_from(Model),
    st.dictionaries(st.sampled_from(["AccessionNumber", "PatientID", "StudyInstanceUID"]), texts),
    st.dictionaries(texts, cells.filter(lambda cell: cell not in (float("inf"), float("-inf"))), max_size=3),
    st.sampled_from(LockState),
    st.lists(studies, max_size=2).map(tuple),
    st.none() | st.integers(1, 100),
    texts,
)
digests = st.dictionaries(uids, st.builds(Digest, st.integers(0), texts, uids), max_size=3)
documents = st.builds(
    Document,
    st.lists(requests, max_size=4).map(tuple),
    st.builds(Frame, st.dictionaries(texts, st.just("string")), st.just((None,))),
    st.just(Node("pacs.example.org", 104, ae_title="ARCHIVE")),
    st.just({"level": "auto", "model": "auto", "max_matches": None}),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.just({"dicomover": "0.1.0"}),
    st.just({"privacy": "plain"}),
    digests,
)


# --- the file


@settings(max_examples=40)  # each is flushed to the disk
@given(documents)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, document: Document) -> None:
    """A lockfile gives back every request, study, series, instance and digest, and the same hash."""
    path = tmp_path_factory.mktemp("lock") / "cohort.lock.json"
    write_document(document, path)
    again = read_document(path)
    assert again == document
    assert again.hash == document.hash
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@given(requests)
def test_what_is_hidden_is_revealed_by_the_secret_alone(request: LockedRequest) -> None:
    """Nothing but UIDs can be read in hashed keys; the secret gives everything back, another one nothing."""
    hidden = hide(request, 0, KEEPER)
    assert hidden == hide(request, 0, KEEPER), "it is not the same every time"
    assert hidden.given == {}
    for key, value in request.keys.items():
        assert key == "StudyInstanceUID" or hidden.keys[key] != value
    assert hidden.label == (0 if request.label == 0 else KEEPER.digest("label", request.as_json()["label"]))
    assert reveal(hidden, KEEPER) == request
    with pytest.raises(DamagedRecord):
        reveal(hidden, OTHER)


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["requests"][0]["studies"][0]["series"][0]["SOPInstanceUID"].append("1.9"),
        lambda content: content["archive"].update(port=105),
        lambda content: content.update(hash="sha256:0"),
        lambda content: content.update(extra=1),
        lambda content: content["requests"].clear(),
        lambda content: content.pop("checksum"),
        lambda content: content["requests"][0]["keys"].update(AccessionNumber="2"),
    ],
)
def test_an_edit_is_an_error(tmp_path: Path, edit: Any) -> None:
    """Whatever is changed by hand, the checksum shows it."""
    path = tmp_path / "cohort.lock.json"
    cohort_of(locked(study("1", {"1.1": ["1.1.1"]}))).save(path)
    content = content_of(path)
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match=r"cohort\.lock\.json was edited or damaged after it was written"):
        Cohort.load(path)


def with_checksum(content: dict[str, Any]) -> str:
    """Return a lockfile as somebody would write it who also mends the checksum."""
    from dicomover.cohort.document import _checksum

    content["checksum"] = _checksum(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda content: content.update(version=VERSION + 1), "a newer one wrote it: upgrade"),
        (lambda content: content.update(format="something else"), "is no lockfile: its 'format'"),
        (lambda content: content["requests"][0].update(state="lost"), "cannot be read .*'lost'"),
        (lambda content: content["requests"][0].update(instances=7), "numbers of instances are not those"),
        (lambda content: content.pop("requests"), "cannot be read .*requests"),
        (lambda content: content["requests"][0]["keys"].update(AccessionNumber=2), "int where a text is due"),
        (lambda content: content["archive"].update(ae_title="far too long for an AE"), "cannot be read"),
        (lambda content: content["requests"][0]["keys"].update(AccessionNumber="2"), "not hold what its hash says"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, edit: Any, says: str) -> None:
    """A newer version, another file, and content that cannot be are told apart."""
    path = tmp_path / "cohort.lock.json"
    cohort_of(locked(study("1", {"1.1": ["1.1.1"]}))).save(path)
    content = content_of(path)
    edit(content)
    path.write_text(with_checksum(content))
    with pytest.raises(CohortError, match=says):
        Cohort.load(path)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe\x00", b"[]", b'"text"', b"AccessionNumber\n1\n"])
def test_another_file_is_no_lockfile(tmp_path: Path, raw: bytes) -> None:
    """A file that is no JSON, or other JSON, is an error of ours."""
    path = tmp_path / "cohort.csv"
    path.write_bytes(raw)
    with pytest.raises(CohortError, match="is no lockfile"):
        Cohort.load(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old lockfile stays whole until the new one is, and nothing is left beside it."""
    path = tmp_path / "cohort.lock.json"
    cohort_of(locked()).save(path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dicomover.cohort.document.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        cohort_of(locked(study("1", {"1.1": ["1.1.1"]}))).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_schema_names_every_field() -> None:
    """The table of fields has each field of a full lockfile, and no other."""
    request = locked(study("1", {"1.1": ["1.1.1"]}), more_than=1, note="x", sealed="x")
    cohort = cohort_of(request, digests={"1.1.1": Digest(1, "x", "1.2")})
    content = cohort.document.as_json()
    free = {"archive", "query", "software", "privacy", "index", "columns", "requests[].keys", "requests[].given"}

    def paths(value: object, path: str) -> set[str]:
        found = {path} if path else set()
        if isinstance(value, dict) and path not in free:
            for name, below in value.items():
                name = "*" if path == "digests" else name
                found |= paths(below, f"{path}.{name}" if path else name)
        elif isinstance(value, list) and path not in free:
            for below in value:
                found |= paths(below, f"{path}[]") if isinstance(below, dict) else set()
        return found

    named = {field.path for field in FIELDS}
    found = {path for path in paths(content, "") if not path.endswith(("[]", "*"))}
    assert found == named


LOCKFILE = json.dumps(cohort_of(locked(study("1", {"1.1": ["1.1.1"]}))).document.as_json(), indent=1).encode()


@given(st.integers(0, len(LOCKFILE) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_no_damage_is_taken_for_content(
    tmp_path_factory: pytest.TempPathFactory, at: int, put: bytes, gone: int
) -> None:
    """Whatever bytes are lost or changed, it is the same cohort or an error of ours."""
    path = tmp_path_factory.mktemp("lock") / "cohort.lock.json"
    path.write_bytes(LOCKFILE[:at] + put + LOCKFILE[at + gone :])
    try:
        cohort = Cohort.load(path)
    except CohortError:
        return
    assert cohort.document.as_json() == json.loads(LOCKFILE)


# --- the hash


def test_the_hash_is_about_requests_and_what_they_came_to() -> None:
    """Order of rows, a label, a key, a row, a state and an instance count; the note does not."""
    one, two = locked(study("1", {"1.1": ["1.1.1"]})), locked(study("2", {"2.1": ["2.1.1"]}), label=1)
    whole = content_hash([one, two])
    others = [
        [two, one],
        [locked(study("1", {"1.1": ["1.1.1"]}), label="a"), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), keys={"AccessionNumber": "3"}), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), given={"AccessionNumber": "1", "age": 3}), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), state=LockState.CUT_SHORT), two],
        [locked(study("1", {"1.1": ["1.1.1", "1.1.2"]})), two],
        [locked(study("1", {"1.1": ["1.1.1"]}), level=Level.SERIES), two],
        [one],
    ]
    hashes = [content_hash(other) for other in others]
    assert len({whole, *hashes}) == len(others) + 1
    assert content_hash([locked(study("1", {"1.1": ["1.1.1"]}), note="a word"), two]) == whole
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", whole)


# --- the rows


@given(st.lists(st.tuples(texts, st.none() | st.integers(-(2**53), 2**53), st.booleans()), max_size=5))
def test_a_table_comes_back(rows: list[tuple[object, ...]]) -> None:
    """Texts, gaps, numbers and truth values have the dtype and the value that they had."""
    table = pd.DataFrame(rows, columns=["text", "number", "truth"])
    table = table.astype({"text": "string", "number": "Int64", "truth": "bool"})
    frame, names, taken = split_table(table)
    pd.testing.assert_frame_equal(join_table(frame, names, json.loads(json.dumps(taken))), table)


def test_what_json_has_no_word_for_comes_back_as_text() -> None:
    """Categories and odd objects are kept as text, infinite numbers too, and gaps stay gaps."""
    table = pd.DataFrame(
        {
            "split": pd.Categorical(["train", None]),
            "share": [float("inf"), float("nan")],
            "odd": [("a", 1), None],
            7: [1, 2],
        },
        index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["site", None]),
    )
    frame, names, rows = split_table(table)
    again = join_table(frame, names, json.loads(json.dumps(rows, allow_nan=False)))
    assert again.index.equals(table.index)
    assert list(again.index.names) == ["site", None]
    assert again["split"].tolist() == ["train", pd.NA]
    assert again["share"].tolist()[0] == float("inf")
    assert again["share"].isna().tolist() == [False, True]
    assert again["odd"].tolist()[0] == "('a', 1)"
    assert again["7"].tolist() == [1, 2]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_moments_come_back_as_moments(pacs: DemoPacs, tmp_path: Path, zone: str | None) -> None:
    """A column of moments rides along through a lockfile as it was, time zone and gaps included."""
    when = pd.Series(pd.to_datetime(["2024-01-31 10:30", None])).dt.tz_localize(zone)
    table = pd.DataFrame({"AccessionNumber": ["00123", "4"], "when": when})
    Mover(pacs.node).lock(table, tmp_path / "cohort.lock.json")
    pd.testing.assert_series_equal(Cohort.load(tmp_path / "cohort.lock.json").requests["when"], when, check_names=False)


def test_two_columns_of_one_name_are_refused() -> None:
    """They could not be told apart in the file."""
    with pytest.raises(RequestError, match="'age' is there twice"):
        split_table(pd.DataFrame([[1, 2]], columns=["age", "age"]))


# --- locked at an archive


@pytest.fixture
def pacs() -> Any:
    """Run an archive of four studies."""
    studies = [
        made_study("00123", series=2, instances=3, patient="P-1"),
        made_study("TWO", instances=2, number=1, patient="P-2"),
        made_study("TWO", instances=1, number=2, patient="P-2"),
        made_study("B", instances=2, patient="P-3"),
    ]
    with DemoPacs(studies) as running:
        yield running


def test_every_request_is_locked_whatever_it_comes_to(pacs: DemoPacs, tmp_path: Path) -> None:
    """Found, several studies, nothing, and too many have a row each, and the file says the same as the value."""
    table = pd.DataFrame(
        {"AccessionNumber": ["00123", "TWO", "4711", "B"], "age": [1.5, None, 3, 4]}, index=["w", "x", "y", "z"]
    )
    cohort = Mover(pacs.node, max_matches=2).lock(table, tmp_path / "c.json")
    rows = cohort.requests
    assert list(rows.index) == ["w", "x", "y", "z"]
    assert rows["state"].tolist() == ["found", "found", "not-found", "found"]
    assert rows["matches"].tolist() == [1, 2, 0, 1]
    assert rows["instances"].tolist() == [6, 3, 0, 2]
    assert rows["age"].isna().tolist() == [False, True, False, False]
    assert cohort.studies["series"].tolist() == [2, 1, 1, 1]
    assert sorted(cohort.series["instances"]) == [1, 2, 2, 3, 3]
    held = {instance.sop_instance_uid for each in pacs.studies for instance in each.instances()}
    assert set(cohort.instances["SOPInstanceUID"]) == held
    again = Cohort.load(tmp_path / "c.json")
    assert again == cohort
    pd.testing.assert_frame_equal(again.requests, rows)
    assert "P-1" not in repr(cohort)
    assert repr(cohort) == repr(again)
    narrow = Mover(pacs.node, max_matches=1).lock(table, path=None)
    assert narrow.requests["state"].tolist() == ["found", "too-many", "not-found", "found"]
    assert narrow.requests["matches"].isna().tolist() == [False, True, False, False]


def test_levels_lock_what_they_name(pacs: DemoPacs) -> None:
    """A patient locks all studies, a series and an image only themselves; a UID that is not there is told."""
    first = pacs.study("00123")
    one, two = first.series
    above = {"StudyInstanceUID": first.study_instance_uid}
    keys = [
        {**above, "SeriesInstanceUID": one.series_instance_uid},
        {
            **above,
            "SeriesInstanceUID": two.series_instance_uid,
            "SOPInstanceUID": [two.instances[0].sop_instance_uid, "1.2.3"],
        },
        {"StudyInstanceUID": [first.study_instance_uid, "1.2.3"]},
        {"StudyInstanceUID": "1.2.3"},
    ]
    cohort = Mover(pacs.node).lock(keys, path=None)
    assert cohort.requests["state"].tolist() == ["found", "incomplete", "incomplete", "not-found"]
    assert cohort.requests["instances"].tolist() == [3, 1, 6, 0]
    assert cohort.requests["note"][1] == "1 of the images that it names are not in the archive"
    patient = Mover(pacs.node, level="PATIENT").lock({"PatientID": "P-2"}, path=None)
    assert patient.requests["instances"].tolist() == [3]
    assert len(patient.studies) == 2


def test_a_wrong_patient_hides_no_study_from_others(pacs: DemoPacs) -> None:
    """A study that is not found under one patient is found by another row that does not name the patient."""
    study = {"StudyInstanceUID": pacs.study("00123").study_instance_uid}
    cohort = Mover(pacs.node, associations=1).lock([{"PatientID": "P-9", **study}, study], path=None)
    assert cohort.requests["state"].tolist() == ["not-found", "found"]


def test_two_locks_have_the_same_hash(pacs: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In whichever order the archive answers, at whichever time, with or without a file there."""
    rows = [{"AccessionNumber": "TWO"}, {"AccessionNumber": "00123"}, {"AccessionNumber": "nobody"}]
    mover = Mover(pacs.node)
    first = mover.lock(rows, tmp_path / "c.json")
    hidden = mover.lock(rows, path=None, privacy="hashed", secret=SECRET)
    before = (tmp_path / "c.json").read_bytes()
    from dicomover.wire.lines import Line

    find = Line.find
    monkeypatch.setattr(Line, "find", lambda *args, **more: find(*args, **more)[::-1])
    second = mover.lock(rows, tmp_path / "c.json")
    assert second.hash == first.hash
    assert second.created == first.created, "the file that was there should be what is returned"
    assert (tmp_path / "c.json").read_bytes() == before
    assert mover.lock(rows, path=None, privacy="hashed", secret=SECRET).hash == hidden.hash != first.hash


def test_a_lockfile_that_says_otherwise_stays(pacs: DemoPacs, tmp_path: Path) -> None:
    """A changed archive does not replace what was locked, unless that is said."""
    mover, path = Mover(pacs.node), tmp_path / "c.json"
    first = mover.lock({"AccessionNumber": "TWO"}, path)
    pacs.add(made_study("TWO", number=3))
    with pytest.raises(CohortError, match=r"c\.json was locked on .* says otherwise"):
        mover.lock({"AccessionNumber": "TWO"}, path)
    assert Cohort.load(path) == first
    second = mover.lock({"AccessionNumber": "TWO"}, path, overwrite=True)
    assert Cohort.load(path) == second != first
    path.write_text("{}")
    asked = len(pacs.requests)
    with pytest.raises(CohortError, match="is no lockfile"):
        mover.lock({"AccessionNumber": "TWO"}, path)
    assert len(pacs.requests) == asked, "the archive was asked although the result could not be kept"


def test_hashed_keys_name_no_patient(pacs: DemoPacs, tmp_path: Path) -> None:
    """Neither keys, nor rows, nor labels can be read in the file; with the secret they come back."""
    table = pd.DataFrame({"PatientID": ["P-1", "P-3"], "name": ["Canary^One", "Canary^Two"]}, index=["mrn-1", "mrn-2"])
    path = tmp_path / "c.json"
    cohort = Mover(pacs.node).lock(table, path, privacy="hashed", secret=SECRET)
    text = path.read_text()
    for secret in ("P-1", "P-3", "Canary", "mrn-1", SECRET):
        assert secret not in text
    assert pacs.study("00123").study_instance_uid in text
    blind = Cohort.load(path)
    assert blind == cohort
    assert not blind.is_readable
    assert "P-1" not in blind.requests.to_string()
    assert blind.requests["instances"].tolist() == [6, 2]
    seeing = Cohort.load(path, secret=SECRET)
    pd.testing.assert_frame_equal(seeing.given, cohort.given)
    assert seeing.given["name"].tolist() == ["Canary^One", "Canary^Two"]
    assert list(seeing.given.index) == ["mrn-1", "mrn-2"]
    with pytest.raises(ConfigurationError, match="begun with another secret"):
        Cohort.load(path, secret="another good secret")
    Mover(pacs.node).lock(table, tmp_path / "plain.json")
    with pytest.raises(ConfigurationError, match="a secret was given"):
        Cohort.load(tmp_path / "plain.json", secret=SECRET)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"privacy": "hashed"}, "needs secret="),
        ({"privacy": "hashed", "secret": "short"}, "can be guessed"),
        ({"secret": SECRET}, "a secret was given"),
        ({"privacy": "none"}, "neither 'plain' nor 'hashed'"),
    ],
)
def test_privacy_that_cannot_be_meant(pacs: DemoPacs, options: dict[str, Any], says: str) -> None:
    """It is refused before the archive is asked."""
    with pytest.raises(ConfigurationError, match=says):
        Mover(pacs.node).lock({"AccessionNumber": "B"}, path=None, **options)
    assert not pacs.requests


def test_an_archive_that_names_less_than_it_counts() -> None:
    """The request is locked as cut short, not as found."""
    with DemoPacs([made_study("A")], misbehave={"A": "find-counts-more"}) as pacs:
        cohort = Mover(pacs.node).lock({"AccessionNumber": "A"}, path=None)
    assert cohort.requests["state"].tolist() == ["cut-short"]
    assert "counts more instances than it names" in cohort.requests["note"][0]


def test_an_archive_that_refuses_one_request() -> None:
    """The request is locked as refused, the others as found."""
    with DemoPacs([made_study("A"), made_study("B")], misbehave={"A": "find-refused"}) as pacs:
        cohort = Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
    assert cohort.requests["state"].tolist() == ["refused", "found"]


def test_an_association_that_is_lost_while_locking() -> None:
    """It is opened again, and the cohort is whole."""
    once = Misbehaviour("find-aborts", times=1)
    with DemoPacs([made_study("A"), made_study("B")], misbehave={"B": once}) as pacs:
        cohort = Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
    assert cohort.requests["instances"].tolist() == [3, 3]


def test_an_unknown_option_of_lock_is_an_error(pacs: DemoPacs) -> None:
    """As for every verb."""
    with pytest.raises(TypeError, match="cannot be said per call"):
        Mover(pacs.node).lock({"AccessionNumber": "A"}, path=None, unknown=1)  # type: ignore[call-arg]


def test_a_lock_works_side_by_side() -> None:
    """Over as many associations as are allowed, or as the archive takes; the hash is the same."""
    studies = [made_study(f"S{number}") for number in range(8)]
    rows = [{"AccessionNumber": study.accession_number} for study in studies]
    slow = {"*": Misbehaviour("find-slow", seconds=0.02)}
    hashes = set()
    for allowed, taken in ((None, 4), (2, 2), (1, 1)):
        with DemoPacs(studies, misbehave=slow, max_associations=allowed) as pacs:
            cohort = Mover(pacs.node, associations=4).lock(rows, path=None)
            assert pacs.most_associations == taken
            wait_until(lambda: not pacs.open_associations)
        hashes.add(cohort.hash)
    assert len(hashes) == 1


def test_what_stops_a_lock_stops_all_of_it() -> None:
    """An archive that aborts one C-FIND again and again is an error at once, though it never answers another one."""
    studies = [made_study("A"), made_study("B")]
    with DemoPacs(studies, misbehave={"A": "find-hangs", "B": "find-aborts"}) as pacs:
        begun = time.monotonic()
        with pytest.raises(NodeError):
            Mover(pacs.node).lock([{"AccessionNumber": "A"}, {"AccessionNumber": "B"}], path=None)
        assert time.monotonic() - begun < 20


def test_no_patient_in_logs_reprs_and_notes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Locked, verified after a change, checked and refused: nothing says who the patient is, unless a row does."""
    caplog.set_level("DEBUG")
    canaries = ("CANARY-1", "Canary^One", "ACC-CANARY")
    one = made_study("ACC-CANARY", patient="CANARY-1", name="Canary^One")
    rows = [{"PatientID": "CANARY-1", "AccessionNumber": "ACC-CANARY"}, {"PatientName": "Canary^One"}]
    with DemoPacs([one]) as pacs:
        mover = Mover(pacs.node)
        cohort = mover.lock(rows, path=None, privacy="hashed", secret=SECRET)
        pacs.remove(one)
        drift = mover.verify(cohort)
        pacs.misbehave["*"] = "find-refused"
        unknown = mover.verify(cohort)
    check = cohort.check(tmp_path)
    assert [len(table) for table in (drift, unknown, check)] == [2, 2, 6]
    shown = [caplog.text, repr(cohort), repr(cohort.locked), repr(cohort.document)]
    shown += [table.to_string() for table in (drift, unknown, check, cohort.studies, cohort.series, cohort.instances)]
    for canary in canaries:
        assert not [text for text in shown if canary in text]

"""The lockfile: what is written is read back, and what is refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cohort_kit import cohort_of, content_of, locked, study
from cohort_strategies import documents
from dicomover import Cohort, CohortError, Mover
from dicomover.cohort import FIELDS, VERSION
from dicomover.cohort.content import Digest, LockedRequest, content_hash
from dicomover.cohort.document import Document, _checksum, read_document, write_document
from dicomover.testing import DemoPacs, made_study


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])  # each is flushed to the disk
@given(documents)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, document: Document) -> None:
    """A lockfile gives back every request, study, series, instance and digest, and the same hash."""
    path = tmp_path_factory.mktemp("lock") / "cohort.lock.json"
    write_document(document, path)
    again = read_document(path)
    assert again == document
    assert again.hash == document.hash
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_no_lockfile(tmp_path: Path) -> None:
    """Nobody waits for what may never be written into it; nor is it replaced by a lockfile."""
    path = tmp_path / "cohort.lock.json"
    os.mkfifo(path)
    with pytest.raises(CohortError, match="is no file"):
        Cohort.load(path)
    with pytest.raises(FileExistsError, match="no file"):
        cohort_of().save(path)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert path.is_fifo()


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
    content = replace(cohort.document, mac="x").as_json()
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


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["archive"].update(host="evil.example.org"),
        lambda content: content["query"].update(max_matches=None),
        lambda content: content["requests"][0].update(studies=[], instances=0),
        lambda content: content["requests"][0]["keys"].update(AccessionNumber="0" * 32),
        lambda content: content.update(requests=[*content["requests"], content["requests"][0]]),
        lambda content: content.pop("mac"),
        lambda content: content.pop("digests"),
        lambda content: next(iter(content["digests"].values())).update(sha256="0" * 64),
        lambda content: next(iter(content["digests"].values())).update(size=1),
    ],
)
def test_what_somebody_without_the_secret_has_changed_is_refused(tmp_path: Path, change: Any) -> None:
    """Host, query, requests and digests are under the keyed hash: a file whose other hashes fit is refused too."""
    path, hashed = tmp_path / "c.json", {"privacy": "hashed", "secret": "0123456789abcdef"}
    study = made_study("00123")
    for instance in study.instances():
        (tmp_path / f"{instance.number}.dcm").write_bytes(instance.file_bytes())
    with DemoPacs([study]) as pacs:
        mover = Mover(pacs.node)
        mover.lock({"AccessionNumber": "00123"}, path, **hashed).seal(tmp_path).save(path)
        assert mover.lock({"AccessionNumber": "00123"}, path, **hashed).is_sealed
        with pytest.raises(CohortError, match="sealing needs the secret"):
            Cohort.load(path).seal(tmp_path)
    assert Cohort.load(path, secret="0123456789abcdef").is_authentic
    assert not Cohort.load(path).is_authentic
    content = json.loads(path.read_text())
    change(content)
    content["hash"] = content_hash([LockedRequest.from_json(each) for each in content["requests"]])
    content["checksum"] = _checksum(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CohortError, match="somebody without the secret"):
        Cohort.load(path, secret="0123456789abcdef")
    if content["hash"] == Cohort.load(path).hash and "AccessionNumber" in str(content["requests"][0]["keys"]):
        with DemoPacs([study]) as pacs, pytest.raises(CohortError, match=r"without the secret|says otherwise"):
            Mover(pacs.node).lock({"AccessionNumber": "00123"}, path, **hashed)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"format": ' * 50_000, '{"format": "dicomover cohort", "version": [[]]}']
)
def test_a_lockfile_of_a_kind_that_nobody_writes_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    """However deep or odd: a sentence, and no RecursionError."""
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CohortError):
        Cohort.load(tmp_path / "c.json")

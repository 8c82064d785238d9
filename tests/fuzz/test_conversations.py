"""Fuzzing whole conversations: whatever an archive says and sends, every request ends in time, in a row that is true.

A real Mover asks a scripted archive over real sockets, and the archive sends to the Mover's own receiver or claims to
send to a third party. Each PDU may be changed, cut, left out, held back, doubled, delayed, or followed by silence, and
each element of a message replaced, doubled or left out.

Some hundreds of conversations with every test run, at most for a minute. For as many as one likes::

    DICOMOVER_FUZZ=20000 DICOMOVER_FUZZ_SEED=1 python -m pytest -n 0 --timeout 0 tests/fuzz/test_conversations.py

One that failed is named `seed-number`; `DICOMOVER_FUZZ_FIRST=number DICOMOVER_FUZZ=1` begins with it.
"""

from __future__ import annotations

import faulthandler
import itertools
import logging
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest

from conversation_kit import CANARY, FOREIGN_SOP, Archive, Chest, Plan, make_chest
from dicomover import AnswerWarning, Mover, Node, NodeError, Retry, Timeouts
from dicomover.receiver import Limits, Receiver
from receiver_kit import HASTY

INPUTS = int(os.environ.get("DICOMOVER_FUZZ", "400"))
SEED = os.environ.get("DICOMOVER_FUZZ_SEED", "0")
FIRST = int(os.environ.get("DICOMOVER_FUZZ_FIRST", "0"))
SECONDS = 45.0 if "DICOMOVER_FUZZ" not in os.environ else float("inf")
SIDE_BY_SIDE = 8
LONGEST = 30.0  # seconds of one conversation, on a machine that is busy
HURRIED = Timeouts(connect=2, acse=0.6, dimse=0.6, stall=0.6, progress=2, total=4)
PATIENT = Timeouts(connect=10, acse=10, dimse=10, stall=10, total=20)
STATUSES = {"success", "warning", "partial", "failure", "empty", "not-found", "lost", "cancelled", "skipped"}


@pytest.fixture(autouse=True)
def mistakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Shorten what a Mover waits for by itself, and collect what it logs as an error of its own."""
    monkeypatch.setattr("dicomover.batch.arrivals.STRAGGLER_SECONDS", 1.0)
    monkeypatch.setattr("dicomover.wire.lines._RECONNECT_AFTER", (0.02, 0.05))
    found: list[str] = []

    class Fails(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    ours, handler = logging.getLogger("dicomover"), Fails(logging.ERROR)
    before = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(logging.ERROR)
    ours.propagate = False  # or pytest keeps each record
    yield found
    ours.removeHandler(handler)
    ours.setLevel(before[0])
    ours.propagate = before[1]


def mover_at(archive: Archive, folder: Path | None, limits: Limits = HASTY, **options: Any) -> Mover:
    """Return a Mover whose receiver runs on threads of this process."""
    node = Node("127.0.0.1", archive.port, ae_title="ARCHIVE")
    if folder is None:
        return Mover(node, destination="ELSEWHERE", progress="none", **options)
    mover = Mover(node, receive=folder, port=0, progress="none", **options)
    mover._receiver = mover._session.receiver = Receiver(
        folder,
        ae_title="MOVESCU",
        on_event=mover._session.deliver,
        port=0,
        bind="127.0.0.1",
        own_process=False,
        limits=limits,
        free_space_floor=0,
    )
    return mover


def asked_of(chance: Random, chests: list[Chest]) -> tuple[list[dict[str, Any]], list[set[str]]]:
    """Return requests, and the instances that each stands for."""
    rows: list[dict[str, Any]] = []
    meant: list[set[str]] = []
    for chest in chests:
        everything = set(chest.images)
        series, _ = chance.choice(list(chest.images.values()))
        inside = chest.select(series, [])
        some = chance.sample(inside, chance.randrange(1, len(inside) + 1))
        row, sops = chance.choice(
            [
                ({"AccessionNumber": chest.accession}, everything),
                ({"AccessionNumber": chest.accession}, everything),
                ({"StudyInstanceUID": chest.study}, everything),
                ({"StudyInstanceUID": chest.study, "SeriesInstanceUID": series}, set(inside)),
                ({"StudyInstanceUID": chest.study, "SeriesInstanceUID": series, "SOPInstanceUID": some}, set(some)),
            ]
        )
        rows.append(row)
        meant.append(sops)
    return rows, meant


def files_below(folder: Path) -> dict[str, list[Path]]:
    """Return the files of a folder by the SOP Instance UID in their names, and see that none is a part."""
    found: dict[str, list[Path]] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("journal.db"):
            assert path.name.endswith(".dcm"), f"{path.name} was left behind"
            found.setdefault(path.name.removesuffix(".dcm"), []).append(path)
    return found


def check_rows(summary: pd.DataFrame, archive: Archive, meant: list[set[str]], folder: Path | None) -> None:
    """See that each row says what is so."""
    files = {} if folder is None else files_below(folder)
    assert FOREIGN_SOP not in files, "another patient's image was let in"
    whole = {sop: data for chest in archive.chests for sop, (_, data) in chest.images.items()}
    for row, sops, chest in zip(summary.itertuples(), meant, archive.chests, strict=True):
        status, error = str(row.status), "" if pd.isna(row.error) else str(row.error)
        assert status in STATUSES
        assert "internal error" not in error, error
        assert CANARY not in error, error
        assert "CANARY" not in error, error
        assert status in ("success", "skipped", "warning") or error, f"a row is {status} and does not say why"
        if chest.study in archive.refused and row.attempts == 1:
            assert "firewall" not in error, f"blames the firewall for what we refused: {error}"
        if archive.plan.optional:
            assert status != "lost", f"lost by what nobody needs: {error}"
            assert folder is None or sops <= set(files), f"an image less by what nobody needs: {error}"
        if status not in ("success", "warning"):
            continue
        numbers = {name: None if pd.isna(getattr(row, name)) else int(getattr(row, name)) for name in COUNTS}
        due = max(numbers["expected"] or 0, numbers["completed"] or 0)
        if folder is None:
            assert not numbers["failed"]
            assert (numbers["completed"] or 0) + (numbers["warning"] or 0) >= (numbers["expected"] or 1)
            continue
        assert numbers["received"], "a success without a file"
        assert numbers["received"] >= due
        assert len(files) >= numbers["received"]
        if not archive.answers_altered:
            assert sops <= set(files), f"a success without {len(sops - set(files))} of {len(sops)} files"
            assert numbers["expected"] in (None, len(sops))
            assert numbers["received"] == len(sops) or archive.altered, "counts what is not of the request"
        for sop in sops & set(files):
            found = [path.read_bytes() for path in files[sop]]
            if sop in archive.altered:
                assert all(is_whole(raw) for raw in found), "a file that ends inside an element"
            else:
                assert any(raw.endswith(whole[sop]) for raw in found), "other bytes than were sent"


def look_only(mover: Mover, chance: Random, rows: list[dict[str, Any]]) -> str:
    """Ask without moving; whatever comes, it is a table, a warning, or an error that names the node."""
    verb = chance.choice(["echo", "find", "series", "plan", "lock", "diagnose"])
    try:
        match verb:
            case "echo":
                mover.echo()
            case "find":
                mover.find({**rows[0], "PatientID": "", "StudyDate": "", "NumberOfStudyRelatedInstances": ""})
            case "series":
                mover.find({"StudyInstanceUID": "1.2", "SeriesInstanceUID": "", "Modality": ""}, level="SERIES")
            case "plan":
                planned = mover.plan(rows)
                assert not planned["error"].fillna("").str.contains("internal error|CANARY").any()
            case "lock":
                cohort = mover.lock(rows, path=None)
                mover.verify(cohort)
            case _:
                mover.diagnose()
    except (NodeError, AnswerWarning):
        pass
    return verb


def is_whole(raw: bytes) -> bool:
    """Tell whether a file's data set, Explicit VR Little Endian without sequences, ends with its last element."""
    at = 144 + int.from_bytes(raw[140:144], "little")
    while at < len(raw):
        is_long = raw[at + 4 : at + 6] in (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"UC", b"UR", b"UT", b"SQ")
        start, size = (at + 8, 4) if is_long else (at + 6, 2)
        at = start + size + int.from_bytes(raw[start : start + size], "little")
    return at == len(raw)


COUNTS = ("expected", "completed", "failed", "warning", "received")


def converse(number: int, root: Path) -> list[str]:
    """Have one conversation, and return the statuses that it came to."""
    seed = f"{SEED}-{number}"
    chance = Random(seed)
    plan = Plan(chance.choice([0, 0.03, 0.1, 0.3]), chance.choice([0, 0, 0.03, 0.1, 0.3]))
    if is_mild := chance.random() < 0.1:
        plan = Plan(optional=0.5, patience=20)
    chests = [make_chest(chance, 2 * number + each) for each in range(chance.choice([1, 2, 2]))]
    rows, meant = asked_of(chance, chests)
    home = root / str(number)
    home.mkdir()
    folder = chance.choice([home / "in", home / "in", None])
    options: dict[str, Any] = {
        "verify": chance.choice(["counts", "counts", "instances", "none"]),
        "associations": chance.choice([1, 2]),
        "retry": chance.choice(["none", "none", Retry(attempts=2, first_wait=0.02, longest_wait=0.02)]),
    }
    keeps = folder is not None and chance.random() < 0.4
    options["journal"] = "auto" if keeps else None
    with Archive(seed, chests, plan) as archive:
        how = (Limits(), PATIENT) if is_mild else (HASTY, HURRIED)
        with mover_at(archive, folder, how[0], timeouts=how[1], **options) as mover:
            archive.destination = mover.port
            summary = None
            if chance.random() < 0.15:
                said = [look_only(mover, chance, rows)]
            else:
                try:
                    summary = mover.move(rows)
                    said = [str(status) for status in summary["status"]]
                except NodeError:  # no association at all: nothing was asked
                    said = ["unreachable"]
        if summary is not None:
            check_rows(summary, archive, meant, folder)
        if keeps and folder is not None:
            archive.plan, were_answers_altered = Plan(patience=20), archive.answers_altered
            with mover_at(archive, folder, Limits(), timeouts=PATIENT, **{**options, "retry": "none"}) as mover:
                archive.destination = mover.port
                again = mover.move(rows)
            check_rows(again, archive, meant, folder)
            assert set(again["status"]) <= {"success", "skipped"}, f"the rerun came to {again[['status', 'error']]}"
            if summary is not None and not were_answers_altered:
                for status, then in zip(said, again["status"], strict=True):
                    assert then == "skipped" or status not in ("success", "warning"), "the journal disbelieves it"
            left = set.union(*meant) - set(files_below(folder))
            assert not left, f"the rerun leaves out {len(left)} instances"
    assert {path.name for path in home.iterdir()} <= {"in"}, "something lies beside the folder"
    shutil.rmtree(home)
    return said


def test_conversations(tmp_path: Path, mistakes: list[str]) -> None:
    """No conversation hangs, raises, leaves a part or a file elsewhere, or ends in a row that is not true."""
    numbers = itertools.count(FIRST)
    said: Counter[str] = Counter()
    wrong: list[str] = []
    begun: dict[int, float] = {}
    until = time.monotonic() + SECONDS

    def work() -> None:
        while not wrong and time.monotonic() < until and (number := next(numbers)) < FIRST + INPUTS:
            begun[number] = time.monotonic()
            try:
                said.update(converse(number, tmp_path))
            except BaseException as error:
                wrong.append(f"{SEED}-{number}: {type(error).__name__}: {error}")
                if not isinstance(error, AssertionError):
                    raise
            finally:
                del begun[number]

    crew = [threading.Thread(target=work, name=f"crew {each}", daemon=True) for each in range(SIDE_BY_SIDE)]
    for thread in crew:
        thread.start()
    while any(thread.is_alive() for thread in crew):
        time.sleep(0.1)
        slow = [number for number, since in list(begun.items()) if time.monotonic() - since > LONGEST]
        if slow:
            faulthandler.dump_traceback()
            pytest.fail(f"conversation {SEED}-{slow[0]} hangs")
    sys.stdout.write(f"{dict(said)}\n")  # shown by -s, and where it fails
    assert not wrong, "\n".join(wrong)
    assert not mistakes, mistakes
    assert said["success"] > said.total() / 20, f"hardly anything succeeds, so nothing is shown: {said}"

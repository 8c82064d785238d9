"""One batch of a made-up patient through every face: nothing of them is seen by default, all of it where asked for."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dicomover
from cli_kit import Shell
from dicomover import Mover
from dicomover.journal import Journal
from dicomover.progress import notebook, views
from dicomover.testing import DemoPacs, made_study

LABEL, PATIENT, ACCESSION = "Canaria^Serinus", "CANARY-4711", "CANARY-ACC-7"
LONG = "CANARY-LONGER-THAN-16"
SECRETS = ("anaria", "erinus", "ANARY")
DATE = "19480229"


def table() -> pd.DataFrame:
    """Return requests that end in every way, their rows named by patients."""
    accessions = [ACCESSION, "CANARY-ACC-8", "CANARY-NONE", LONG, "CANARY-TWO", f" {ACCESSION}"]
    names = [LABEL, "Canaria^Partial", "Canaria^Nobody", "Canaria^Long", "Canaria^Two", "Canaria^Wrong"]
    columns = {"PatientID": PATIENT, "AccessionNumber": accessions, "PatientBirthDate": DATE, "note": LABEL}
    return pd.DataFrame(columns, index=names)


def studies() -> list[Any]:
    """Return what the archive has of them."""
    more: dict[str, Any] = {"patient": PATIENT, "name": LABEL}
    return [
        made_study(ACCESSION, instances=3, **more),
        made_study("CANARY-ACC-8", instances=3, **more),
        made_study("CANARY-TWO", number=1, **more),
        made_study("CANARY-TWO", number=2, **more),
    ]


class Terminal(io.StringIO):
    """A stderr that says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Handle:
    """Stands for an output of a cell; keeps all that was ever shown there."""

    def __init__(self, bundle: dict[str, Any], shown: list[str]) -> None:
        self._shown = shown
        self.update(bundle, raw=True)

    def update(self, bundle: dict[str, Any], *, raw: bool) -> None:
        """Keep what is shown."""
        self._shown.append(repr(bundle))


def run_batch(folder: Path, monkeypatch: pytest.MonkeyPatch, *, show_keys: bool) -> dict[str, str]:
    """Move the table once for each way to show progress, and return what each face has told."""
    shown: list[str] = []
    monkeypatch.setattr(views, "_shell", lambda: object())
    monkeypatch.setattr(notebook, "_display", lambda bundle: Handle(bundle, shown))
    update = notebook._Panel.update

    def watched(panel: Any, *args: Any) -> None:
        update(panel, *args)
        shown.extend(str(widget.value) for widget in (panel._top, panel._body, panel._table))
        shown.extend(panel._fold.titles)

    monkeypatch.setattr(notebook._Panel, "update", watched)
    faces: dict[str, str] = {}
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with DemoPacs(studies(), misbehave={"CANARY-ACC-8": "some-failed"}) as pacs:
        for way in ("terminal", "notebook", "log"):
            journal = Journal(folder / f"{way}.db", privacy="hashed", secret="x" * 32)
            mover = Mover(
                pacs.node,
                receive=folder / way,
                port=0,
                layout="{StudyInstanceUID}/{SOPInstanceUID}.dcm",
                journal=journal,
                max_matches=1,
                retry="none",
                progress=way,
                show_keys=show_keys,
            )
            with mover:
                pacs.destinations["MOVESCU"] = mover.port
                job = mover.job(table(), invalid="record").run()
                statuses = job.summary()["status"].astype(str).tolist()
                assert statuses == ["success", "partial", "not-found", "not-found", "failure", "invalid"], statuses
                again = mover.job(table(), invalid="record").run()
                assert again.summary()["status"].astype(str).iloc[0] == "skipped"
    faces["terminal"] = terminal.getvalue()
    faces["panel"] = "\n".join(shown)
    report = job.report()
    faces["report as text"] = str(report)
    faces["report as HTML"] = report._repr_html_()
    faces["report as a page"] = report.write_html(folder / "report.html").read_text(encoding="utf-8")
    faces["reprs"] = repr([job, mover, report, pacs.node])
    faces["sentences"] = job.summary()["error"].dropna().str.cat(sep="\n")
    faces["state of widgets"] = repr([widget.get_state() for widget in _widgets()])
    return faces


def _widgets() -> list[Any]:
    from ipywidgets.widgets import widget

    return list(widget._instances.values())


@pytest.fixture(params=[False, True], ids=["by default", "where asked for"])
def told(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> tuple[dict[str, str], bool, Path]:
    """Run the batch and return what was told, whether keys were asked for, and where the files lie."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        faces = run_batch(tmp_path, monkeypatch, show_keys=request.param)
    faces["log"] = "\n".join(f"{record.getMessage()} {record.exc_text} {record.exc_info}" for record in caplog.records)
    return faces, request.param, tmp_path


def test_every_face_of_the_library(told: tuple[dict[str, str], bool, Path]) -> None:
    """By default no face has the label, the number or the accession number of a row; with the switch the faces do."""
    faces, asked, _ = told
    always_hidden = ("state of widgets", "reprs", "sentences")
    for name, face in faces.items():
        assert len(face) > 40 or name in always_hidden, name
        heard = [secret for secret in SECRETS if secret in face]
        if not asked or name in always_hidden:
            assert not heard, (name, heard)
            assert DATE not in face, name
    if asked:
        for name in ("terminal", "panel", "report as text", "report as HTML", "report as a page"):
            assert "Canaria^Nobody" in faces[name], name
            assert "CANARY-NONE" in faces[name], name
            assert PATIENT in faces[name] or name == "report as text", name


def test_no_file_beside_the_images_has_them(told: tuple[dict[str, str], bool, Path]) -> None:
    """A hashed journal, its write-ahead log and the names of files tell of no patient."""
    _, asked, folder = told
    for path in folder.rglob("*"):
        assert not any(secret in str(path.relative_to(folder)) for secret in SECRETS)
        if path.is_file() and path.suffix not in (".dcm", ".html"):
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in SECRETS), path.name
    assert asked == any(secret in (folder / "report.html").read_text() for secret in SECRETS)


@pytest.mark.parametrize("asked", [False, True], ids=["by default", "where asked for"])
@pytest.mark.parametrize("command", ["move", "plan"])
def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, asked: bool) -> None:
    """Move Summary, plan, bar, warnings and the log of -d name rows by their place, with --show-keys by their keys."""
    run = Shell(capsys)
    path = tmp_path / "cohort.csv"
    table().to_csv(path, index=False)
    with DemoPacs(studies(), misbehave={"CANARY-ACC-8": "some-failed"}) as pacs:
        node = f"{pacs.node.ae_title}@127.0.0.1:{pacs.node.port}"
        options = [*(["-aem", "WORKSTATION", "--no-journal"] if command == "move" else ["-aet", "ME"]), "-d"]
        asking = ["--show-keys"] if asked else []
        ran = run(command, *options, *asking, "--max-matches", 1, "--invalid", "record", "--csv", path, node)
    heard = [secret for secret in ("anaria", "ANARY") if secret in ran.out + ran.err]
    if asked:
        assert "CANARY-NONE" in ran.out
        assert ACCESSION in ran.err
    else:
        assert not heard, [line for line in (ran.out + ran.err).splitlines() if "ANARY" in line]


@pytest.mark.parametrize("way", ["find-breaks", "find-aborts", "find-unable"])
def test_no_traceback_keeps_the_answers_alive(way: str) -> None:
    """An error that a notebook keeps holds no answer of the archive in the locals of its frames."""
    with DemoPacs(studies(), misbehave={"*": way}) as pacs, pytest.raises(dicomover.NodeError) as caught:
        Mover(pacs.node).find({"PatientID": PATIENT})
    held = held_in_frames(caught.value)
    assert not held, held


def held_in_frames(error: BaseException | None) -> list[str]:
    """Return the locals of our frames in which an error keeps something of a patient."""
    held = []
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "dicomover" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                for name, value in list(frame.f_locals.items()):
                    said = value.to_string() if isinstance(value, pd.DataFrame) else repr(value)
                    held += [f"{frame.f_code.co_name}: {name}"] if "ANARY" in said else []
        error = error.__cause__ or error.__context__
    return held


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


WRONG: dict[str, Callable[[Path], object]] = {
    "requests_around": lambda _: dicomover.requests_around(table().assign(day="CANARY"), date="day"),
    "requests_around, a key": lambda _: dicomover.requests_around(table(), date="PatientBirthDate", StudyDate=PATIENT),
    "read_requests": lambda folder: dicomover.read_requests(_write(folder / "a.csv", f"PatientID,x\n{PATIENT},1,2\n")),
    "Cohort.load": lambda folder: dicomover.Cohort.load(_write(folder / "a.json", f'{{"requests": ["{PATIENT}"]}}')),
    "missing": lambda _: dicomover.missing(table()),
    "short": lambda _: dicomover.short(table()),
    "report": lambda _: dicomover.report(table()),
    "volume": lambda _: dicomover.volume(table().assign(path=f"/no/such/{PATIENT}.dcm", SeriesInstanceUID="1")),
    "contact_sheet": lambda _: dicomover.contact_sheet(table()),
    "index": lambda folder: dicomover.index(folder / PATIENT),
    "move": lambda _: Mover("A@127.0.0.1:9", destination="WS", progress="none").move(table()),
    "plan": lambda _: Mover("A@127.0.0.1:9", destination="WS", progress="none").plan(table()),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_no_traceback_keeps_the_input(tmp_path: Path, wrong: Callable[[Path], object]) -> None:
    """Who captures the locals of tracebacks (a reporter of errors, a verbose shell) finds nothing of a patient."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        wrong(tmp_path)
    held = held_in_frames(caught.value)
    assert not held, held

"""A notebook that has moved patients' images and is then saved, sent, published: it tells the counts and no patient."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NAMES = ["Canaria^Serinus", "Goldammer^Emberiza", "Zeisig^Spinus", "Girlitz^Serina", "Ortolan^Horta"]
IDS = ["CANARY-4711", "CANARY-4712", "CANARY-4713", "CANARY-4714", "CANARY-4715"]
INVALID = "CANARY-47*"
CANARIES = [part for name in NAMES for part in name.split("^")] + ["CANARY-47"]
WIDGET = "application/vnd.jupyter.widget-view+json"

SETUP = """
import json, logging, pathlib, warnings
import pandas as pd
logging.basicConfig(filename="everything.log", level=logging.DEBUG)
logging.captureWarnings(True)
warnings.simplefilter("always")

from dicomover import Mover
from dicomover.journal import Journal
from dicomover.testing import DemoPacs, Misbehaviour, made_study

given = json.loads(pathlib.Path("given.json").read_text())
slow = Misbehaviour("slow", seconds=0.05)
patients = given["patients"]
pacs = DemoPacs(
    [made_study(f"A{i}", instances=4, patient=patient, name=name) for i, (patient, name) in enumerate(patients)],
    misbehave={"A1": ["some-failed", slow], "A2": "abort", "*": slow},
)
requests = pd.DataFrame(
    {"PatientID": [patient for patient, _ in patients] + ["CANARY-4799", given["invalid"]],
     "AccessionNumber": ["A0", "A1", "A2", "A3", "A4", "A0", "A1"]},
    index=[name for _, name in patients] + ["nobody", "wrong"],
)
private = {
    "layout": "{StudyInstanceUID}/{SOPInstanceUID}.dcm",
    "journal": Journal("journal.db", privacy="hashed", secret="x" * 32),
} if given["private"] else {}
mover = Mover(pacs.node, receive="images", port=0, retry="none", **private).open()
pacs.destinations["MOVESCU"] = mover.port
mover
"""
START = """
job = mover.start(requests, invalid="record")
job
"""
CANCEL = """
while not job.summary().status.notna().sum() > 2:
    pass
job.cancel()
cancelled = await job
print(cancelled.status.value_counts().to_json())
print(cancelled.error.dropna().tolist())
"""
AGAIN = """
summary = mover.move(requests, invalid="record")
"""
SHOWN = """
shown = mover.move(requests, invalid="record", show_keys=True)
"""
TELL = """
print(summary.status.value_counts().to_json())
print(summary.error.dropna().tolist(), job.failures().columns.tolist(), mover, job)
print(get_ipython().events.callbacks["post_run_cell"])
"""
END = """
mover.close()
pacs.close()
logging.shutdown()
"""


@dataclass
class Executed:
    """A notebook that was executed, and the folder that it worked in."""

    book: Any
    folder: Path

    def output(self, cell: int) -> Any:
        """Return the one output of a cell that is no stream and no result."""
        (output,) = [output for output in self.book.cells[cell].outputs if output.output_type == "display_data"]
        return output

    def printed(self, cell: int) -> str:
        """Return what a cell has printed."""
        return "".join(output.text for output in self.book.cells[cell].outputs if output.get("name") == "stdout")


@pytest.fixture(scope="module", params=["as-it-comes", "private"])
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """Run a notebook from a clean kernel: a batch that is cancelled, and the same again."""
    folder = tmp_path_factory.mktemp("notebook")
    private = request.param == "private"
    given = {"patients": list(zip(IDS, NAMES, strict=True)), "invalid": INVALID, "private": private}
    (folder / "given.json").write_text(json.dumps(given))
    sources = {
        "setup": SETUP,
        "start": START,
        "cancel": CANCEL,
        "move": AGAIN,
        "tell": TELL,
        "shown": SHOWN,
        "end": END,
    }
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in sources.items()]
    book = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        book, kernel_name="python3", timeout=90, resources={"metadata": {"path": str(folder)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        client.execute()
    (folder / "given.json").unlink()
    return Executed(book, folder)


def found(text: str | bytes) -> list[str]:
    """Return the canaries that can be heard."""
    content = text.encode() if isinstance(text, str) else text
    return [canary for canary in CANARIES if any(canary.encode(code) in content for code in ("utf-8", "utf-16-le"))]


@pytest.mark.parametrize(("panel", "counts"), [(1, 2), (3, 4)], ids=["start", "move"])
def test_stored_outputs_tell_the_final_counts(executed: Executed, panel: int, counts: int) -> None:
    """The stored text and HTML of a panel have the counts of the summary, each verdict by its word."""
    told = json.loads(executed.printed(counts).splitlines()[0])
    expected = ", ".join(f"{count} {status}" for status, count in told.items() if count)
    data = executed.output(panel).data
    words = sorted(expected.split(", "))
    (line,) = [line for line in data["text/plain"].splitlines() if line.startswith("  Requests")]
    assert sorted(line.removeprefix("  Requests").strip().split(", ")) == words
    assert all(word in data["text/html"] for word in words)
    assert sum(told.values()) == 7
    assert {"start": "cancelled", "move": "not-found"}[executed.book.cells[panel].id] in expected
    assert "1 invalid" in words


def test_no_live_widget_is_stored(executed: Executed) -> None:
    """Where the panels were there is text and HTML; what is kept of their widgets tells of nothing that runs."""
    for cell in executed.book.cells:
        assert not [output for output in cell.outputs if WIDGET in output.get("data", {})]
    states = executed.book.metadata.get("widgets", {})[WIDGET.replace("view", "state")]["state"]
    told = " ".join(str(state["state"].get("value", "")) for state in states.values())
    assert "dicomover: 7 requests" in told
    assert " of 7 requests" not in told


def test_nobody_listens_any_more(executed: Executed) -> None:
    """When its end has been told, a panel leaves the shell alone."""
    assert "NotebookView" not in executed.printed(4)
    assert executed.printed(4).splitlines()[-1].startswith("[")


def test_no_patient_in_outputs(executed: Executed) -> None:
    """No output has a canary: no panel, no repr, no sentence of a row."""
    outputs = json.dumps([cell.outputs for cell in executed.book.cells if cell.id != "shown"])
    assert len(outputs) > 2000
    assert found(outputs) == []


def test_keys_are_shown_where_asked_for(executed: Executed) -> None:
    """A panel that is asked to shows the labels and keys of the rows that are not complete, and of no others."""
    shown = executed.output(5).data
    named = [*NAMES[1].split("^"), *NAMES[2].split("^"), "CANARY-47"]
    assert found(shown["text/html"]) == found(shown["text/plain"]) == named
    assert "PatientID CANARY-4799, AccessionNumber A0" in shown["text/plain"]


def test_no_patient_in_metadata(executed: Executed) -> None:
    """No widget that the notebook keeps has a canary, even if its panel was asked to show keys."""
    assert found(json.dumps(executed.book.metadata)) == []


def test_no_patient_in_logs(executed: Executed) -> None:
    """No log has a canary, whoever wrote it and however detailed it is."""
    log = (executed.folder / "everything.log").read_bytes()
    assert b"DEBUG" in log
    assert found(log) == []


def test_no_patient_in_files(executed: Executed, request: pytest.FixtureRequest) -> None:
    """Beside the images no file has a canary; as it comes, PatientIDs name folders and are kept by the journal."""
    private = "private" in request.node.callspec.id
    files = [path for path in executed.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".dcm" for path in files)
    assert any(path.name == "journal.db" for path in files)
    heard = {path: found(path.read_bytes()) for path in files if path.suffix != ".dcm"}
    names = {canary for path in executed.folder.rglob("*") for canary in found(str(path.relative_to(executed.folder)))}
    if private:
        assert not any(heard.values()), heard
        assert not names
    else:
        assert {path.name for path, canaries in heard.items() if canaries} <= {"journal.db", "journal.db-wal"}
        assert {canary for canaries in heard.values() for canary in canaries} <= {"CANARY-47"}
        assert names == {"CANARY-47"}

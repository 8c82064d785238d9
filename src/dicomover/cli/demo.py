"""The demo: a batch of accession numbers out of an archive on this machine, and what the rows of its table show."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd

from dicomover.cli.output_files import write_table
from dicomover.mover import Mover
from dicomover.progress import TerminalView, View, choose
from dicomover.progress.text import size
from dicomover.requests.parse import read_requests
from dicomover.testing import DemoPacs, Misbehaviour, Study, made_study, sample_studies
from dicomover.text.listing import facts, listing, terminal_width
from dicomover.text.widths import fit

__all__ = ["ROWS", "DemoRow", "free_folder", "run"]

AE_TITLE = "MOVESCU"
_SHOWN = ("status", "matches", "expected", "completed", "failed", "received")


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One row of the demo's CSV, the verdict it is to get, and what it shows."""

    accession: str
    status: str
    shows: str


ROWS = (
    DemoRow("DEMO0007", "success", "an MR image that comes with pydicom: all of it is on the disk"),
    DemoRow("00123", "success", "leading zeros survive; a spreadsheet would have made 123 of it"),
    DemoRow("B2077", "success", "one accession number, two studies: both moved, see matches"),
    DemoRow("99999", "not-found", "no such study; the other rows did not suffer"),
    DemoRow("C0815", "partial", "the archive said success (0x0000), but an instance had failed"),
    DemoRow("E0042", "empty", "the archive said success, but moved nothing"),
    DemoRow("D4711", "success", "the archive aborted in the middle; it was asked again, see attempts"),
)

_SLOW = Misbehaviour("slow", seconds=0.03)  # so that there is something to see
_MISBEHAVE: dict[str, str | Misbehaviour] = {
    "00123": _SLOW,
    "B2077": _SLOW,
    "C0815": "success-with-failures",
    "E0042": "empty-success",
    "D4711": Misbehaviour("abort", after=9, times=1),
}


def run(folder: Path, *, keep: bool = False, bind: str | None = None) -> int:
    """Run the demo in a folder, or beside it if that holds something already, and return an exit code.

    With `keep` the archive goes on running until an interrupt.
    """
    folder = free_folder(folder)
    table = folder / "requests.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        table.write_text("\n".join(["AccessionNumber", *(row.accession for row in ROWS)]) + "\n", encoding="utf-8")
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror}; name another place by --output-dir"
        raise click.ClickException(message) from error
    width = terminal_width()

    def tell(text: str) -> None:
        click.echo(fit(text, width))

    with DemoPacs(_studies(), misbehave=_MISBEHAVE) as pacs:
        tell(f"A demo archive, {pacs.node}, runs on this machine with {len(pacs.studies)} studies of nobody.")
        mover = Mover(pacs.node, ae_title=AE_TITLE, receive=folder / "images", port=0, bind=bind, progress=_view())
        with mover:
            assert mover.port is not None
            pacs.destinations[AE_TITLE] = mover.port if bind is None else (bind, mover.port)
            requests = read_requests(table)
            plan = mover.plan(requests)
            found, known = int(plan["matches"].sum()), int((plan["decision"] != "not-found").sum())
            instances = int(plan["expected"].sum())
            tell(f"{table} asks for {len(requests)} accession numbers; C-FIND knows {known} of them:")
            tell(f"{found} studies with {instances} instances.")
            tell(f"They are moved to {mover.ae_title}, which is us, on port {mover.port}.\n")
            job = mover.job(requests).run(interrupt="return")
        summary = job.summary()
        write_table(summary, folder / "summary.csv")
        job.report().write_html(folder / "report.html")
        click.echo(_report(summary, folder, width))
        if job.cancelled:
            return 130
        if keep:
            _keep(pacs)
    return 0


def free_folder(folder: Path) -> Path:
    """Return the folder, or, if something is in it, the first of `folder-2`, `folder-3`, … that is free.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     Path(root, "demo").mkdir()
    ...     _ = Path(root, "demo", "summary.csv").write_text("mine")
    ...     free_folder(Path(root, "demo")).name
    'demo-2'
    """
    candidate, number = folder, 1
    while candidate.exists() and not (candidate.is_dir() and not any(candidate.iterdir())):
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _studies() -> list[Study]:
    return [
        *sample_studies(),
        made_study("00123", series=2, instances=30, size=1 << 15, modality="CT"),
        made_study("B2077", instances=20, size=1 << 15, modality="MR", number=1),
        made_study("B2077", instances=15, size=1 << 15, modality="MR", number=2),
        made_study("C0815", instances=25, size=1 << 15, modality="CT"),
        made_study("D4711", instances=20, size=1 << 15, modality="CT"),
        made_study("E0042", instances=10, size=1 << 15, modality="CR"),
    ]


def _view() -> View:
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return TerminalView(closing=False) if is_terminal else choose("log")


def _report(summary: pd.DataFrame, folder: Path, width: int) -> str:
    rows = [[label, *values] for label, *values in summary[["AccessionNumber", *_SHOWN]].itertuples()]
    shown = [
        [row.accession, got if got == row.status else f"{got} (not {row.status}, as meant)", row.shows]
        for row, got in zip(ROWS, summary["status"].astype(str), strict=True)
    ]
    arrived = int(summary["received"].sum())
    where = facts(
        [
            ("Images", f"{folder / 'images'}{os.sep} ({arrived} files, {size(int(summary['bytes'].sum()))})"),
            ("Summary", f"{folder / 'summary.csv'} (all columns, and a sentence where something went wrong)"),
            ("Report", f"{folder / 'report.html'} (the same for a browser, with charts; it can be sent on)"),
        ],
        width=width,
    )
    return "\n".join(
        [
            listing(["row", "AccessionNumber", *_SHOWN], rows, width=width),
            "\nWhat the rows show",
            listing(["AccessionNumber", "status", "because"], shown, width=width),
            f"\nWhere it is\n{where}",
            fit("\nThe same from your archive (the archive has to know MOVESCU, this machine and port 11112)", width),
            "  dicomover echo -aet MOVESCU ARCHIVE@pacs.example.org:104",
            "  dicomover move -aet MOVESCU -od images --port 11112 --csv cohort.csv \\",
            "      --summary done.csv --report done.html ARCHIVE@pacs.example.org:104",
        ]
    )


def _keep(pacs: DemoPacs) -> None:
    """Let the archive run, and say what can be tried on it."""
    pacs.destinations[AE_TITLE] = 11112
    click.echo(f"\nThe demo archive runs on as {pacs.node}; Ctrl-C ends it. In another terminal:")
    click.echo(f"  dicomover find -k 'PatientName=*' {pacs.node}")
    click.echo(f"  dicomover move -aem {pacs.workstation.ae_title} -k AccessionNumber=D4711 {pacs.node}")
    click.echo(f"  dicomover move -od downloads --port 11112 -k AccessionNumber=B2077 {pacs.node}")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("\nThe demo archive has ended.")

"""A report as plain text, and the words that its page uses too."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from dicomover.attributes.uid import is_uid
from dicomover.identifier import IDENTIFYING
from dicomover.node import Node
from dicomover.outcome import Status
from dicomover.progress.labels import is_plain, row_labels
from dicomover.progress.state import Rate
from dicomover.progress.text import duration, size, speed
from dicomover.progress.timeline import Timeline
from dicomover.reporting import figures
from dicomover.summary import as_text
from dicomover.text import listing
from dicomover.text.cells import is_missing
from dicomover.text.sentences import count_of

__all__ = [
    "MOST_NAMED",
    "Names",
    "Run",
    "bars_of",
    "facts",
    "heading",
    "names_nobody",
    "notes",
    "plain",
    "reason_cells",
    "step_words",
    "telling",
]

MOST_NAMED = 20  # reasons, or lines of a table in a terminal
_NAMED = 3  # rows of a reason with their keys
_FEW = 5  # rows that ended
_BAR = 24  # characters of the longest bar


@dataclass(frozen=True, slots=True)
class Run:
    """What a job knows of its batch beyond the summary."""

    # who was asked, by whom, and who receives
    archive: str = ""
    ae_title: str = ""
    destination: str = ""
    began: datetime | None = None  # when the batch began
    seconds: float | None = None  # how long it has taken
    over: bool = True  # whether it has ended
    # what moved when: `start`, `seconds`, `moved`, `failed`, `received`, `bytes`
    timeline: pd.DataFrame | None = field(default=None, repr=False)
    # the Study Instance UIDs that each row came to, by position
    studies: Sequence[Sequence[str]] = field(default=(), repr=False)

    @classmethod
    def of(
        cls,
        timeline: Timeline,
        node: Node,
        ae_title: str,
        destination: str,
        port: int | None,
        *,
        over: bool,
        studies: Sequence[Sequence[str]] = (),
    ) -> Run:
        """Return what a job knows; `port` is where it listens: 0 if all comes by C-GET, None if others receive."""
        if port is not None:
            where = f"port {port}" if port else "by C-GET"
            destination += f", {where}, which is the machine that this report comes from"
        began, seconds, table = timeline.began, timeline.seconds, timeline.table()
        return cls(str(node), ae_title, destination, began, seconds, over, table, studies)

    def tell_studies(self, position: int) -> str:
        """Return which studies a row came to, the first few of them."""
        known = self.studies[position] if position < len(self.studies) else ()
        named = [uid for uid in known if names_nobody(uid)]
        return ", ".join(named[:_NAMED]) + (f" … and {len(named) - _NAMED:,} more" if len(named) > _NAMED else "")


def names_nobody(text: str) -> bool:
    """Tell whether a key is a UID; a bare number, which would be one too, may be a patient's."""
    return text.count(".") > 1 and is_uid(text)


class Names:
    """What rows are called: by their labels where those are plain numbers, or where that was asked for.

    An index may hold accession numbers or patients, or a label twice; then rows are called by their position, from 0.
    """

    def __init__(self, summary: pd.DataFrame, *, show_keys: bool) -> None:
        self.are_labels = summary.index.is_unique and (show_keys or is_plain(summary.index))
        self.show_keys = show_keys
        self._summary = summary
        self._label = row_labels(summary.index, show_keys=show_keys)

    def __call__(self, position: int) -> str:
        """Return the name of one row."""
        return self._label(position)

    def keys(self, positions: Sequence[int]) -> pd.DataFrame:
        """Return the keys of some rows as text: those that are UIDs, and the others where that was asked for."""
        rows = self._summary.iloc[list(positions)]
        texts = {name: as_text(rows[name]).fillna("").tolist() for name in IDENTIFYING if name in rows.columns}
        if not self.show_keys:
            uids = {name: [text if names_nobody(text) else "" for text in those] for name, those in texts.items()}
            texts = {name: known for name, known in uids.items() if any(known)}
        return pd.DataFrame(texts)

    def some(self, positions: Sequence[int]) -> str:
        """Return the names of some rows in few words; where keys are shown, with the most telling of them."""
        if not self.show_keys:
            return figures.spans([int(self(position)) for position in positions])
        few = positions[:_NAMED]
        keys = self.keys(few)
        telling = [next((key for key in reversed(row) if key), "") for row in keys.to_numpy().tolist()]
        told = [f"{self(position)} ({key})" for position, key in zip(few, telling, strict=False) if key]
        return ", ".join([*(told or map(self, few)), *(["…"] if len(positions) > _NAMED else [])])


def heading(summary: pd.DataFrame, run: Run) -> str:
    """Return what came of the batch in a few words."""
    count, lacking = len(summary), int((~figures.is_complete(summary)).sum())
    requests = count_of(count, "request")
    if not run.over:
        left = int(summary["status"].isna().sum())
        return f"{requests}, {left:,} of them not over yet"
    if not count:
        return "no requests"
    return f"{requests}, {lacking:,} not complete" if lacking else f"{requests}, {'all ' * (count > 1)}complete"


def facts(summary: pd.DataFrame, run: Run) -> list[tuple[str, str]]:
    """Return the totals as pairs of a label and a text; what is unknown is left out."""
    table = figures.totals(summary)
    whole: Any = table.loc["all"].to_dict()
    verdicts = ", ".join(f"{rows:,} {status}" for status, rows in table["rows"].items() if status != "all")
    words = {"completed": "completed", "warning": "with a warning", "failed": "failed", "remaining": "remaining"}
    known = {name: word for name, word in words.items() if not is_missing(whole[name])}
    counted = [f"{whole[name]:,} {word}" for name, word in known.items() if whole[name] or name == "completed"]
    here = "" if is_missing(whole["received"]) else count_of(whole["received"], "instance")
    if here and not is_missing(whole["bytes"]):
        here += f", {size(whole['bytes'])}"
    earlier: Any = table["received"].get(str(Status.SKIPPED))
    if here and not is_missing(earlier):
        here += f"; {earlier:,} of them by an earlier run"
    pairs = [
        ("Archive", run.archive),
        ("Asked by", run.ae_title),
        ("Destination", run.destination),
        ("Requests", verdicts),
        ("Expected", "" if is_missing(whole["expected"]) else count_of(whole["expected"], "instance")),
        ("PACS counted", ", ".join(counted)),
        ("Received", here),
        ("C-MOVEs", "" if is_missing(whole["attempts"]) else f"{whole['attempts']:,}"),
        ("Time", _time(summary, run)),
        ("Throughput", _throughput(summary, run)),
    ]
    return [(label, text) for label, text in pairs if text]


def _time(summary: pd.DataFrame, run: Run) -> str:
    known = figures.times(summary)
    if run.began is not None and run.seconds is not None:
        begun = pd.Timestamp(run.began)
        ended, words = begun + pd.Timedelta(seconds=run.seconds), _lasting(run.seconds)
    elif known is not None:
        begun, ended, busy = known
        whole = (ended - begun).total_seconds()
        words = _lasting(whole)
        if busy < whole:
            words += f", in {_lasting(busy)} of which rows were worked on"
    else:
        return ""
    last = f"{ended:%H:%M:%S}" if begun.date() == ended.date() else f"{ended:%Y-%m-%d %H:%M:%S}"
    return f"{words}, from {begun:%Y-%m-%d %H:%M:%S} to {last} UTC"


def _lasting(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _throughput(summary: pd.DataFrame, run: Run) -> str:
    """Return how much moved a second; of a bare summary over the time in which rows were worked on."""
    if run.timeline is not None and run.seconds:
        counts, seconds = run.timeline[["moved", "received", "bytes"]].sum(), run.seconds
        instances = int(counts["received"] or counts["moved"])
        volume = int(counts["bytes"])
    else:
        known, table = figures.times(summary), figures.over_time(summary)
        if known is None or known[2] <= 0 or table.empty:
            return ""
        seconds, instances, volume = known[2], int(table["instances"].sum()), int(table["bytes"].sum())
    if not instances:
        return ""
    return speed(Rate(instances / seconds, volume / seconds if volume else None))


def notes(summary: pd.DataFrame, run: Run, names: Names, steps: pd.DataFrame) -> list[str]:
    """Return what a reader has to know to read the figures rightly."""
    said = []
    if repeats := int(summary[figures.REPEATS].sum()):
        again = "repeats another one and is" if repeats == 1 else "repeat another one and are"
        said.append(
            f"{count_of(repeats, 'row')} {again} counted once: instances, bytes and C-MOVEs are those of one row."
        )
    if not summary.index.is_unique:
        said.append("Rows are called by their position in the summary, from 0: labels of its index are there twice.")
    elif not names.are_labels and len(summary):
        said.append(
            "Rows are called by their position in the summary, from 0: its index may name patients. "
            "show_keys=True shows it."
        )
    if run.timeline is None and len(steps):
        said.append(
            "Over time, what a row came to is counted when the row ended, with what an earlier run had fetched of it; "
            "the report of a job knows when each instance came."
        )
    if summary["received"].isna().all() and figures.moved(summary).notna().any():
        said.append("A third party received; the figures are what the archive counted.")
    return said


def reason_cells(reasons: pd.DataFrame, names: Names) -> list[list[str]]:
    """Return the most important reasons, each with how many rows it is of, which, its verdict and its sentence."""
    shown = reasons.head(MOST_NAMED).assign(error=reasons["error"].fillna("").astype(object))
    columns = (shown[name].tolist() for name in ("rows", "positions", "status", "error"))
    return [
        [count_of(rows, "row"), names.some(positions), status, error]
        for rows, positions, status, error in zip(*columns, strict=True)
    ]


def telling(steps: pd.DataFrame, summary: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Return the steps of time, or none of them where they tell nothing.

    A summary alone knows when rows ended; of a handful of rows that is no picture of how it went.
    """
    few = run.timeline is None and len(figures.over_time(summary)) < _FEW
    return steps.iloc[:0] if few or len(steps) < 2 or not steps["instances"].sum() > 0 else steps


def bars_of(summary: pd.DataFrame, names: Names, most: int) -> tuple[pd.DataFrame, list[str], str]:
    """Return the bars of `figures.by_row`, what to call each, and what they are: rows, or verdicts if rows are many."""
    bars = figures.by_row(summary, most)
    if len(summary) <= most:
        return bars, [names(position) for position in range(len(bars))], "row"
    counts = figures.totals(summary)["rows"]
    return bars, [f"{status} ({counts[status]:,})" for status in bars.index], "status (rows)"


def step_words(steps: pd.DataFrame) -> tuple[str, float]:
    """Return the unit of a rate over these steps, `minute` or `second`, and its seconds."""
    return ("minute", 60.0) if len(steps) and steps["seconds"].iloc[0] >= 30 else ("second", 1.0)


def plain(summary: pd.DataFrame, run: Run, names: Names, steps: pd.DataFrame, width: int) -> str:
    """Return the report as text for a terminal."""
    parts = [f"Report: {heading(summary, run)}", listing.facts(facts(summary, run), width=width)]
    reasons = figures.reasons(summary)
    if len(reasons):
        cells = reason_cells(reasons, names)
        table = listing.listing(["how many", "which", "status", "what happened"], cells, width=width)
        parts += ["\nNot complete", table]
        if len(reasons) > MOST_NAMED:
            rest = reasons.iloc[MOST_NAMED:]
            parts.append(f"  … and {len(rest):,} more reasons, of {count_of(int(rest['rows'].sum()), 'row')}")
    if len(steps):
        parts += ["\nInstances over time (UTC)", _bars(steps, width)]
    if said := notes(summary, run, names, steps):
        parts += ["", *(line for note in said for line in textwrap.wrap(note, width))]
    return "\n".join(parts)


def _bars(steps: pd.DataFrame, width: int) -> str:
    """Draw at most twenty lines, one for each step or for several."""
    unit, seconds = step_words(steps)
    groups = steps.groupby(steps.index // -(-len(steps) // MOST_NAMED))
    sums = groups[["instances", "bytes", "seconds"]].sum(min_count=1).assign(start=groups["start"].first())
    rates = (sums["instances"].fillna(0) / sums["seconds"] * seconds).astype("float64")
    speeds = (sums["bytes"].fillna(0) / sums["seconds"]).astype("float64")
    sized = bool(speeds.any())
    lines = [
        [
            start,
            f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}",
            *([f"{size(speed)}/s"] if sized else []),
            "#" * max(round(_BAR * rate / rates.max()), int(rate > 0)) or "-",
        ]
        for start, rate, speed in zip(figures.clock(list(sums["start"])), rates, speeds, strict=True)
    ]
    headings = ["from", f"a {unit}", *(["throughput"] if sized else []), ""]
    return "\n".join(line.rstrip() for line in listing.listing(headings, lines, width=width).splitlines())

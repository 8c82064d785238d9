"""Results on the standard output: the Move Summary, the plan, the answers of a find; and the files they go into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dicomover.identifier import Level
from dicomover.outcome import Status
from dicomover.progress import State, row_labels
from dicomover.progress.text import duration, size
from dicomover.reporting.figures import is_complete, moved, read_summary, reasons, spans, totals
from dicomover.text.listing import facts, listing, terminal_width
from dicomover.text.sentences import count_of, part_of

__all__ = [
    "find_text",
    "findings_text",
    "move_summary",
    "outcome",
    "plan_text",
    "troubles",
]

_SHOWN = 20  # rows of a batch that are named
_APART = 3  # rows with the same reason that are named one by one
_WIDEST = 32  # characters of a cell that are shown, unless it is a UID

_FOUND = {
    Level.PATIENT: "PatientID PatientName PatientBirthDate PatientSex NumberOfPatientRelatedStudies",
    Level.STUDY: (
        "PatientID PatientName AccessionNumber StudyDate ModalitiesInStudy NumberOfStudyRelatedSeries "
        "NumberOfStudyRelatedInstances StudyDescription"
    ),
    Level.SERIES: "Modality SeriesNumber SeriesDescription BodyPartExamined NumberOfSeriesRelatedInstances",
    Level.IMAGE: "InstanceNumber SOPClassUID",
}
_HEADINGS = {
    "ModalitiesInStudy": "Modalities",
    "NumberOfPatientRelatedStudies": "Studies",
    "NumberOfStudyRelatedSeries": "Series",
    "NumberOfStudyRelatedInstances": "Instances",
    "NumberOfSeriesRelatedInstances": "Instances",
}


# --- the Move Summary


def move_summary(
    summary: pd.DataFrame,
    state: State,  # the last one of the progress; it counts every C-MOVE once, also where rows share one
    *,
    archive: str,
    destination: str,
    levels: Sequence[Level],
    batch: bool,  # whether it is a table of requests rather than one
    kept: bool,  # whether every row is in a file
    here: bool = False,  # whether we receive, not a third party
    verify: str = "counts",
    show_keys: bool = False,
) -> str:
    """Return what became of a batch, for people: totals, and the rows that did not succeed."""
    width, seconds = terminal_width(), state.elapsed(0.0)
    pairs = [
        ("Archive", archive),
        ("Destination", destination),
        ("Level", ", ".join(map(str, levels)) or "-"),
        *_counted(summary, state),
        ("Received", _received(summary, state, here=here, asked=destination if verify != "destination" else None)),
        *_known_before(summary, here=here),
        ("Total time", f"{seconds:.1f} s" if seconds < 10 else duration(seconds)),
    ]
    if batch:
        pairs.insert(3, ("Requests", f"{len(summary):,}: {_verdicts(summary) or 'the batch has no requests'}"))
    elif len(summary):
        pairs.insert(3, ("Result", outcome(summary["status"].iloc[0], summary["error"].iloc[0])))
    text = f"Move Summary\n{facts(pairs, width=width)}"
    if batch and not is_complete(summary).all():
        text += f"\n\nNot complete\n{_troubled(summary, width, kept=kept, show_keys=show_keys)}"
    return text


def outcome(status: object, sentence: object) -> str:
    """Return a verdict with its sentence."""
    verdict = _status(status)
    said = "" if pd.isna(sentence) else str(sentence)  # type: ignore[call-overload]
    if said.startswith(verdict):
        return said
    return f"{verdict}: {said}" if said else verdict


def _counted(summary: pd.DataFrame, state: State) -> list[tuple[str, str]]:
    """Return the sub-operations as the archive counted them; it cannot have counted what was never asked for."""
    if not summary["attempts"].fillna(0).any():
        return [("C-MOVEs", "none was needed" if len(summary) and is_complete(summary).all() else "none was sent")]
    counts = (("Completed", state.completed), ("Warnings", state.warnings), ("Failed", state.failed))
    return [(name, _count(number)) for name, number in counts]


def _received(summary: pd.DataFrame, state: State, *, here: bool, asked: str | None) -> str:
    """Return what has arrived, or who says so where a third party receives; `asked` could have been, and was not."""
    if here:
        return f"{min(state.received or 0, int(summary['received'].sum())):,} ({size(state.bytes)})"
    if not summary["attempts"].fillna(0).any():
        return "nothing was sent"
    if asked is None:
        return "by the destination, which was asked what it has"
    option = "" if "@" in asked else "-aem AET@host:port "
    words = "by the destination, as the archive counts"
    if not (state.completed or state.warnings):
        said = state.completed is not None
        words = "nothing, as the archive counts" if said else "unknown, since the archive did not say"
    return f"{words}; {option}--verify destination asks it"


def _known_before(summary: pd.DataFrame, *, here: bool) -> list[tuple[str, str]]:
    """Return what the journal had of it."""
    skipped = summary[summary["status"] == str(Status.SKIPPED)]
    if not len(skipped):
        return []
    if here:
        counted: Any = totals(read_summary(summary)).loc[str(Status.SKIPPED)].fillna(0)
        return [("Already here", f"{counted['received']:,} ({size(counted['bytes'])})")]
    requests = count_of(len(skipped), "request")
    return [("Moved before", f"{requests}, according to the journal")]


def _count(number: int | None) -> str:
    return "the archive did not say" if number is None else f"{number:,}"


def _status(value: object) -> str:
    return "not begun" if pd.isna(value) else str(value)  # type: ignore[call-overload]


def _verdicts(summary: pd.DataFrame) -> str:
    counts = summary["status"].map(_status, na_action=None).value_counts()
    order = [*map(str, Status), "not begun"]
    return ", ".join(f"{counts[name]:,} {name}" for name in order if counts.get(name))


def troubles(summary: pd.DataFrame, *, show_keys: bool = False) -> list[str]:
    """Return what became of the rows that are not complete, a line each; rows for the same reason share one."""
    lines, label = [], row_labels(summary.index, show_keys=show_keys)
    for positions, status, error in _shared(summary):
        labels = list(map(label, positions))
        which = f"row {labels[0]}" if len(labels) == 1 else f"{len(labels):,} rows ({_few(labels, numbers=True)})"
        lines.append(f"{which}: {outcome(status, error)}")
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"… and {more:,} more"] if more > 0 else [])]


def _shared(summary: pd.DataFrame) -> list[tuple[list[int], str, str]]:
    """Return the positions of rows that are not complete with their verdict and sentence, the worst first.

    A few rows with the same sentence stay apart; more of them are one.
    """
    found = []
    for positions, status, error in _reasons(summary).itertuples(index=False):
        if len(positions) > _APART:
            found.append((positions, status, error))
        else:
            found += [([position], status, summary["error"].iloc[position]) for position in positions]
    return found


def _reasons(summary: pd.DataFrame) -> pd.DataFrame:
    return reasons(read_summary(summary))[["positions", "status", "error"]]


def _few(texts: Sequence[str], *, numbers: bool = False) -> str:
    """Return some texts in few words; numbers of rows as ranges."""
    if numbers and all(isinstance(_number(text), int) for text in texts):
        return spans(list(map(int, texts)), most=3)
    return ", ".join([*texts[:3], *(["…"] if len(texts) > 3 else [])])


def _number(label: str) -> str | int:
    return int(label) if label.isdecimal() and str(int(label)) == label else label


def _named(table: pd.DataFrame, show_keys: bool) -> list[str]:
    """Return the columns by which a person knows a row; they may name a patient."""
    return [name for name in ("PatientID", "AccessionNumber") if show_keys and name in table.columns]


def _troubled(summary: pd.DataFrame, width: int, *, kept: bool, show_keys: bool) -> str:
    named, label = _named(summary, show_keys), row_labels(summary.index, show_keys=show_keys)
    shared = _shared(summary)
    cells = []
    for positions, status, error in shared[:_SHOWN]:
        rows = summary.iloc[positions]
        alone = len(rows) == 1
        cells.append(
            [
                _number(label(positions[0])) if alone else _few(list(map(label, positions)), numbers=True),
                *(rows[name].iloc[0] if alone else _few(list(map(str, rows[name]))) for name in named),
                status,
                _moved(rows),
                error if alone else f"{len(rows):,} rows: {'' if pd.isna(error) else error}",
            ]
        )
    text = listing(["row", *named, "status", "moved", "what happened"], cells, width=width)
    left = sum(len(positions) for positions, *_ in shared[_SHOWN:])
    hints = [f"… and {left:,} more"] if left else []
    if not kept and (left or any(len(positions) > 1 for positions, *_ in shared)):
        hints.append("--summary FILE keeps every row")
    return f"{text}\n  {'; '.join(hints)}" if hints else text


def _moved(rows: pd.DataFrame) -> str:
    """Return how many instances of some rows have moved, of how many, as far as that is known of all of them."""
    so_far, expected = moved(rows), rows["expected"]
    never_sent = rows["attempts"].fillna(0).eq(0)
    known = so_far.mask(never_sent & so_far.isna() & expected.notna(), 0)
    sums = (known.sum(min_count=1), expected.sum(min_count=len(rows)))
    words = part_of(*(None if pd.isna(number) else int(number) for number in sums))
    return f"{words} in all" if len(rows) > 1 and words else words


# --- plan and find


def plan_text(plan: pd.DataFrame, *, show_keys: bool = False, via: str = "move") -> str:
    """Return a plan for people, the totals last."""
    named, label = _named(plan, show_keys), row_labels(plan.index, show_keys=show_keys)
    known = ["here"] if plan["here"].notna().any() else []
    plan, free = plan.copy(), plan.attrs.get("free_bytes")
    needed, minutes = plan["estimated_bytes"].sum(min_count=1), plan["estimated_minutes"].sum(min_count=1)
    plan["about"] = [None if pd.isna(count) else size(count) for count in plan["estimated_bytes"]]
    sizes = [] if pd.isna(needed) else ["about"]
    shown = ["decision", "level", "matches", "series", "expected", *known, *sizes, "modalities"]
    lacking = plan["error"].notna().any()
    headings = ["row", *named, *shown, *(["why"] if lacking else [])]
    columns = [*named, *shown, *(["error"] if lacking else [])]
    cells = [[_number(label(place)), *values] for place, values in enumerate(plan[columns].itertuples(index=False))]
    if plan.empty:
        return "the batch has no requests; nothing was moved"
    move = plan["decision"].isin(["move", "several"])
    words = f"{int(move.sum()):,} of {len(plan):,} requests would move"
    expected = plan.loc[move, "expected"]
    if len(expected) and expected.notna().all():
        words += f" {int(expected.sum()):,} instances"
    skipped = int((plan["decision"] == "skip").sum())
    words += f", {skipped:,} complete according to the journal" if skipped else ""
    ways = {"move": ", by C-MOVE, or by C-GET at a dead end", "get": ", by C-GET", "auto": ", by C-MOVE or C-GET"}
    words += "" if via == "move" else ways[plan.attrs.get("via", via)]
    words += f"; nothing was moved\n{_tell_cost(needed, minutes, free)}".rstrip()
    return f"{listing(headings, cells, width=terminal_width())}\n\n{words}"


def _tell_cost(needed: float, minutes: float, free: int | None) -> str:
    """Say what a plan will cost, as an estimate; empty where nothing is known."""
    about = [] if pd.isna(needed) else [size(needed)]
    about += [] if pd.isna(minutes) or minutes * 60 < 1 else [duration(minutes * 60)]
    if not about:
        return ""
    words = f"about {' in '.join(about)}, by what earlier moves came to"
    if free is None or pd.isna(needed):
        return words
    return f"{words}; {size(free)} are free{': it does not fit' if needed > free else ''}"


def find_text(found: pd.DataFrame, level: Level, asked: Sequence[str]) -> str:
    """Return the answers of a find for people; a UID that does not fit goes on a line of its own."""
    usual = [*_FOUND[level].split(), *asked]
    uid = level.unique_key
    above = [name for name in ("StudyInstanceUID", "SeriesInstanceUID") if name in found.columns]
    columns = [
        name
        for name in dict.fromkeys(usual)
        if name in found.columns and name not in (uid, *above) and (found[name].notna().any() or name in asked)
    ]
    headings = [_HEADINGS.get(name, name) for name in columns]
    cells = [[_short(value) for value in row] for row in found[columns].itertuples(index=False)]
    uids = list(found[uid]) if uid in found.columns and uid not in columns else None
    if uids is None or not columns:
        names = columns or [uid]
        return listing(names, cells if columns else [[value] for value in uids or ()], width=10**6)
    table = listing([*headings, uid], [[*row, value] for row, value in zip(cells, uids, strict=True)], width=10**6)
    width = terminal_width(10**6)
    if max(map(len, table.splitlines())) <= width:
        return table
    while True:
        head, *lines = listing(headings, cells, width=10**6).splitlines()
        if max(map(len, [head, *lines])) <= width or columns[-1] in asked or len(columns) == 1:
            return "\n".join([head, *(f"{line}\n      {value}" for line, value in zip(lines, uids, strict=True))])
        columns, headings, cells = columns[:-1], headings[:-1], [row[:-1] for row in cells]


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) > _WIDEST:
        return value[: _WIDEST - 1] + "…"
    return value


# --- doctor


def findings_text(findings: pd.DataFrame) -> str:
    """Return the findings of a diagnosis for people: a line for each check, what to do below it, the count last."""
    checks, results = findings["check"], findings["result"]
    widths = [max(map(len, column), default=0) for column in (checks, results)]
    pairs = []
    for check, result, found, advice in findings.fillna("").itertuples(index=False):
        pairs.append((f"{check!s:<{widths[0]}}  {result!s:<{widths[1]}}", str(found)))
        pairs += [("", f"-> {advice!s}")] if advice else []
    counts = results.value_counts()
    words = ", ".join(f"{counts[name]} {name}" for name in ("ok", "failed", "unclear", "skipped") if name in counts)
    moved = "one image was moved" if "one image" in set(checks[results == "ok"]) else "nothing was moved"
    return f"{facts(pairs, width=terminal_width())}\n\n{words}; {moved}"

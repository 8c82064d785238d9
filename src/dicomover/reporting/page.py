"""A report as HTML: a piece for a notebook, or a page of its own. No script, nothing from the network, all escaped.

Tables are pandas' own. Colours come from JupyterLab's variables; where there are none, from values that suit both
light and dark.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from importlib import metadata

import pandas as pd

from dicomover.outcome import Status
from dicomover.progress.text import size
from dicomover.reporting import charts, figures, words
from dicomover.text.sentences import count_of, part_of
from dicomover.text.visible import make_html
from dicomover.text.wholetable import make_table

__all__ = ["document", "fragment"]

MOST_ROWS = 50
"""Rows of a table, in a page that is to stay small."""

MOST_BARS = 30

_STYLE = """
.dicomover-report { font-family: var(--jp-ui-font-family, system-ui, sans-serif);
  font-size: var(--jp-ui-font-size1, 13px); line-height: 1.5; color: var(--jp-ui-font-color1, inherit);
  max-width: 75em; margin: 4px 0; }
.dicomover-report h3 { font-size: 1.15em; font-weight: 600; margin: 0 0 6px; }
.dicomover-report h4 { font-size: 1em; font-weight: 600; margin: 16px 0 4px; }
.dicomover-report p { margin: 4px 0; opacity: 0.8; }
.dicomover-report details { margin: 16px 0 0; }
.dicomover-report .scroll { overflow-x: auto; }
.dicomover-report table.dataframe { border-collapse: collapse; border: none; margin: 4px 0; font-size: inherit;
  color: inherit; }
.dicomover-report table.dataframe tr { background: none; }
.dicomover-report table.dataframe thead tr { border-bottom: 1px solid rgba(128, 128, 128, 0.6); }
.dicomover-report table.dataframe th, .dicomover-report table.dataframe td { text-align: left; vertical-align: top;
  padding: 2px 14px 2px 0; border: none; max-width: none; font-variant-numeric: tabular-nums; white-space: nowrap; }
.dicomover-report table.dataframe td.wide, .dicomover-report table.wide td:last-child { white-space: normal; }
.dicomover-report table.reasons th:nth-child(2) { min-width: 22em; }
.dicomover-report table.reasons tr.first td { border-top: 1px solid rgba(128, 128, 128, 0.3); }
.dicomover-report table.facts td:first-child { opacity: 0.75; }
.dicomover-report table.facts thead { display: none; }
""".strip()

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body {{ margin: 24px; font-family: system-ui, sans-serif; }} :root {{ color-scheme: light dark; }}</style>
</head>
<body>
{body}
<p><small>dicomover {version}, {now:%Y-%m-%d %H:%M} UTC</small></p>
</body>
</html>
"""


def document(summary: pd.DataFrame, run: words.Run, names: words.Names, steps: pd.DataFrame) -> str:
    """Return the report as a page that needs nothing else."""
    title = f"dicomover: {words.heading(summary, run)}"
    body = fragment(summary, run, names, steps)
    return _PAGE.format(title=make_html(title), body=body, version=metadata.version("dicomover"), now=datetime.now(UTC))


def fragment(summary: pd.DataFrame, run: words.Run, names: words.Names, steps: pd.DataFrame) -> str:
    """Return the report as a piece of HTML, the same words as `dicomover.reporting.words.plain`."""
    facts = pd.DataFrame(words.facts(summary, run), columns=["what", "how much"])
    counts = figures.totals(summary)["rows"].drop("all")
    complete = {str(status) for status in Status if status.complete}
    verdicts = [(str(name), int(count), name in complete) for name, count in counts.items()]
    parts = [
        f"<style>{_STYLE}</style>",
        f"<h3>dicomover: {make_html(words.heading(summary, run))}</h3>",
        charts.verdict_bar(verdicts) if verdicts else "",
        _table(facts, "facts wide"),
        *_troubles(summary, run, names),
        *_failed_instances(summary, names),
        *_charts(summary, names, steps),
        *_complete_rows(summary, run, names),
        *(f"<p>{make_html(note)}</p>" for note in words.notes(summary, run, names, steps)),
    ]
    return f'<div class="dicomover-report">{"".join(parts)}</div>'


def _table(frame: pd.DataFrame, classes: str = "") -> str:
    return f'<div class="scroll">{make_table(frame, index=False, classes=classes or None)}</div>'


def _troubles(summary: pd.DataFrame, run: words.Run, names: words.Names) -> list[str]:
    """Return each reason once, and beside it the rows that have it, with what their administrator looks them up by."""
    reasons = figures.reasons(summary)
    if reasons.empty:
        return []
    each = max(3, MOST_ROWS // len(reasons))  # so that a frequent reason leaves room for the others
    groups = [positions[:each] for positions in reasons["positions"]][:MOST_ROWS]
    positions = [position for group in groups for position in group][:MOST_ROWS]
    rows = summary.iloc[positions]
    counted = {"failed": rows["failed"], "warnings": rows["warning"], "attempts": rows["attempts"]}
    shown = _named(positions, run, names).assign(
        **_timed(rows),
        moved=list(map(part_of, figures.numbers_of(figures.moved(rows)), figures.numbers_of(rows["expected"]))),
        **{name: _counts(numbers) for name, numbers in counted.items() if numbers.sum() > 0},
    )
    lines = iter(shown.astype(str).to_numpy().tolist())
    first = reasons.head(len(groups))
    columns = (first["rows"], first["status"], first["error"].fillna(""))
    body = []
    for group, number, status, error in zip(groups, *(column.tolist() for column in columns), strict=True):
        cells = list(itertools.islice(lines, len(group)))
        why = f"{count_of(number, 'row')}: {error}" if number > len(cells) else error
        spans = f'rowspan="{len(cells)}"'
        whole = f'<td {spans}>{make_html(status)}</td><td class="wide" {spans}>{make_html(why)}</td>'
        for n, line in enumerate(cells):
            rest = "".join(f"<td>{make_html(text)}</td>" for text in line)
            body.append(f"<tr>{rest}</tr>" if n else f'<tr class="first">{whole}{rest}</tr>')
    heads = "".join(f"<th>{make_html(name)}</th>" for name in ("status", "what happened", *shown.columns))
    table = f'<table class="dataframe reasons"><thead><tr>{heads}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    rest = _more(int(reasons["rows"].sum()) - len(positions), "rows")
    return ["<h4>Rows that are not complete</h4>", f'<div class="scroll">{table}</div>', rest]


def _failed_instances(summary: pd.DataFrame, names: words.Names) -> list[str]:
    """Return the UIDs of what failed, for the archive's administrator to look up."""
    named = [(position, uids) for position, uids in enumerate(summary["failed_uids"].fillna("")) if uids]
    every = [
        (position, uid)
        for position, uids in named
        for uid in uids.split("\\")
        if names.show_keys or words.names_nobody(uid)
    ]
    if not every:
        return []
    first = every[:MOST_ROWS]
    shown = pd.DataFrame(
        {"row": [names(position) for position, _ in first], "SOPInstanceUID": [uid for _, uid in first]}
    )
    return [
        "<h4>Instances that the archive named as failed</h4>",
        _table(shown),
        _more(len(every) - len(shown), "UIDs"),
    ]


def _named(positions: list[int], run: words.Run, names: words.Names) -> pd.DataFrame:
    """Return the names of rows, the studies that they came to and, where asked for, their keys."""
    table = names.keys(positions)
    own = table.get("StudyInstanceUID", [""] * len(positions))
    studies = [uid or run.tell_studies(position) for uid, position in zip(own, positions, strict=True)]
    if any(studies):
        table["StudyInstanceUID"] = studies
    table.insert(0, "row", pd.Series([names(position) for position in positions], dtype=object))
    return table


def _counts(numbers: pd.Series[int]) -> list[str]:
    return ["" if gone else f"{number:,}" for number, gone in zip(numbers, numbers.isna(), strict=True)]


def _charts(summary: pd.DataFrame, names: words.Names, steps: pd.DataFrame) -> list[str]:
    parts = []
    if len(steps):
        unit, seconds = words.step_words(steps)
        starts = list(steps["start"])
        rates = (steps["instances"].fillna(0) / steps["seconds"] * seconds).astype(float).tolist()
        parts += [f"<h4>Instances a {unit}, by time (UTC)</h4>", charts.over_time_svg(starts, rates, "", "Instances")]
        if steps["bytes"].fillna(0).sum() > 0:
            speeds = (steps["bytes"].fillna(0) / steps["seconds"] / 1e6).astype(float).tolist()
            svg = charts.over_time_svg(starts, speeds, "", "Throughput")
            parts += ["<h4>Throughput in MB/s, by time (UTC)</h4>", svg]
    bars, labels, what = words.bars_of(summary, names, MOST_BARS)
    if bars.to_numpy().sum() > 0:
        title = f"Instances by {what}"
        parts += [f"<h4>{title}</h4>", charts.by_row_svg(bars, labels, title)]
    return parts


def _timed(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return when work on rows began, and how long it took."""
    return {
        "began (UTC)": ["" if pd.isna(moment) else f"{moment:%Y-%m-%d %H:%M:%S}" for moment in rows["started"]],
        "seconds": ["" if pd.isna(number) else f"{number:,.1f}" for number in rows["seconds"]],
    }


def _complete_rows(summary: pd.DataFrame, run: words.Run, names: words.Names) -> list[str]:
    places = figures.is_complete(summary).to_numpy().nonzero()[0].tolist()
    if not places:
        return []
    rows = summary.iloc[places[:MOST_ROWS]]
    table = _named(places[:MOST_ROWS], run, names).assign(
        status=figures.status_of(rows).tolist(),
        code=rows["status_code"].fillna("").tolist(),
        **_timed(rows),
        **{name: _counts(rows[name]) for name in figures.COUNTED if name != "bytes"},
        size=["" if pd.isna(number) else size(number) for number in rows["bytes"]],
    )
    return [
        f"<details><summary>Rows that are complete</summary>{_table(table)}",
        _more(len(places) - len(rows), "rows"),
        "</details>",
    ]


def _more(count: int, what: str) -> str:
    return f"<p>… and {count:,} more {what}</p>" if count > 0 else ""

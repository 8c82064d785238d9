"""Small charts as inline SVG: no script, nothing from the network, at home in light and dark themes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dicomover.progress.markup import COMPLETE, INCOMPLETE
from dicomover.reporting.figures import clock
from dicomover.text.visible import make_html

__all__ = ["COLOURS", "HATCHED", "by_row_svg", "over_time_svg", "verdict_bar"]

COLOURS = {"completed": COMPLETE, "warning": "#E69F00", "failed": INCOMPLETE, "open": "#999999"}
"""The colours of the panel, and those of the same palette for what it does not show; `open` is nobody's."""

HATCHED = ("failed",)
"""What has a pattern too, so that it can be told in black and white."""

WORDS = {"completed": "completed", "warning": "with a warning", "failed": "failed", "open": "not accounted for"}

_WIDTH, _LEFT, _PLOT = 720, 64, 640
_HEIGHT = 120
_LONGEST = 28  # characters of a name
_TEXT = 'font-size="11" fill="currentColor"'
_HATCH = f"url(#dicomover-hatch) {COLOURS['failed']}"  # plain where the pattern cannot be found
_PATTERN = (
    '<pattern id="dicomover-hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="5" height="5" fill="{COLOURS["failed"]}"/><rect width="1.5" height="5" fill="#fff"/></pattern>'
)


def over_time_svg(starts: Sequence[pd.Timestamp], values: Sequence[float], unit: str, label: str) -> str:
    """Return bars over time, with the largest value and the first and the last moment written on the axes.

    Examples
    --------
    >>> svg = over_time_svg([pd.Timestamp("2024-01-01 19:00", tz="UTC")], [3.0], "/s", "Instances")
    >>> "19:00:00" in svg, "<script" in svg
    (True, False)
    """
    most = max([*values, 0.0]) or 1.0
    step = _PLOT / max(len(values), 1)
    bar = max(0.5, min(step - 1, 40))
    drawn = []
    for number, value in enumerate(values):
        height = _HEIGHT * value / most
        drawn.append(
            f'<rect x="{_LEFT + number * step + (step - bar) / 2:.1f}" y="{8 + _HEIGHT - height:.1f}" '
            f'width="{bar:.1f}" height="{height:.1f}" fill="{COLOURS["completed"]}">'
            f"<title>{starts[number]:%Y-%m-%d %H:%M:%S} UTC: {value:,.1f}{make_html(unit)}</title></rect>"
        )
    floor = 8 + _HEIGHT
    axis = (
        f'<line x1="{_LEFT}" x2="{_LEFT + _PLOT}" y1="{floor}" y2="{floor}" stroke="currentColor" opacity="0.5"/>'
        f'<text x="{_LEFT - 6}" y="16" text-anchor="end" {_TEXT}>{_short(most)}{make_html(unit)}</text>'
        f'<text x="{_LEFT - 6}" y="{floor}" text-anchor="end" {_TEXT}>0</text>'
    )
    moments = [(0, "start")] if len(starts) == 1 else [(0, "start"), (len(starts) // 2, "middle"), (-1, "end")]
    for number, anchor in moments if len(starts) else []:
        at = (number % len(starts)) * step + _LEFT
        x = _LEFT if anchor == "start" else _LEFT + _PLOT if anchor == "end" else at + step / 2
        axis += f'<text x="{x:.0f}" y="{floor + 16}" text-anchor="{anchor}" {_TEXT}>{clock(starts)[number]}</text>'
    return _svg(f"{label}, {unit.lstrip(' ')}, by time", floor + 22, "".join(drawn) + axis)


def by_row_svg(bars: pd.DataFrame, names: Sequence[str], label: str) -> str:
    """Return a bar for each row (or verdict): what completed, with a warning, failed, and is not accounted for."""
    pitch = 18
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    left = 7.0 * max(map(len, names), default=0) + 20
    most = max(float(bars.sum(axis="columns").max()), 1.0)
    plot = _WIDTH - left - 120
    drawn = [f"<defs>{_PATTERN}</defs>"]
    rows: list[dict[str, int]] = [dict(zip(bars.columns, row, strict=True)) for row in bars.to_numpy().tolist()]
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        y, x = number * pitch + 4, left
        drawn.append(f'<text x="{left - 8:.0f}" y="{y + 10}" text-anchor="end" {_TEXT}>{make_html(name)}</text>')
        for part, value in row.items():
            width = max(plot * value / most, 3.0 if value else 0.0)  # one that failed among thousands is to be seen
            if value:
                fill = _HATCH if part in HATCHED else COLOURS[part]
                drawn.append(
                    f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{pitch - 5}" fill="{fill}">'
                    f"<title>{make_html(name)}: {value:,} {WORDS[part]}</title></rect>"
                )
            x += width
        failed = f", {row['failed']:,} failed" if row["failed"] else ""
        drawn.append(f'<text x="{x + 6:.0f}" y="{y + 10}" {_TEXT}>{sum(row.values()):,}{failed}</text>')
    y, x = len(bars) * pitch + 8, left
    for part in (part for part in bars.columns if bars[part].any()):
        fill = _HATCH if part in HATCHED else COLOURS[part]
        drawn.append(f'<rect x="{x:.0f}" y="{y}" width="11" height="11" fill="{fill}"/>')
        drawn.append(f'<text x="{x + 16:.0f}" y="{y + 10}" {_TEXT}>{WORDS[part]}</text>')
        x += 36 + 7 * len(WORDS[part])
    return _svg(label, y + 18, "".join(drawn))


def verdict_bar(counts: Sequence[tuple[str, int, bool]]) -> str:
    """Return one bar of all rows, in parts by verdict; each is a name, a number and whether that is complete."""
    whole, x, drawn = max(sum(count for _, count, _ in counts), 1), 0.0, [f"<defs>{_PATTERN}</defs>"]
    for name, count, complete in counts:
        width = _WIDTH * count / whole
        fill = COLOURS["completed"] if complete else _HATCH
        drawn.append(
            f'<rect x="{x:.1f}" y="0" width="{max(width - 1, 0.5):.1f}" height="10" fill="{fill}">'
            f"<title>{count:,} {make_html(name)}</title></rect>"
        )
        x += width
    return _svg(", ".join(f"{count:,} {name}" for name, count, _ in counts), 10, "".join(drawn))


def _svg(label: str, height: float, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" style="width: 100%; max-width: {_WIDTH}px; display: block" '
        f'role="img" aria-label="{make_html(label)}" xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"

"""A report drawn with matplotlib, which is an optional extra and is imported here only, inside functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from dicomover.errors import ConfigurationError
from dicomover.reporting.charts import COLOURS, HATCHED, WORDS
from dicomover.reporting.words import Names, Run, bars_of, heading, step_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw"]

MOST_BARS = 40


def draw(summary: pd.DataFrame, run: Run, names: Names, steps: pd.DataFrame) -> Figure:
    """Return a figure with up to three plots: instances and throughput over time, and instances by row.

    Raises ConfigurationError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = 'plots need matplotlib, which is not installed; pip install "dicomover[plots]"'
        raise ConfigurationError(message) from error

    class Shown(Figure):
        """Displays itself in a notebook, also where pyplot has not been imported."""

        def _repr_png_(self) -> bytes:
            from io import BytesIO

            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    bars, labels, what = bars_of(summary, names, MOST_BARS)
    timed = len(steps) > 0
    sized = timed and bool(steps["bytes"].sum() > 0)
    lowest = min(max(0.26 * len(bars) + 0.9, 1.6), 11.0)
    heights = [2.2] * (timed + sized) + [lowest]
    figure = Shown(figsize=(8.0, sum(heights) + 0.5), layout="constrained", facecolor="white")
    axes = list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    figure.suptitle(f"dicomover: {heading(summary, run)}", fontsize="medium")
    if timed:
        unit, seconds = step_words(steps)
        _over_time(axes[0], steps, steps["instances"] / steps["seconds"] * seconds, f"instances / {unit[:3]}")
        axes[0].set_title(f"{'Arrivals' if sized else 'Instances moved'} per {unit}", loc="left", fontsize="small")
    if sized:
        _over_time(axes[1], steps, steps["bytes"] / steps["seconds"] / 1e6, "MB / s", "#009E73")
        axes[1].set_title("Throughput", loc="left", fontsize="small")
    _by_row(axes[-1], bars, labels, what)
    return figure


def _over_time(axes: Axes, steps: pd.DataFrame, values: Any, unit: str, colour: str = COLOURS["completed"]) -> None:
    import matplotlib.dates

    dates: Any = matplotlib.dates  # carries no types
    starts = dates.date2num([start.to_pydatetime() for start in steps["start"]])
    width = float(steps["seconds"].iloc[0]) / 86400
    axes.bar(starts, values.fillna(0).astype(float), width=width * 0.95, align="edge", color=colour)
    locator = dates.AutoDateLocator(minticks=3, maxticks=8)
    short = starts[-1] - starts[0] < 1 / 24  # an hour: say the moment in full
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S") if short else dates.ConciseDateFormatter(locator))
    axes.set_xlim(starts[0] - 0.02 * width, starts[-1] + 1.02 * width)
    axes.set_xlabel("time (UTC)")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    _plain(axes)


def _by_row(axes: Axes, bars: pd.DataFrame, labels: list[str], what: str) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    places = list(range(len(bars)))
    left = pd.Series(0, index=bars.index)
    for part in bars.columns:
        if bars[part].any():
            hatch = "////" if part in HATCHED else None
            axes.barh(
                places,
                bars[part],
                left=left,
                height=0.7,
                color=COLOURS[part],
                label=WORDS[part],
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
            )
            left = left + bars[part]
    axes.set_yticks(places, labels)
    axes.set_ylim(max(len(bars), 1) - 0.4, -0.6)
    axes.set_xlim(left=0, right=max(float(left.max()) if len(left) else 0, 1) * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    for place, (end, failed) in enumerate(zip(left, bars["failed"], strict=True)):
        if failed:  # one among thousands would not be seen
            axes.annotate(f" {failed:,} failed", (end, place), va="center", fontsize="x-small", annotation_clip=False)
    axes.set_xlabel("instances")
    axes.set_ylabel(what)
    axes.set_title(f"Instances by {what}", loc="left", fontsize="small")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize="small", frameon=False, borderaxespad=0)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize="small")

"""The plots of a report: what they draw, labelled, for few rows and for many."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from tests.reporting.test_reports import moved, table

from dicomover import report
from dicomover.outcome import Counters, Status
from dicomover.reporting import Report
from dicomover.summary import Result, build

pytest.importorskip("matplotlib")


def night(rows: int) -> Report:
    """Return the report of so many rows, one in ten of them partial."""
    return report(table([moved(n % 50 + 1, failed=n % 10 == 3, at=n * 3.0) for n in range(rows)]))


@pytest.mark.parametrize("rows", [0, 1, 20, 10_000])
def test_plots_are_labelled(rows: int) -> None:
    """Whatever the size, each plot has a title, and its axes names with units; the figure stays of a size."""
    figure = night(rows).plot()
    assert len(figure.axes) == (3 if rows > 1 else 1)
    for axes in figure.axes:
        assert axes.get_title(loc="left")
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    assert figure.get_size_inches()[1] < 20
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_bars_are_the_counts_of_rows() -> None:
    """Completed, failed and unaccounted instances stand beside one another on the bar of their row."""
    figure = report(
        table([moved(5, failed=2), Result(Status.FAILURE, 0xA801, expected=4, counters=Counters(), attempts=1)])
    ).plot()
    (axes,) = figure.axes
    widths = {str(bars.get_label()): [bar.get_width() for bar in bars] for bars in axes.containers}
    assert widths == {"completed": [5, 0], "failed": [2, 0], "not accounted for": [0, 4]}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0", "1"]
    assert axes.get_ylabel() == "row"


def test_many_rows_are_drawn_by_status() -> None:
    """More rows than can be told apart are summed by status, and the labels say how many there are."""
    axes = night(1000).plot().axes[-1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["success (900)", "partial (100)"]
    assert axes.get_ylabel() == "status (rows)"


def test_without_matplotlib_it_says_what_to_install() -> None:
    """A missing matplotlib is an error that names the extra; everything else works without."""
    summary = build([Result(Status.SUCCESS)], pd.DataFrame({"AccessionNumber": ["1"]}))
    made = report(summary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(Exception, match=r'pip install "dicomover\[plots\]"'):
            made.plot()
    assert "1 request" in str(made)


def test_a_report_does_not_import_matplotlib(tmp_path: Path) -> None:
    """Text and page come without matplotlib, and so does the package."""
    code = (
        "import sys, pandas as pd, dicomover\n"
        "from dicomover.summary import Result, build\n"
        "made = dicomover.report(build([Result()], pd.DataFrame({'AccessionNumber': ['1']})))\n"
        f"str(made), made.write_html({str(tmp_path / 'page.html')!r})\n"
        "assert 'matplotlib' not in sys.modules and 'pynetdicom' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

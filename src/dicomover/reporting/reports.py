"""The report: what became of a batch, to be read, sent and drawn."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from dicomover.disk import Share, replace_file
from dicomover.reporting import figures
from dicomover.reporting.page import document, fragment
from dicomover.reporting.words import Names, Run, heading, plain, telling
from dicomover.text.listing import terminal_width
from dicomover.text.traces import forgetting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "report"]


class Report:
    """What became of a batch. Made by `dicomover.report` or `Job.report`.

    In a notebook it is a page with tables and small charts; `print(report)` gives the same in text. Nothing of a
    patient is in it, neither keys (but UIDs, by which an archive is searched) nor other columns of the summary, unless
    it was made with `show_keys=True`.

    Attributes
    ----------
    summary : DataFrame
        What it is made of.
    totals : DataFrame
        Rows and counts for each status, and for `all`.
    reasons : DataFrame
        Why rows are not complete: `rows`, `status`, `error`, `expected`, `moved`, `positions`. Sentences that differ
        in their numbers only are one reason.
    timeline : DataFrame
        What moved in each step of time: `start` (UTC), `seconds`, `instances`, `failed`, `bytes`. At most sixty steps.
    per_minute : DataFrame
        The same in steps of at least a minute.
    """

    def __init__(self, summary: pd.DataFrame, *, run: Run | None = None, show_keys: bool = False) -> None:
        self.summary = summary
        self._run = run or Run()
        self._show_keys = show_keys
        self._read = figures.read_summary(summary)

    @property
    def totals(self) -> pd.DataFrame:
        """Rows and counts for each status, and for `all`."""
        return figures.totals(self._read)

    @property
    def reasons(self) -> pd.DataFrame:
        """Why rows are not complete, the worst first; sentences that differ in their numbers only are one reason."""
        return figures.reasons(self._read)

    @property
    def timeline(self) -> pd.DataFrame:
        """What moved in each step of time, at most sixty of them."""
        return self._steps(1.0)

    @property
    def per_minute(self) -> pd.DataFrame:
        """The same, in steps of at least a minute."""
        return self._steps(60.0)

    def _steps(self, least: float) -> pd.DataFrame:
        began, ended, table = None, None, self._run.timeline
        if table is None:
            table = figures.over_time(self._read)
            known = figures.times(self._read)
            if known is not None:
                began, ended = known[0], known[1]
        else:
            received = table["received"].sum() > 0
            least = max(least, float(table["seconds"].max()) if len(table) else 1.0)
            table = table.assign(
                instances=table["received" if received else "moved"],
                bytes=table["bytes"] if received else pd.Series(pd.NA, index=table.index, dtype="Int64"),
            )
            if self._run.began is not None:
                began = pd.Timestamp(self._run.began)
                ended = began + pd.Timedelta(seconds=self._run.seconds or 0.0)
        return figures.time_steps(table, began, ended, least)

    def write_html(
        self, path: str | os.PathLike[str], *, show_keys: bool | None = None, share: Share = "owner"
    ) -> Path:
        """Write the report as one page that needs nothing else: no scripts, nothing from the internet.

        Parameters
        ----------
        path
            The file; an older one is replaced.
        show_keys
            Whether the page names the keys and the index of rows, which may be patient data; as the report does
            by default, which is not, unless it was made so.
        share
            Who may read the file: its `owner` alone, its `group`, or `all`.

        Returns
        -------
        Path
            The file.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> import dicomover
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with DemoPacs([made_study("00123", instances=3)]) as pacs, TemporaryDirectory() as folder:
        ...     mover = dicomover.Mover(pacs.node, destination="WORKSTATION", progress="none")
        ...     summary = mover.move([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
        ...     page = dicomover.report(summary).write_html(f"{folder}/report.html")
        ...     "not-found" in page.read_text(), "00124" in page.read_text()
        (True, False)
        """
        shown = self._show_keys if show_keys is None else show_keys
        target = Path(path)
        with replace_file(target, share) as part:
            part.write_text(document(*self._parts(shown)), encoding="utf-8")
        return target

    def plot(self) -> Figure:
        """Draw it with matplotlib: arrivals and throughput over time, and what became of the instances of each row.

        Returns
        -------
        matplotlib.figure.Figure
            `report.plot().savefig("report.png")` writes it to a file.

        Raises
        ------
        ConfigurationError
            If matplotlib is not installed; `pip install "dicomover[plots]"` brings it.
        """
        from dicomover.reporting.plots import draw

        return draw(*self._parts(self._show_keys))

    def _parts(self, show_keys: bool) -> tuple[pd.DataFrame, Run, Names, pd.DataFrame]:
        names = Names(self._read, show_keys=show_keys)
        return self._read, self._run, names, telling(self.timeline, self._read, self._run)

    def __str__(self) -> str:
        """Return it as text, as wide as the terminal."""
        return plain(*self._parts(self._show_keys), terminal_width())

    def __repr__(self) -> str:
        """Return the same in one line."""
        return f"<Report: {heading(self._read, self._run)}>"

    def _repr_html_(self) -> str:
        return fragment(*self._parts(self._show_keys))

    def _repr_pretty_(self, printer: object, cycle: bool) -> None:
        """Let a saved notebook keep the text where it cannot show HTML."""
        del cycle
        printer.text(str(self))  # type: ignore[attr-defined]


@forgetting
def report(summary: pd.DataFrame, *, show_keys: bool = False) -> Report:
    """Read the outcome of a batch: totals, why rows are not complete, and how it went over time.

    Parameters
    ----------
    summary : DataFrame
        What `Mover.move` or `Job.summary` returned, or part of it, or one read back from a file.
    show_keys
        Whether the index and the keys (PatientID, AccessionNumber) are shown. They may be patient data; without it rows
        are called by their numbers, and only UIDs are shown.

    Returns
    -------
    Report
        To be displayed, printed, written to a page by `write_html`, or drawn by `plot`.

    Raises
    ------
    ConfigurationError
        If a column of the summary is missing.

    Notes
    -----
    A summary knows when work on a row began and ended, not when each of its instances came; `Job.report` does.

    Examples
    --------
    >>> import dicomover
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with DemoPacs([made_study("00123", instances=3)]) as pacs:
    ...     mover = dicomover.Mover(pacs.node, destination="WORKSTATION", progress="none")
    ...     summary = mover.move([{"AccessionNumber": "00123"}, {"AccessionNumber": "00124"}])
    >>> dicomover.report(summary)
    <Report: 2 requests, 1 not complete>
    >>> dicomover.report(summary).totals["rows"].to_dict()
    {'success': 1, 'not-found': 1, 'all': 2}
    """
    return Report(summary, show_keys=show_keys)

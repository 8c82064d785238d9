"""Reading the outcome of a batch: a report as text, as a page and as plots.

`figures` computes and never draws; `words`, `charts` and `page` put its tables into text and HTML; `plots` draws them
with matplotlib. `merging` joins what several machines have of one batch.

Never here: a figure that the summary does not hold, and a script in a page.
"""

from dicomover.reporting.merging import merge
from dicomover.reporting.reports import Report, report
from dicomover.reporting.words import Run

__all__ = ["Report", "Run", "merge", "report"]

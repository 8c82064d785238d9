"""Put what was measured where people read it: all of it into benchmarks/README.md, five rows into README.md."""

from __future__ import annotations

from pathlib import Path

from benchmarks import ROOT

__all__ = ["MARKS", "SHOWN", "publish", "section"]

FIRST = ROOT / "README.md"
EVERYTHING = ROOT / "benchmarks" / "README.md"
SHOWN = (
    "33 KB, one association: against storescp with TCP_NODELAY=1",
    "512 KB, one association: against pynetdicom writing raw bytes",
    "200 studies to a third party: against a shell loop of movescu",
    "ten one-image studies to ourselves: against movescu --port",
    "index: against pydicom reading the same keywords in one process",
)
"""What the project's README shows."""

MARKS = ("<!-- benchmarks -->", "<!-- end benchmarks -->")


def publish(machine: str, rows: list[str], samples: str) -> None:
    """Write the tables between the marks of both pages.

    Parameters
    ----------
    machine
        What it was measured on.
    rows
        The lines of the table of rows, its head first.
    samples
        The table of what was measured.
    """
    head, lines = rows[:2], rows[2:]
    shown = [line for line in lines if line.split(" | ")[0].removeprefix("| ") in SHOWN]
    _put(FIRST, "\n".join([*head, *shown]))
    _put(EVERYTHING, f"{machine}\n\n" + "\n".join(rows) + f"\n\n{samples}")


def section(page: Path) -> str:
    """Return what stands between the marks of a page."""
    return page.read_text(encoding="utf-8").partition(MARKS[0])[2].partition(MARKS[1])[0]


def _put(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")

"""Measure, and print a table: python -m benchmarks [--quick] [--only NAME] [--list] [--update] [--folder FOLDER]."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import indexing, journal, moving, places, receiving
from benchmarks.harness import FULL, QUICK, SMOKE, WENT_WRONG, load, machine, row_lines, run, sample_lines
from benchmarks.publish import publish

EXPERIMENTS = [
    *receiving.EXPERIMENTS,
    *moving.EXPERIMENTS,
    journal.EXPERIMENT,
    *indexing.EXPERIMENTS,
    places.EXPERIMENT,
]
SCALES = {"full": FULL, "quick": QUICK, "smoke": SMOKE}


def main() -> None:
    """Measure what was asked for."""
    given = _arguments()
    chosen = [one for one in EXPERIMENTS if not given.only or any(one.name.startswith(name) for name in given.only)]
    if not chosen:
        sys.exit(
            f"no benchmark begins with {', '.join(given.only)}; there are {', '.join(e.name for e in EXPERIMENTS)}"
        )
    if given.list:
        print("\n".join(row.measure for experiment in chosen for row in experiment.rows))
        return
    logging.getLogger("dicomover").setLevel(logging.ERROR)
    scale = SCALES[given.scale]
    rows, samples, notes = [], [], []
    before = load()
    with tempfile.TemporaryDirectory(prefix="dicomover-benchmarks-", dir=given.folder) as folder:
        where = machine(Path(folder))
        for experiment in chosen:
            inside = Path(folder, experiment.name)
            inside.mkdir()
            figures, missing = run(experiment, scale, inside, tell)
            lines = row_lines(experiment, figures)
            measured = sample_lines(experiment, figures)
            tell("\n".join((*lines, *measured, *missing)))
            rows += lines
            samples += measured
            notes += missing
    said = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {where}; load average {before} before and {load()} after; "
        f"medians of {scale.rounds} rounds, of fewer where a contestant takes long."
    )
    table = ["| measure | value | target | reached |", "| --- | --- | --- | --- |", *rows]
    head = "| what was measured | contestant | median | from … to | rounds |\n| --- | --- | --- | --- | --- |"
    found = "\n".join([head, *samples])
    print(said, "\n".join(table), found, sep="\n\n")
    print("".join(f"\n{note}" for note in notes))
    if any(WENT_WRONG in note for note in notes):
        sys.exit(1)
    if given.update:
        publish(said, table, found)


def tell(text: str) -> None:
    """Say what goes on; the table comes at the end."""
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast dicomover is.")
    parser.add_argument("--quick", dest="scale", action="store_const", const="quick", default="full", help="less of it")
    parser.add_argument(
        "--smoke", dest="scale", action="store_const", const="smoke", help="as little as possible: does it run?"
    )
    parser.add_argument("--only", action="append", metavar="NAME", default=[], help="benchmarks that begin with it")
    parser.add_argument(
        "--update", action="store_true", help="write the tables into README.md and benchmarks/README.md"
    )
    parser.add_argument("--list", action="store_true", help="print what would be measured")
    parser.add_argument("--folder", help="where files go; the system's temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()

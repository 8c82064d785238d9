"""What the journal costs: 100,000 requests of 100 images each written, then opened, read and decided as a rerun does.

python -m benchmarks.journal [requests] [folder] prints each step; `python -m benchmarks` has the sums in its table.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Contestant, Experiment, Row, Scale, figure
from dicomover.identifier import Level, Model, Request
from dicomover.journal import File, Journal, Place, Privacy, Scope, Sync, decide
from dicomover.outcome import Counters, Status
from dicomover.summary import Result

SECRET = "a secret of this benchmark"
IMAGES = 100
PLACE = Place.of("ARCHIVE", None)


def requests(count: int) -> list[Request]:
    """Return so many requests by accession number."""
    return [Request(n, n, {"AccessionNumber": f"{n:08d}"}, Level.STUDY, Model.STUDY) for n in range(count)]


def scope(number: int) -> Scope:
    """Name the study of a request."""
    return Scope(Level.STUDY, f"1.2.826.0.1.3680043.10.511.3.{number}", "", (), "P")


def files(number: int, count: int) -> list[File]:
    """Return the files of that study: UIDs and times of arrival as random as they come."""
    study, rng = scope(number).study, random.Random(number)
    series, syntax, began = f"{study}.1", "1.2.840.10008.1.2.1", 1_700_000_000_000_000_000 + number
    names = [f"2.25.{rng.getrandbits(127)}" for _ in range(count)]
    return [
        File(f"P{number}/{series}/{name}.dcm", name, series, study, 524_288, began + n * rng.getrandbits(23), syntax)
        for n, name in enumerate(names)
    ]


def measure(path: Path, count: int, privacy: Privacy, sync: Sync, images: int) -> tuple[float, float | None]:
    """Write and read one journal, and print what each step took.

    Returns the seconds for writing one request and those for a rerun to know everything, None if that was not measured.
    """
    secret = SECRET if privacy == "hashed" else None
    batch = requests(count)
    result = Result(Status.SUCCESS, 0, 1, 10, Counters(10, 0, 0), 10, 5_242_880, 1, datetime.now(UTC), 1.5)
    sample = min(count, 2_000) if sync == "record" else count
    fewer = [files(number, images) for number in range(min(count, 500))]  # made beforehand, and taken over and over
    with Journal(path, privacy=privacy, secret=secret, sync=sync) as journal:
        asked = [journal.asked(request, archive="ARCHIVE") for request in batch]
        begun, cpu = time.perf_counter(), time.process_time()
        for number in range(sample):
            journal.claim([asked[number].key])
            study = scope(number)
            came = [file._replace(study=study.study) for file in fewer[number % len(fewer)]]
            journal.record(asked[number], result, [study], place=PLACE, brought={"P": came}, whole=[(study, None)])
        wall, busy = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{privacy}, sync={sync}: claim and record {wall / sample * 1e6:.0f} µs, {busy / sample * 1e6:.0f} µs of it CPU"
    )
    if sample < count:
        return wall / sample, None
    begun = time.perf_counter()
    with Journal(path, privacy=privacy, secret=secret) as journal:
        opened = time.perf_counter()
        keys = [journal.asked(request, archive="ARCHIVE").key for request in batch]
        named = time.perf_counter()
        entries = journal.entries(keys)
        read = time.perf_counter()
        decisions = [decide(entries[key].result) for key in keys]
        decided = time.perf_counter()
        assert len(decisions) == len(entries) == count
        some = max(1, count // 100)
        held = [journal.holding(PLACE, scope(number)).count for number in range(some)]
        unpacked = time.perf_counter()
        assert set(held) == {images}
    print(
        f"  {count} requests, {path.stat().st_size / 1e6:.0f} MB: open {opened - begun:.3f} s, "
        f"keys {named - opened:.2f} s, read {read - named:.2f} s, decide {decided - read:.2f} s, "
        f"together {decided - begun:.2f} s; {path.stat().st_size / count / images:.1f} bytes an image; "
        f"what is here of a study, with its {images} files, {(unpacked - decided) / some * 1e6:.0f} µs"
    )
    return wall / sample, decided - begun


@contextmanager
def _prepare(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    numbers = itertools.count()

    def run(sync: Sync, count: int) -> dict[str, float]:
        with contextlib.redirect_stdout(sys.stderr):
            written, read = measure(folder / f"{next(numbers)}.db", count, "hashed", sync, 10)
        return {f"sync={sync}, a request": written} | ({} if read is None else {"rerun": read})

    yield {
        "sync=record": Contestant(lambda: run("record", min(scale.journal, 2_001))),
        "sync=renew": Contestant(lambda: run("renew", scale.journal), 2),
    }


EXPERIMENT = Experiment(
    "journal",
    "the journal of 100,000 requests",
    [
        Row("journal of 100,000 requests: opened, read and decided", figure("rerun"), " s", 3.0, at_most=True),
        Row(
            "journal: a request claimed and recorded, synced each time",
            figure("sync=record, a request", 1e3),
            " ms",
        ),
        Row("journal: the same, synced every few seconds", figure("sync=renew, a request", 1e3), " ms"),
    ],
    _prepare,
)


def main() -> None:
    """Measure what matters."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", nargs="?", type=int, default=100_000)
    parser.add_argument("folder", nargs="?", default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for privacy in ("plain", "hashed"):
            for sync in ("record", "renew"):
                measure(Path(folder, f"{privacy}-{sync}.db"), given.requests, privacy, sync, IMAGES)


if __name__ == "__main__":
    main()

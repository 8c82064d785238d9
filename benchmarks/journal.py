"""What the journal costs: 100,000 requests written, then opened, read and decided as a rerun does it.

python benchmarks/journal.py [requests] [folder]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from dicomover.hygiene import Request
from dicomover.identifier import Identifier, Level, Model
from dicomover.journal import Details, File, Journal, Manifest, Privacy, Sync, decide
from dicomover.outcome import Counters, Status
from dicomover.summary import Result

SECRET = "a secret of this benchmark"


def requests(count: int) -> list[Request]:
    """Return so many requests by accession number."""
    return [Request(n, n, {"AccessionNumber": f"{n:08d}"}, Level.STUDY, Model.STUDY) for n in range(count)]


def details(number: int, files: int = 10) -> Details:
    """Return a study of so many files."""
    study = f"1.2.826.0.1.3680043.10.511.3.{number}"
    series = f"{study}.1"
    names = [f"{series}.{instance}" for instance in range(files)]
    manifest = Manifest(
        tuple(
            File(f"P{number}/{study}/{series}/{name}.dcm", name, series, study, 524_288, 1_700_000_000_000_000_000 + n)
            for n, name in enumerate(names)
        )
    )
    return Details((Identifier(Level.STUDY, Model.STUDY, study=study),), manifest)


def measure(path: Path, count: int, privacy: Privacy, sync: Sync) -> None:
    """Write and read one journal, and print what each step took."""
    secret = SECRET if privacy == "hashed" else None
    batch = requests(count)
    result = Result(Status.SUCCESS, 0, 1, 10, Counters(10, 0, 0), 10, 5_242_880, 1, datetime.now(UTC), 1.5)
    sample = min(count, 2_000) if sync == "record" else count
    with Journal(path, privacy=privacy, secret=secret, sync=sync) as journal:
        asked = [journal.asked(request, archive="ARCHIVE") for request in batch]
        begun, cpu = time.perf_counter(), time.process_time()
        for number in range(sample):
            journal.claim([asked[number].key])
            journal.record(asked[number], result, details(number))
        wall, busy = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{privacy}, sync={sync}: claim and record {wall / sample * 1e6:.0f} µs, {busy / sample * 1e6:.0f} µs of it CPU"
    )
    if sample < count:
        return
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
        some = journal.details(keys[: max(1, count // 10)])
        unpacked = time.perf_counter()
    print(
        f"  {count} requests, {path.stat().st_size / 1e6:.0f} MB: open {opened - begun:.3f} s, "
        f"keys {named - opened:.2f} s, read {read - named:.2f} s, decide {decided - read:.2f} s, "
        f"together {decided - begun:.2f} s; details {(unpacked - decided) / len(some) * 1e6:.0f} µs each"
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
                measure(Path(folder, f"{privacy}-{sync}.db"), given.requests, privacy, sync)


if __name__ == "__main__":
    main()

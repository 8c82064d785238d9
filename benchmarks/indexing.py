"""What it costs to read the headers of a folder: `dicomover.index`, beside pydicom reading the same keywords.

The files are in the page cache, as they are where they have just arrived. Peak memory is that of a process of its own.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from pydicom import dcmread

from benchmarks.harness import Contestant, Experiment, Figures, Row, Scale, Unavailable, figure, ratio, stopwatch
from dicomover import index
from dicomover.images.table import USUAL
from images_kit import make_slice

_SERIES, _NUMBER, _HEIGHT = "2.25.1111111111111111", "1234567", "98765.25"  # what a file has of its own
_TOLD = """
import sys
from pathlib import Path
from dicomover import index
import dicomover.images.table
def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
index(sys.argv[2], cache=False)  # what the first one loads is no matter of rows
before = peak()
rows = len(index(sys.argv[1], cache=False))
print((peak() - before) / rows)
"""


def fill(folder: Path, count: int) -> None:
    """Write so many CT images without many pixels, 200 in a series: of a file the head alone is read."""
    made = make_slice(
        7, (-123.456, -234.567, float(_HEIGHT)), series=_SERIES, InstanceNumber=_NUMBER, StudyDate="20240101",
        SOPInstanceUID=f"{_SERIES}.{_NUMBER}", PatientName="Doe^Jane", AccessionNumber="00001234", Manufacturer="Maker",
        SeriesDescription="THORAX 2.5", ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], SliceThickness=2.5, KVP=120,
        SliceLocation=_HEIGHT, WindowCenter=40, WindowWidth=400, ConvolutionKernel="B30f", BodyPartExamined="CHEST",
        FrameOfReferenceUID="2.25.3333333333", SeriesNumber=3, PatientPosition="HFS", StudyTime="120000",
    )  # fmt: skip
    stream = io.BytesIO()
    made.save_as(stream, enforce_file_format=True)
    template = stream.getvalue()
    for number in range(count):
        series, place = divmod(number, 200)
        where = folder / f"P{series // 5:05d}" / f"S{series:06d}"
        where.mkdir(parents=True, exist_ok=True)
        own = {_SERIES: f"2.25.{10**15 + series}", _NUMBER: str(10**6 + number), _HEIGHT: f"{10**4 + 2.5 * place:.2f}"}
        data = template
        for old, new in own.items():
            data = data.replace(old.encode(), new.encode())
        (where / f"{number:07d}.dcm").write_bytes(data)


@contextmanager
def _prepare(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    fill(folder, 20 * scale.images)
    paths = sorted(folder.rglob("*.dcm"))[: scale.images]
    index(folder)

    def look(*, cache: bool) -> float:
        with stopwatch() as elapsed:
            rows = len(index(folder, cache=cache))
        return elapsed() / rows

    def parse() -> float:
        with stopwatch() as elapsed:
            for path in paths:
                dataset = dcmread(path, stop_before_pixels=True)
                for keyword in USUAL.split():
                    dataset.get(keyword)
        return elapsed() / len(paths)

    yield {
        "index": Contestant(lambda: look(cache=False)),
        "index again": Contestant(lambda: look(cache=True)),
        "pydicom": Contestant(parse),
    }


@contextmanager
def _prepare_many(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    fill(folder, 2 * scale.journal)

    def remember() -> float:
        if not Path("/proc/self/status").exists():
            raise Unavailable("memory is read from /proc")
        one = next(folder.rglob("*.dcm")).parent
        command = [sys.executable, "-c", _TOLD, str(folder), str(one)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout)

    yield {"peak above the start, a row": Contestant(remember, 1)}


def _a_second(figures: Figures, name: str) -> float:
    return 1 / median(figures[name])


EXPERIMENTS = [
    Experiment(
        "index",
        "the headers of 20,000 files",
        [
            Row("index: files a second, all cores", lambda f: _a_second(f, "index"), "", 5_000),
            Row("index: files a second where nothing has changed", lambda f: _a_second(f, "index again"), ""),
            Row("index: against pydicom reading the same keywords in one process", ratio("pydicom", "index")),
        ],
        _prepare,
    ),
    Experiment(
        "index-memory",
        "the headers of 200,000 files",
        [Row("index: peak memory of a row", figure("peak above the start, a row"), " KB", 1.0, at_most=True)],
        _prepare_many,
        "KB",
        1.0,
    ),
]

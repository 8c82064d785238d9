"""Receiving: the same files from the same sender (storescu) to different Storage SCPs."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
from benchmarks import opponents
from benchmarks.harness import (
    SLOW,
    Contestant,
    Experiment,
    Row,
    Scale,
    busy,
    check_files,
    children,
    figure,
    lent,
    measured,
    opponent,
    peak_memory,
    program,
    ratio,
    running,
    with_nagle,
)
from dicomover.dicomfile import encode_file_meta
from dicomover.events import Admission, Arrival, Refusal
from dicomover.receiver import Receiver
from dicomover.receiver.layout import DEFAULT_LAYOUT
from dicomover.testing import made_study
from dicomover.testing._elements import encode

__all__ = ["EXPERIMENTS"]

FLAT = "{SOPInstanceUID}.dcm"
SENDERS = 4
_EXPLICIT = "1.2.840.10008.1.2.1"
_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
_FRAME = 512 * 512 * 2

SHIPPED, NODELAY, TUNED = "storescp as shipped", "storescp", "storescp +B -pdu 131072"
SINK, RAW = "storescp --ignore (a sink)", "bare socket"
PYNETDICOM, PYNETDICOM_APP = "pynetdicom, raw bytes", "python -m pynetdicom storescp"
OURS, OURS_FLAT, OURS_NAGLE, OURS_BUSY = "dicomover", "dicomover, flat", "dicomover, Nagle", "dicomover, busy parent"
OURS_WORKERS = "dicomover, workers=2"
NODELAY_BUSY = "storescp, beside a busy loop"


@dataclass(frozen=True)
class Files:
    """Files to send: a folder for each of four senders."""

    study: str
    folders: tuple[Path, ...]
    count: int
    size: int

    @classmethod
    def write(cls, folder: Path, count: int, size: int) -> Files:
        """Write one study of four series."""
        study = made_study(f"{size}", series=SENDERS, instances=count // SENDERS, size=size)
        folders = tuple(folder / f"{size}-{number}" for number in range(SENDERS))
        for series, where in zip(study.series, folders, strict=True):
            peers.write_files(where, series.instances)
        return cls(study.study_instance_uid, folders, count, size)

    def few(self, count: int) -> Files:
        """Return the first so many of them, in links."""
        folders = tuple(path.with_name(f"{path.name}-few") for path in self.folders)
        for given, where in zip(self.folders, folders, strict=True):
            where.mkdir()
            for path in sorted(given.iterdir())[: count // SENDERS]:
                (where / path.name).hardlink_to(path)
        return Files(self.study, folders, count, self.size)


@dataclass(frozen=True)
class Trial:
    """Sends files to one Storage SCP after the other, each of them started for it in an empty folder."""

    files: Files
    senders: int
    folder: Path
    numbers: Iterator[int]

    def send(self, port: int, *, nagle: bool = False) -> float:
        """Send everything, and return the seconds for each image."""
        shares = [self.files.folders] if self.senders == 1 else [[folder] for folder in self.files.folders]
        sender = [program("storescu"), "-aec", "HERE", "127.0.0.1", str(port), "+sd"]
        return measured([[*sender, *map(str, share)] for share in shares], nagle=nagle) / self.files.count

    def incoming(self) -> AbstractContextManager[Path]:
        """Lend an empty folder to receive into."""
        return lent(self.folder / f"incoming-{next(self.numbers)}")

    def dicomover(
        self, layout: str = DEFAULT_LAYOUT, *, nagle: bool = False, loop: bool = False, workers: int = 1
    ) -> float:
        """Receive with ours."""
        events: list[Arrival | Refusal] = []
        with self.incoming() as folder:
            with (
                Receiver(
                    folder,
                    ae_title="HERE",
                    on_event=events.append,
                    port=0,
                    bind="127.0.0.1",
                    layout=layout,
                    workers=workers,
                ) as receiver,
                busy() if loop else nullcontext(),
            ):
                receiver.admit(Admission(1, study_uids=frozenset({self.files.study})))
                seconds = self.send(receiver.port, nagle=nagle)
            check_files(folder, self.files.count, self.files.size)
        if sum(isinstance(event, Arrival) for event in events) != self.files.count:
            raise RuntimeError(f"{len(events)} events came of {self.files.count} files")
        return seconds

    def storescp(self, *options: str, nagle: bool = False, loop: bool = False) -> float:
        """Receive with DCMTK."""
        if self.senders > 1:
            options = ("--fork", *options)  # without it takes one association after the other
        with self.incoming() as folder:
            command = [program("storescp"), "-aet", "HERE", *options, "-od", str(folder)]
            if nagle:
                command = with_nagle(*command)
            with (
                running(lambda port: [*command, str(port)], self.folder / "storescp.log") as server,
                busy() if loop else nullcontext(),
            ):
                seconds = self.send(server.port, nagle=nagle)
            if "--ignore" not in options:
                check_files(folder, self.files.count, self.files.size)
        return seconds

    def pynetdicom(self, *, app: bool = False) -> float:
        """Receive with pynetdicom."""
        with self.incoming() as folder:
            command: Callable[[int], list[str]] = opponent("pynetdicom", folder)
            if app:
                started = [sys.executable, "-m", "pynetdicom", "storescp", "-q", "-aet", "HERE", "-od", str(folder)]
                command = lambda port: [*started, str(port)]  # noqa: E731
            with running(command, self.folder / "pynetdicom.log") as server:
                seconds = self.send(server.port)
            check_files(folder, self.files.count, self.files.size)
        return seconds

    def raw(self) -> float:
        """Send the same bytes through a bare socket into files."""
        with self.incoming() as folder:
            paths = [sorted(share.iterdir()) for share in self.files.folders]
            if self.senders == 1:
                paths = [[path for share in paths for path in share]]
            with running(opponent("raw", folder), self.folder / "raw.log") as server:
                seconds = opponents.send_at_once(server.port, paths) / self.files.count
            check_files(folder, self.files.count, self.files.size)
        return seconds


def _prepare(size: int, senders: int) -> Callable[[Scale, Path], AbstractContextManager[Mapping[str, Contestant]]]:
    @contextmanager
    def prepare(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
        numbers = itertools.count()
        files = Files.write(folder / "files", scale.images, size)
        all_of_them = Trial(files, senders, folder, numbers)
        few = Trial(files.few(scale.slow_images), senders, folder, numbers)
        contestants = {
            OURS: all_of_them.dicomover,
            NODELAY: all_of_them.storescp,
            SINK: partial(all_of_them.storescp, "--ignore", "-pdu", "131072"),
            RAW: all_of_them.raw,
            PYNETDICOM: all_of_them.pynetdicom,
            SHIPPED: partial(few.storescp, nagle=True),
        }
        if senders == 1:
            contestants |= {
                OURS_FLAT: partial(all_of_them.dicomover, FLAT),
                OURS_NAGLE: partial(all_of_them.dicomover, nagle=True),
                TUNED: partial(all_of_them.storescp, "+B", "-pdu", "131072"),
                PYNETDICOM_APP: partial(few.pynetdicom, app=True),
                OURS_BUSY: partial(all_of_them.dicomover, loop=True),
                NODELAY_BUSY: partial(all_of_them.storescp, loop=True),
            }
        else:
            contestants[OURS_WORKERS] = partial(all_of_them.dicomover, workers=2)
        slow = (SHIPPED, PYNETDICOM, PYNETDICOM_APP)
        yield {name: Contestant(trial, SLOW if name in slow else None) for name, trial in contestants.items()}

    return prepare


def _rows(what: str, senders: int, nodelay: float, pynetdicom: float) -> list[Row]:
    def target(ratio: float) -> float | None:
        return ratio if senders == 1 else None  # what must be reached is said of one association

    rows = [
        Row(f"{what}: against storescp with TCP_NODELAY=1", ratio(NODELAY, OURS), target=target(nodelay)),
        Row(f"{what}: against storescp as shipped", ratio(SHIPPED, OURS), target=target(20.0)),
        Row(f"{what}: against pynetdicom writing raw bytes", ratio(PYNETDICOM, OURS), target=target(pynetdicom)),
        Row(f"{what}: a sink that discards, as a share of our time", ratio(SINK, OURS)),
        Row(f"{what}: that sink against pynetdicom, the most that this sender allows", ratio(PYNETDICOM, SINK)),
        Row(f"{what}: a bare socket into files, as a share of our time", ratio(RAW, OURS)),
    ]
    if senders == 1:
        rows += [
            Row(f"{what}: against storescp +B -pdu 131072 with TCP_NODELAY=1", ratio(TUNED, OURS)),
            Row(f"{what}: against python -m pynetdicom storescp", ratio(PYNETDICOM_APP, OURS)),
            Row(f"{what}: sender with Nagle on, compared with off", ratio(OURS, OURS_NAGLE), target=0.9),
            Row(f"{what}: busy Python loop in the parent, compared with idle", ratio(OURS, OURS_BUSY), target=0.8),
            Row(f"{what}: storescp beside the same busy loop, compared with idle", ratio(NODELAY, NODELAY_BUSY)),
            Row(f"{what}: the default layout's speed, compared with a flat one", ratio(OURS_FLAT, OURS)),
        ]
    else:
        rows.append(Row(f"{what}: workers=2 against storescp with TCP_NODELAY=1", ratio(NODELAY, OURS_WORKERS)))
    return rows


# --- one large object


def _write_big(path: Path, size: int) -> str:
    """Write a multi-frame object of so many bytes, with a hole for its pixels, and return its Study Instance UID."""
    frames = max(size // _FRAME, 1)
    study = "1.2.826.0.1.3680043.10.511.9.1"
    values = {
        "SOPClassUID": _MULTI_FRAME,
        "SOPInstanceUID": f"{study}.1.1",
        "Modality": "OT",
        "PatientID": "BIG",
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "SamplesPerPixel": "1",
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": str(frames),
        "Rows": "512",
        "Columns": "512",
        "BitsAllocated": "16",
        "BitsStored": "16",
        "HighBit": "15",
        "PixelRepresentation": "0",
    }
    head = encode(values, _EXPLICIT) + b"\xe0\x7f\x10\x00OW\x00\x00" + (frames * _FRAME).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(encode_file_meta(_MULTI_FRAME, f"{study}.1.1", _EXPLICIT) + head)
        file.truncate(file.tell() + frames * _FRAME)
    return study


@contextmanager
def _prepare_big(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    where = folder / "big"
    where.mkdir()
    study = _write_big(where / "big.dcm", scale.big)
    trial = Trial(Files(study, (where,), 1, scale.big), 1, folder, itertools.count())

    def ours() -> dict[str, float]:
        with trial.incoming() as incoming:
            before = children()
            with Receiver(incoming, ae_title="HERE", on_event=lambda _: None, port=0, bind="127.0.0.1") as receiver:
                (pid,) = children() - before
                idle = peak_memory(pid)
                receiver.admit(Admission(1, study_uids=frozenset({study})))
                trial.send(receiver.port)
                peak = peak_memory(pid)
            check_files(incoming, 1, scale.big)
        return {"dicomover, before": idle, OURS: peak}

    def theirs() -> float:
        with trial.incoming() as incoming:
            command = [program("storescp"), "-aet", "HERE", "-od", str(incoming)]
            with running(lambda port: [*command, str(port)], folder / "storescp.log") as server:
                trial.send(server.port)
                return peak_memory(server.process.pid)

    yield {OURS: Contestant(ours, 2), NODELAY: Contestant(theirs, 1)}


EXPERIMENTS = [
    Experiment(
        f"{'one' if senders == 1 else 'four'}-{size}",
        f"{size} KB images on {'one association' if senders == 1 else 'four associations at once'}",
        _rows(f"{size} KB, {'one association' if senders == 1 else 'four associations'}", senders, nodelay, pynetdicom),
        _prepare(size * 1024, senders),
        unit="ms an image",
    )
    for senders in (1, SENDERS)
    for size, nodelay, pynetdicom in ((33, 0.9, 7.0), (512, 1.0, 4.0))
] + [
    Experiment(
        "memory",
        "one multi-frame object of 2 GiB",
        [
            Row("multi-frame object of 2 GiB: peak memory of our receiver", figure(OURS), " MB", 200.0, at_most=True),
            Row("multi-frame object of 2 GiB: of it before anything came", figure("dicomover, before"), " MB"),
            Row("multi-frame object of 2 GiB: peak memory of storescp", figure(NODELAY), " MB"),
        ],
        _prepare_big,
        unit="MB",
        factor=1.0,
    )
]

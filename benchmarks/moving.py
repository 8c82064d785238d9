"""End to end: small studies out of DCMTK's archive (dcmqrscp), and the Mover alone against an archive of nothing."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import peers
from benchmarks import ROOT
from benchmarks.harness import (
    SLOW,
    Contestant,
    Experiment,
    Figures,
    Row,
    Scale,
    by_number,
    check_files,
    figure,
    leading_number,
    lent,
    measured,
    program,
    ratio,
    stopwatch,
)
from dicomover import Mover
from dicomover.testing import Study, made_studies

__all__ = ["EXPERIMENTS"]

MOVER, COMMAND = "Mover", "dicomover move"
MOVESCU, MOVESCU_PORT = "movescu in a loop", "movescu --port in a loop"
PYNETDICOM = "pynetdicom's movescu in a loop"
OPEN, CLOSED = "Mover, open", "Mover, opened for it"


def _loop(command: Sequence[str], studies: Sequence[Study], archive: peers.Archive) -> list[str]:
    """Return a shell that moves one study after the other."""
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", 'StudyInstanceUID="$uid"']
    one = " ".join([*command, *keys, archive.node.host, str(archive.node.port)])
    uids = " ".join(study.study_instance_uid for study in studies)
    return ["sh", "-ec", f"for uid in {uids}; do {one}; done"]


def _requests(studies: Sequence[Study]) -> list[dict[str, str]]:
    return [{"StudyInstanceUID": study.study_instance_uid} for study in studies]


def _move(mover: Mover, studies: Sequence[Study]) -> float:
    with stopwatch() as seconds:
        summary = mover.move(_requests(studies))
    if list(summary["status"]) != ["success"] * len(studies):
        raise RuntimeError(f"not moved: {summary['status'].value_counts().to_dict()}")
    return seconds() / len(studies)


# --- many studies to a third party


@contextmanager
def _prepare_third_party(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    studies = list(made_studies(scale.studies, instances=1))
    few = studies[: scale.slow_studies]
    archive = peers.dcmqrscp(folder / "archive", studies)
    incoming = folder / "incoming"
    incoming.mkdir()
    numbers = itertools.count()
    log = folder / "storescp.log"
    receiver = [program("storescp"), "--fork", "-aet", peers.THERE, "+B", "-od", str(incoming)]
    port = archive.ports[peers.THERE]

    def check(run: Callable[[], float], count: int) -> Callable[[], float]:
        def checked() -> float:
            seconds = run()
            check_files(incoming, count)
            away = folder / f"arrived-{next(numbers)}"  # for why they are not removed see `lent`
            away.mkdir()
            for path in incoming.iterdir():
                path.rename(away / path.name)
            return seconds

        return checked

    def mover() -> float:
        with Mover(archive.node, ae_title=peers.HERE, destination=peers.THERE, progress="none") as ours:
            return _move(ours, studies)

    def command() -> float:
        table = folder / "cohort.csv"
        table.write_text("StudyInstanceUID\n" + "".join(f"{study.study_instance_uid}\n" for study in studies))
        called = ["move", "-aec", archive.node.ae_title, "-aet", peers.HERE, "-aem", peers.THERE, "--csv", str(table)]
        where = [archive.node.host, str(archive.node.port)]
        return measured([[sys.executable, "-m", "dicomover", *called, *where]]) / len(studies)

    titles = ["-S", "-aet", peers.HERE, "-aec", archive.node.ae_title, "-aem", peers.THERE]
    theirs = _loop([program("movescu"), *titles], studies, archive)
    slow = _loop([sys.executable, "-m", "pynetdicom", "movescu", "-q", *titles], few, archive)
    try:
        started = peers.start([*receiver, str(port)], port, log)
        try:
            yield {
                MOVER: Contestant(check(mover, len(studies))),
                MOVESCU: Contestant(check(lambda: measured([theirs]) / len(studies), len(studies))),
                COMMAND: Contestant(check(command, len(studies))),
                PYNETDICOM: Contestant(check(lambda: measured([slow]) / len(few), len(few)), SLOW),
            }
        finally:
            started.stop()
    finally:
        archive.stop()


# --- ten studies that we receive


@contextmanager
def _prepare_receiving(scale: Scale, folder: Path) -> Iterator[Mapping[str, Contestant]]:
    studies = list(made_studies(scale.single, instances=1))
    archive = peers.dcmqrscp(folder / "archive", studies)
    port = archive.ports[peers.HERE]
    numbers = itertools.count()

    def ours(*, opened: bool) -> float:
        with lent(folder / f"incoming-{next(numbers)}") as incoming:
            make = partial(Mover, archive.node, ae_title=peers.HERE, receive=incoming, port=port, progress="none")
            if opened:
                with make() as mover:
                    seconds = _move(mover, studies)
            else:
                with stopwatch() as measure, make() as mover:
                    _move(mover, studies)
                seconds = measure() / len(studies)
            check_files(incoming, len(studies))
        return seconds

    def theirs() -> float:
        with lent(folder / f"incoming-{next(numbers)}") as incoming:
            titles = ["-S", "-aet", peers.HERE, "-aec", archive.node.ae_title, "-aem", peers.HERE]
            command = [program("movescu"), *titles, "--port", str(port), "-od", str(incoming)]
            seconds = measured([_loop(command, studies, archive)]) / len(studies)
            check_files(incoming, len(studies))
        return seconds

    try:
        yield {
            OPEN: Contestant(partial(ours, opened=True)),
            MOVESCU_PORT: Contestant(theirs, SLOW),
            CLOSED: Contestant(partial(ours, opened=False)),
        }
    finally:
        archive.stop()


# --- the Mover alone

WORKERS = ("pynetdicom", "none", "counts")
ALONE = {"pynetdicom": "send_c_move of pynetdicom", "none": 'verify="none"', "counts": 'verify="counts"'}
_MANY = 10_000


@contextmanager
def _prepare_alone(scale: Scale, _: Path) -> Iterator[Mapping[str, Contestant]]:
    most = max(scale.requests)
    archive = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.opponents", "null-archive", str(most)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert archive.stdin is not None
    assert archive.stdout is not None
    port = int(archive.stdout.readline())

    def one(how: str, count: int) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.alone", how, str(port), str(count)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(answer.stderr)
        found: Mapping[str, float] = json.loads(answer.stdout)
        return {f"{count:,} {ALONE[how]}, {name}": value for name, value in found.items()}

    contestants = {}
    for count in scale.requests:
        rounds = None if count < _MANY else SLOW if count == _MANY else 1
        for how in WORKERS:
            if how == "pynetdicom" and count > min(scale.requests):
                continue
            contestants[f"{count:,} {ALONE[how]}"] = Contestant(partial(one, how, count), rounds)
    try:
        yield contestants
    finally:
        archive.stdin.close()
        archive.wait(30)


def _of(how: str, name: str, at: int) -> Callable[[Figures], float]:
    """Return the figure of the fewest (0) or the most (-1) requests."""
    return lambda figures: figure(by_number(figures, f" {ALONE[how]}, {name}")[at])(figures)


def _above(how: str) -> Callable[[Figures], float]:
    """Return what a request costs us beyond what it costs pynetdicom, at the most requests."""
    return lambda figures: _of(how, "CPU", -1)(figures) - _of("pynetdicom", "CPU", 0)(figures)


def _flat(how: str) -> Callable[[Figures], float]:
    return lambda figures: _of(how, "CPU", -1)(figures) / _of(how, "CPU", 0)(figures)


def _slope(how: str, name: str, factor: float) -> Callable[[Figures], float]:
    """Return by how much something grows with each request."""

    def slope(figures: Figures) -> float:
        few, *_, many = by_number(figures, f" {ALONE[how]}, {name}")
        less, more = figure(few)(figures), figure(many)(figures)
        return factor * (more - less) / (leading_number(many) - leading_number(few))

    return slope


EXPERIMENTS = [
    Experiment(
        "end-to-end",
        "small studies from dcmqrscp to a third party",
        [
            Row("200 studies to a third party: against a shell loop of movescu", ratio(MOVESCU, MOVER), target=3.0),
            Row("200 studies to a third party: against a shell loop of pynetdicom's movescu", ratio(PYNETDICOM, MOVER)),
            Row(
                "200 studies to a third party: `dicomover move`, start of Python included, against movescu",
                ratio(MOVESCU, COMMAND),
            ),
        ],
        _prepare_third_party,
        unit="ms a study",
    ),
    Experiment(
        "receive",
        "one-image studies from dcmqrscp to ourselves",
        [
            Row("ten one-image studies to ourselves: against movescu --port", ratio(MOVESCU_PORT, OPEN), target=20.0),
            Row(
                "ten one-image studies to ourselves: the same, our receiver started and stopped in that time",
                ratio(MOVESCU_PORT, CLOSED),
            ),
        ],
        _prepare_receiving,
        unit="ms a study",
    ),
    Experiment(
        "alone",
        "the Mover alone, against an archive that sends nothing",
        [
            row
            for how in ("none", "counts")
            for row in (
                Row(
                    f"Mover alone, {ALONE[how]}: CPU of a request above that of pynetdicom's send_c_move",
                    _above(how),
                    " ms",
                    1.0,
                    at_most=True,
                ),
                Row(f"Mover alone, {ALONE[how]}: CPU of a request", _of(how, "CPU", -1), " ms"),
                Row(f"Mover alone, {ALONE[how]}: time of a request", _of(how, "time", -1), " ms"),
                Row(
                    f"Mover alone, {ALONE[how]}: CPU of a request, the most requests against 1,000",
                    _flat(how),
                    target=1.2,
                    at_most=True,
                ),
                Row(
                    f"Mover alone, {ALONE[how]}: memory of a request (resident)",
                    _slope(how, "memory", 1e3),
                    " KB",
                    3.0,
                    at_most=True,
                ),
                Row(f"Mover alone, {ALONE[how]}: the same by tracemalloc", _slope(how, "traced", 1e3), " KB"),
            )
        ],
        _prepare_alone,
        unit="ms or MB",
        factor=1.0,
    ),
]

"""What every benchmark shares: contestants in turns, rows with targets, tables, and what the machine is.

Contestants take turns, and a ratio is made from the figures of one round before the median is taken: what else
the machine does meanwhile then troubles both sides of it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import peers
from benchmarks import ROOT

__all__ = [
    "FULL",
    "QUICK",
    "SLOW",
    "SMOKE",
    "WENT_WRONG",
    "Contestant",
    "Experiment",
    "Row",
    "Scale",
    "Unavailable",
    "by_number",
    "figure",
    "leading_number",
    "machine",
    "measured",
    "opponent",
    "peak_memory",
    "ratio",
    "row_lines",
    "run",
    "sample_lines",
    "with_nagle",
]

Figures = Mapping[str, Sequence[float]]
"""What was measured: the figures of each contestant, one for each round."""


class Unavailable(Exception):
    """Something cannot be measured here; says why."""


WENT_WRONG = "went wrong"
WRONG = (RuntimeError, OSError, AssertionError, subprocess.SubprocessError)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    images: int
    slow_images: int
    studies: int
    slow_studies: int
    single: int
    big: int
    requests: tuple[int, ...]
    journal: int


FULL = Scale(5, 1000, 100, 200, 20, 10, 1 << 31, (1_000, 10_000, 100_000), 100_000)
SLOW = 3
"""Rounds of a contestant that takes long."""
QUICK = Scale(3, 200, 40, 40, 5, 5, 1 << 28, (1_000, 10_000), 10_000)
SMOKE = Scale(1, 4, 4, 4, 1, 1, 1 << 22, (20, 40), 100)
"""Shows that everything runs, and measures nothing."""


@dataclass(frozen=True)
class Contestant:
    """What is measured: seconds for each item, or several figures by name; at most so many rounds of it."""

    run: Callable[[], float | Mapping[str, float]]
    rounds: int | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    measure
        What it says.
    value
        Makes its value from the figures.
    unit
        Of the value; ` x` for a ratio.
    target
        What it must reach; None if it is only told.
    at_most
        True if less is better.
    """

    measure: str
    value: Callable[[Figures], float]
    unit: str = " x"
    target: float | None = None
    at_most: bool = False

    def cells(self, figures: Figures) -> tuple[str, str, str]:
        """Return its value, its target and whether that is reached."""
        try:
            value = self.value(figures)
        except (KeyError, IndexError):
            return "not measured", self._target, ""
        reached = "" if self.target is None else "yes" if self._reaches(value) else "**no**"
        return f"{rounded(value)}{self.unit}", self._target, reached

    @property
    def _target(self) -> str:
        if self.target is None:
            return ""
        return f"{'at most' if self.at_most else 'at least'} {self.target:g}{self.unit}"

    def _reaches(self, value: float) -> bool:
        assert self.target is not None
        return value <= self.target if self.at_most else value >= self.target


@dataclass(frozen=True)
class Experiment:
    """Contestants that are measured in turns, and the rows that they make.

    `prepare` takes the scale and a folder, and yields the contestants by name.
    """

    name: str
    about: str
    rows: Sequence[Row]
    prepare: Callable[[Scale, Path], AbstractContextManager[Mapping[str, Contestant]]]
    unit: str = "ms"
    factor: float = 1000.0


# --- values of rows


def ratio(over: str, under: str) -> Callable[[Figures], float]:
    """Return the median of the ratios of two contestants, each from one round."""
    return lambda figures: median(a / b for a, b in zip(figures[over], figures[under], strict=False))


def figure(name: str, factor: float = 1.0) -> Callable[[Figures], float]:
    """Return the median of one contestant."""
    return lambda figures: factor * median(figures[name])


def by_number(figures: Figures, ending: str) -> list[str]:
    """Return the names with this ending, by the number that they begin with."""
    found = [name for name in figures if name.endswith(ending)]
    return sorted(found, key=leading_number)


def leading_number(name: str) -> int:
    """Return the number that a name begins with."""
    return int(name.partition(" ")[0].replace(",", ""))


def rounded(value: float) -> str:
    """Return three digits that mean something, two for small ratios."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


# --- running


def run(
    experiment: Experiment, scale: Scale, folder: Path, tell: Callable[[str], None]
) -> tuple[dict[str, list[float]], list[str]]:
    """Measure an experiment; return the figures and what could not be measured, with the reason."""
    figures: dict[str, list[float]] = {}
    notes: list[str] = []
    gone: set[str] = set()
    try:
        with experiment.prepare(scale, folder) as contestants:
            names = list(contestants)
            for number in range(scale.rounds):
                at = number % len(names)
                for name in names[at:] + names[:at]:
                    contestant = contestants[name]
                    if name in gone or number >= (contestant.rounds or scale.rounds):
                        continue
                    tell(f"{experiment.name}: round {number + 1} of {scale.rounds}, {name}")
                    try:
                        given = contestant.run()
                    except Unavailable as error:
                        gone.add(name)
                        notes.append(f"{experiment.name}, {name}: not measured, {error}")
                        continue
                    except WRONG as error:  # the others go on: a run is long
                        gone.add(name)
                        notes.append(f"{experiment.name}, {name}: {WENT_WRONG}, {error}")
                        continue
                    for key, value in ({name: given} if isinstance(given, float) else given).items():
                        figures.setdefault(key, []).append(value)
    except Unavailable as error:
        notes.append(f"{experiment.name}: not measured, {error}")
    except WRONG as error:
        notes.append(f"{experiment.name}: {WENT_WRONG}, {error}")
    return figures, notes


def row_lines(experiment: Experiment, figures: Figures) -> list[str]:
    """Return the lines of the table that an experiment fills."""
    return [f"| {' | '.join((row.measure, *row.cells(figures)))} |" for row in experiment.rows]


def sample_lines(experiment: Experiment, figures: Figures) -> list[str]:
    """Return what was measured: a median, and from where to where it went."""
    lines = []
    for name, values in figures.items():
        scaled = [value * experiment.factor for value in values]
        spread = f"{rounded(min(scaled))} … {rounded(max(scaled))}" if len(scaled) > 1 else ""
        cells = (experiment.name, name, f"{rounded(median(scaled))} {experiment.unit}", spread, str(len(scaled)))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


# --- programs


def program(name: str) -> str:
    """Return the path of a program of DCMTK; pynetdicom brings some of the same names into Python's own folder."""
    own = Path(sys.executable).parent
    folders = [folder for folder in os.get_exec_path() if Path(folder) != own]
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise Unavailable(f"{name} is not installed (DCMTK)")
    return path


def with_nagle(*command: str) -> list[str]:
    """Return a command of DCMTK as it is without TCP_NODELAY in the environment: Nagle's algorithm on."""
    return ["env", "-u", "TCP_NODELAY", *command]


def python_path() -> str:
    """Return where programs of ours find these benchmarks, and what else this process was told."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


@contextmanager
def running(command: Callable[[int], Sequence[str]], log: Path) -> Iterator[peers.Program]:
    """Run a program that listens on a port; it is told which one."""

    def choose() -> peers.Program:
        port = peers.free_port()
        return peers.start(command(port), port, log, {"PYTHONPATH": python_path()})

    started = peers.retried(choose)
    try:
        yield started
    finally:
        started.stop()


def opponent(name: str, *arguments: object) -> Callable[[int], list[str]]:
    """Return the command of a program of `benchmarks.opponents`."""
    return lambda port: [sys.executable, "-m", "benchmarks.opponents", name, str(port), *map(str, arguments)]


def measured(commands: Sequence[Sequence[str]], *, nagle: bool = False, seconds: float = 600.0) -> float:
    """Run commands at once, and return the seconds until the last one has ended; each has to succeed."""
    environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": python_path()}
    if nagle:
        del environment["TCP_NODELAY"]
    with stopwatch() as elapsed:
        said = _run_all(commands, environment, seconds)
    for command, (code, text) in zip(commands, said, strict=True):
        if code:
            raise RuntimeError(f"{command!r} ended with {code}: {text.decode(errors='replace')}")
    return elapsed()


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Measure how long something lasts; what is yielded tells the seconds afterwards."""
    begun = time.perf_counter()
    ended: list[float] = []
    try:
        yield lambda: (ended or [time.perf_counter()])[0] - begun
    finally:
        ended.append(time.perf_counter())


def _run_all(commands: Sequence[Sequence[str]], environment: dict[str, str], seconds: float) -> list[tuple[int, bytes]]:
    started = [
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=seconds)[1] for process in started]
        return [(process.returncode, text) for process, text in zip(started, said, strict=True)]
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def busy() -> Iterator[None]:
    """Keep this process busy with a Python loop, as a notebook does that computes."""
    over = threading.Event()

    def loop() -> None:
        number = 0
        while not over.is_set():
            for _ in range(1000):
                number += 1

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def lent(folder: Path) -> Iterator[Path]:
    """Lend a folder that is empty, and give back the room that its files take.

    The files themselves stay until the end of the run, of no size: ext4 looks at every inode that was removed
    within the last minutes before it takes a new one, and so makes each trial slower than the one before it.
    """
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        for path in folder.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)


def check_files(folder: Path, count: int, size: int = 0) -> None:
    """See that so many files have arrived, of at least so many bytes each."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("journal.")]
    small = [path.name for path in files if path.stat().st_size < size]
    if len(files) != count or small:
        raise RuntimeError(f"{len(files)} files arrived instead of {count}, {len(small)} of them too small")


def peak_memory(pid: int) -> float:
    """Return the most memory that a process has had, in MB (10**6 bytes)."""
    return _status(pid, "VmHWM")


def memory(pid: int) -> float:
    """Return the memory that a process has, in MB (10**6 bytes)."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise Unavailable("this system has no /proc that tells the memory of a process") from error
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 / 1e6


def children() -> set[int]:
    """Return the process ids of the children of this process."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(map(int, path.read_text().split()))
    return found


# --- the machine


def load() -> str:
    """Return the load averages of the last 1, 5 and 15 minutes."""
    try:
        return ", ".join(f"{value:.1f}" for value in os.getloadavg())
    except OSError:
        return "unknown"


def machine(folder: Path) -> str:
    """Say in one line what this was measured on."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, IndexError):
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip()
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    said = [f"{os.cpu_count()} cores ({model})", system, _file_system(folder)]
    said.append(f"Python {platform.python_version()}")
    said += [f"{name} {importlib.metadata.version(name)}" for name in ("pydicom", "pynetdicom")]
    with contextlib.suppress(Unavailable):
        answer = subprocess.run([program("storescp"), "--version"], capture_output=True, text=True, check=False)
        said.append("DCMTK " + answer.stdout.partition(" v")[2].partition(" ")[0])
    return ", ".join(filter(None, said))


def _file_system(folder: Path) -> str:
    with contextlib.suppress(OSError):
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
        under = [(len(where), kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
        return f"files on {max(under)[1]}" if under else ""
    return ""

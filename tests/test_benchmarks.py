"""The benchmarks run and print every row, and the README has each of them; nothing here is timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.publish import SHOWN, section

import peers

ROOT = Path(__file__).parent.parent


def benchmarks(*arguments: str) -> str:
    """Run the command, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def measures() -> list[str]:
    """Return what is measured."""
    return benchmarks("--list").splitlines()


def rows(text: str) -> list[str]:
    """Return the first cells of a table's rows."""
    return [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]


def test_benchmarks_print_every_row(tmp_path: Path) -> None:
    """With next to nothing to do, each row gets a value, and nothing stays in the folder."""
    peers.need("storescu", "storescp", "dcmqrscp", "dcmqridx", "movescu")
    said = benchmarks("--smoke", "--folder", str(tmp_path))
    named = measures()
    assert [row for row in rows(said) if row in named] == named
    assert Path("/proc/self/status").exists() is ("not measured" not in said)  # else there is no memory to be told
    assert not list(tmp_path.iterdir())


def test_benchmarks_measure_only_what_is_asked_for() -> None:
    """A name that no benchmark has is an error that names those there are."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "memories"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "memory" in done.stderr
    assert benchmarks("--list", "--only", "memory").splitlines() == [row for row in measures() if "2 GiB" in row]


def test_the_pages_have_every_row() -> None:
    """What was published comes from a run of all there is: every row, and in the README five of them."""
    published = rows(section(ROOT / "benchmarks" / "README.md"))
    assert [measure for measure in measures() if measure not in published] == []
    assert [row for row in rows(section(ROOT / "README.md")) if row != "measure"] == ["---", *SHOWN]
    assert set(SHOWN) <= set(published)

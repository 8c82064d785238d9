"""The README says what the code says: commands, options, examples, statuses, links."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomover.cli import cli
from dicomover.outcome import Status
from dicomover.testing import DemoPacs, made_study
from peers import free_port

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def code() -> list[str]:
    """Return everything that stands in the README as code."""
    text = README.read_text(encoding="utf-8")
    return [*re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE), *re.findall(r"`[^`\n]+`", text)]


def test_every_command_that_is_named_exists() -> None:
    """Each `dicomover WORD`, also in a list such as `dicomover move | plan`, is a command."""
    named: set[str] = set()
    for several in re.findall(r"(?<!from )\bdicomover ([a-z]+(?: \| [a-z]+)*)", "\n".join(code())):
        named.update(several.split(" | "))
    assert len(named) > 3
    assert named <= set(cli.commands), "a command that the README names does not exist"


def test_every_option_of_an_example_exists() -> None:
    """The options in the shell examples are those of their command."""
    examples = re.findall(r"dicomover ([a-z]+) (.*)", "\n".join(blocks("console")))
    assert examples
    for name, rest in examples:
        known = {spelling for param in cli.commands[name].params for spelling in (*param.opts, *param.secondary_opts)}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {rest}")) <= known


def test_the_example_on_the_demo_archive_runs_as_it_stands() -> None:
    """The block that names DemoPacs needs nothing else."""
    (example,) = [block for block in blocks("python") if "DemoPacs" in block]
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a block as it stands in a folder with a CSV, but for the archive's address and the port."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)
    Path("cohort.csv").write_text("AccessionNumber\n00123\n", encoding="utf-8")
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)]) as pacs:
        pacs.destinations["MOVESCU"] = port

        def run(example: str) -> dict[str, Any]:
            placed = example.replace("ARCHIVE@pacs.example.org:104", str(pacs.node)).replace("11112", str(port))
            found: dict[str, Any] = {"__name__": "readme"}
            exec(compile(placed, "README.md", "exec"), found)
            return found

        yield run


def test_the_way_from_a_csv_to_a_volume_runs(stage: Callable[[str], dict[str, Any]]) -> None:
    """Its lines are few, and end with a volume that is shown."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    (example,) = [block for block in blocks("python") if "contact_sheet" in block]
    assert len(example.replace("\n\n", "\n").splitlines()) <= 12
    found = stage(example)
    assert found["volume"].array.shape[0] == 4
    found["plt"].close("all")


def test_the_verbs_run(stage: Callable[[str], dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """The block of a Mover's verbs plans, moves, hands out a series and has nothing left to move."""
    (example,) = [block for block in blocks("python") if "job.series()" in block]
    found = stage(example)
    assert found["plan"].expected.tolist() == [4]
    assert found["summary"].status.tolist() == ["success"]
    assert "4 files for row 0" in capsys.readouterr().out
    assert len(found["again"]) == 0


def test_no_example_is_left_out() -> None:
    """Each Python block is one of those that run here."""
    assert len(blocks("python")) == 3


def test_it_is_read_in_two_minutes() -> None:
    """The page is short: what is long stands on pages of its own."""
    assert len(README.read_text(encoding="utf-8").split()) < 1_300


def test_the_table_of_statuses_names_each_of_them() -> None:
    """Every status has one row, in the order of the code."""
    table = re.search(r"^\| `status` \| when .*\n((?:\|.*\n)+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert table is not None
    assert re.findall(r"^\| `([a-z-]+)` \|", table[1], re.MULTILINE) == [str(status) for status in Status]


def test_links_lead_somewhere() -> None:
    """Files of this folder that are linked or shown are there."""
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    assert not [link for link in local if not (ROOT / link).exists()], "links to files that are not there"


def test_the_two_commands_that_set_it_up_are_supported() -> None:
    """`pip install .` gives the command `dicomover`; the extras that are named exist and bring pytest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = [block.strip() for block in blocks("console")][:2]
    assert commands == ["pip install . && dicomover demo", 'pip install -e ".[test]" && pytest']
    assert project["scripts"] == {"dicomover": "dicomover.__main__:main"}
    extras = project["optional-dependencies"]
    assert any(re.match(r"pytest\b", needed) for needed in extras["test"])
    named = set(re.findall(r'pip install -e "\.\[(\w+)\]"', README.read_text(encoding="utf-8")))
    assert named <= set(extras)
    run = ROOT / ".ci" / "run"
    if run.exists():  # a source distribution has none
        script = run.read_text(encoding="utf-8")
        assert re.search(r'pip install .*-e "\.\[dev\]"', script)
        assert re.search(r"^pytest$", script, re.MULTILINE)
        assert re.search(r"/dicomover\" demo\b", script)
    assert "dicomover[test]" in extras["dev"]

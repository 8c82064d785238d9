"""The README says what the code says: tables, commands, options, examples, links.

`python tests/test_readme.py` writes the sections between its markers anew.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicomover.cli import cli
from dicomover.outcome import Status
from dicomover.testing import DemoPacs, made_study
from peers import free_port

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from generated import summary_columns
from option_table import option_table

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SECTIONS: dict[str, Callable[[], str]] = {
    "summary": summary_columns,
    "move options": lambda: option_table(cli.commands["move"]),
}


def section(text: str, name: str) -> re.Match[str]:
    """Find what stands between the markers of a section."""
    found = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end {name} -->)", text, re.DOTALL)
    assert found is not None, f"README.md has no '<!-- {name} -->' … '<!-- end {name} -->'"
    return found


def blocks(language: str) -> list[str]:
    """Return the code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def code() -> list[str]:
    """Return everything that stands in the README as code."""
    text = README.read_text(encoding="utf-8")
    return [*re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE), *re.findall(r"`[^`\n]+`", text)]


@pytest.mark.parametrize("name", SECTIONS)
def test_a_generated_section_is_what_the_code_says(name: str) -> None:
    """The summary's columns and the options of `move` are those of the code."""
    written = section(README.read_text(encoding="utf-8"), name).group().strip("\n")
    assert written == SECTIONS[name](), "README.md is behind the code; run: python tests/test_readme.py"


def test_the_option_table_has_every_option() -> None:
    """The README's table comes from the commands themselves."""
    table = option_table(cli.commands["move"])
    for names in (
        "`-aet`, `--aetitle AET` | MOVESCU |",
        "`-aec`, `--call AET` | ANY-SCP |",
        "`-to`, `--timeout S` | 60 |",
        "`-ta`, `--acse-timeout S` | 60 |",
        "`-td`, `--dimse-timeout S` | 0 |",
        "`-k`, `--key KEY` |  |",
        "`-od`, `--output-dir DIR` | ./downloads, when we receive |",
        "`-p`, `--progress`, `--no-progress` | `--progress` |",
        "`-h`, `--help` |  |",
        "`--dry-run` |  |",
        "`--invalid raise\\|record` | raise |",
    ):
        assert f"| {names}" in table
    assert all(line.count(" | ") == 2 for line in table.splitlines())


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


def test_the_way_from_a_csv_to_a_volume_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block that reads files runs as it stands, but for the archive's address and the port."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib")
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    Path("cohort.csv").write_text("AccessionNumber\n00123\n", encoding="utf-8")
    (example,) = [block for block in blocks("python") if "contact_sheet" in block]
    assert len(example.replace("\n\n", "\n").splitlines()) <= 12
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)]) as pacs:
        pacs.destinations["MOVESCU"] = port
        run = example.replace("ARCHIVE@pacs.example.org:104", str(pacs.node)).replace("11112", str(port))
        found: dict[str, Any] = {"__name__": "readme"}
        exec(compile(run, "README.md", "exec"), found)
    assert found["volume"].array.shape[0] == 4
    found["plt"].close("all")


def test_the_other_examples_compile() -> None:
    """Blocks that need a real archive are at least Python, and import what there is."""
    examples = blocks("python")
    assert len(examples) > 1
    for example in examples:
        compile(example, "README.md", "exec")
        imports = re.findall(r"^(?:from|import) .*$", example, re.MULTILINE)
        exec("\n".join(imports), {})


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


def rewrite() -> None:
    """Write the generated sections anew."""
    text = README.read_text(encoding="utf-8")
    for name, generate in SECTIONS.items():
        found = section(text, name)
        text = f"{text[: found.start()]}\n{generate()}\n\n{text[found.end() :]}"
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()

"""The pages in docs/ say what the code says: their code runs and shows what they show, what they name exists.

The code of a page runs from top to bottom in an empty folder, as one notebook would, and against a demo archive
where a page names `ARCHIVE@pacs.example.org:104`. A block `text` after a block of code is what it must have shown.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

import dicomover
import generated
from cli_kit import free_port
from dicomover import testing
from dicomover.cli import cli, main
from dicomover.cohort import FIELDS
from dicomover.outcome import Status
from dicomover.reporting import Report
from dicomover.summary import SUMMARY_COLUMNS
from dicomover.testing import MISBEHAVIOURS, DemoPacs, made_study
from option_table import option_table

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))

ARCHIVE, WORKSTATION, PORT = "ARCHIVE@pacs.example.org:104", "WS7@ws7.example.org:104", "11112"
WINDOW = "mon-fri 19:00-07:00 Europe/Berlin"
"""What pages name, and a test puts something that is there now in the place of."""

SHELL = "console"
COHORT = "AccessionNumber,age,split\n00123,64,train\nB2077,51,test\n99999,70,train\n"
"""The CSV that the pages move; one of them shows it."""


class Block(NamedTuple):
    """A block of code on a page."""

    language: str
    text: str
    line: int
    after_text: bool  # something else than blank lines stands between it and the block before


def read(page: str) -> str:
    """Return a page as it is written."""
    return (DOCS / page).read_text(encoding="utf-8")


def by_hand(page: str) -> str:
    """Return a page without what stands between the marks of its generated parts."""
    return re.sub(r"<!-- generated: .*?<!-- end generated -->", "", read(page), flags=re.DOTALL)


def blocks(page: str) -> list[Block]:
    """Return the blocks of code on a page."""
    found, end = [], 0
    text = read(page)
    for match in re.finditer(r"^```([a-z]+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(match[1], match[2], line, bool(text[end : match.start()].strip())))
        end = match.end()
    return found


def commands(block: Block) -> list[list[str]]:
    """Return what follows `dicomover` on each line of a shell example."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("dicomover ")]


class Stage:
    """An archive, a workstation and a folder that take the places of those that a page names."""

    def __init__(self, pacs: DemoPacs, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._names: dict[str, Any] = {"__name__": "page"}
        port = free_port()
        pacs.destinations.update({"MOVESCU": port, "WS7": pacs.workstation.port})
        self._places = {
            ARCHIVE: str(pacs.node),
            WORKSTATION: f"WS7@127.0.0.1:{pacs.workstation.port}",
            PORT: str(port),
            WINDOW: "00:00-24:00",
        }

    def placed(self, text: str) -> str:
        """Return code with the places of this stage."""
        for name, place in self._places.items():
            text = text.replace(name, place)
        return text

    def named(self, text: str) -> str:
        """Return output with the names of the page."""
        for name, place in self._places.items():
            text = text.replace(place, name)
        return text

    def python(self, block: Block, page: str) -> str:
        """Run a block as a cell of a notebook, and return what it shows."""
        tree = ast.parse("\n" * (block.line - 1) + self.placed(block.text), page)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        out = io.StringIO()
        with contextlib.redirect_stdout(out), pd.option_context("display.width", 100):
            exec(compile(tree, page, "exec"), self._names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), page, "eval"), self._names)
                if value is not None:
                    out.write(f"{value!r}\n")
        return self.named(out.getvalue())

    def close(self) -> None:
        """Close what a page that failed half-way has left open."""
        for value in self._names.values():
            if isinstance(value, dicomover.Mover | DemoPacs):
                value.close()

    def shell(self, block: Block) -> str:
        """Run the commands of a block that name the archive, and return what they print."""
        self._capsys.readouterr()
        for args in commands(block):
            if ARCHIVE in args:
                assert main([self.placed(arg) for arg in args]) in (0, 1), self._capsys.readouterr().err
        return self.named(self._capsys.readouterr().out)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Stage]:
    """Make a stage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("dicomover.profiles.files.user_file", lambda: tmp_path / "nodes.toml")
    Path("cohort.csv").write_text(COHORT)
    studies = [
        made_study("00123", series=2, instances=12, patient="4711"),
        made_study("B2077", instances=5, number=1),
        made_study("B2077", instances=8, number=2),
    ]
    with DemoPacs(studies, ae_title="ARCHIVE") as pacs:
        made = Stage(pacs, capsys)
        yield made
        made.close()


def squeezed(text: str) -> str:
    """Return a text without what an output aligns its columns with."""
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("page", [page for page in PAGES if any(b.language in ("python", SHELL) for b in blocks(page))])
def test_the_code_of_a_page_runs_and_shows_what_it_shows(page: str, stage: Stage) -> None:
    """Every block runs, after those before it; what a page shows below one is what came."""
    shown = None
    for block in blocks(page):
        if block.language == "csv":
            assert block.text == COHORT, f"{page}:{block.line} shows another cohort than the one that runs"
        elif block.language == "python":
            shown = stage.python(block, page)
        elif block.language == SHELL:
            shown = stage.shell(block)
        elif block.language == "text" and not block.after_text:
            assert shown is not None, f"{page}:{block.line} shows an output of nothing"
            assert squeezed(shown) == squeezed(block.text), f"{page}:{block.line}: it shows\n{shown}"
            shown = None


@pytest.mark.parametrize("page", PAGES)
def test_code_is_not_wider_than_a_page(page: str) -> None:
    """No line of a block has to be scrolled to its end."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    assert not [line for line in lines if len(line) > 88]


def test_the_tests_of_a_page_pass(tmp_path: Path) -> None:
    """The tests that the page on test doubles shows are collected by pytest, and pass."""
    code = [block.text for block in blocks("test-doubles.md") if block.language == "python"]
    shown = [number for number, text in enumerate(code) if "def test_" in text]
    (tmp_path / "test_shown.py").write_text("\n".join(code[: shown[-1] + 1]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shown.py"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout
    assert f"{len(shown)} passed" in ended.stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_can_be_said(page: str) -> None:
    """The shell examples parse: the command exists, and so do its options, with such values."""
    for block in blocks(page):
        for name, *rest in commands(block) if block.language == SHELL else ():
            command = cli.commands[name]
            with command.make_context(name, rest, help_option_names=["-h", "--help"]) as context:
                assert context.params


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Files that a page links to or shows are there; Sphinx sees to what is in them."""
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", read(page))
    assert not [link for link in links if "://" not in link and not (DOCS / link).exists()]


def test_every_page_can_be_found() -> None:
    """The table of contents names every page, once."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", read("index.md"), re.DOTALL | re.MULTILINE)
    named = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    pages = {path.stem for path in (*DOCS.glob("*.md"), *DOCS.glob("*.rst"))}
    assert sorted(named) == sorted(pages - {"index"})


def test_every_page_begins_with_what_it_lets_one_do() -> None:
    """After its title, a page has a paragraph before anything else."""
    for page in PAGES:
        title, first, *_ = [part for part in read(page).split("\n\n") if not part.startswith("<!--")]
        assert title.startswith("# "), page
        assert re.match(r"[A-Z]", first), page


def test_the_option_table_has_every_option() -> None:
    """The tables of options come from the commands themselves."""
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
    assert table in read("command-line.md")


def test_every_status_has_its_section() -> None:
    """The page of the statuses has a section for each, in the order of the code."""
    assert re.findall(r"^## `([a-z-]+)`$", read("statuses.md"), re.MULTILINE) == [str(status) for status in Status]


@pytest.mark.parametrize("name", generated.PARTS)
def test_a_generated_part_has_its_place(name: str) -> None:
    """Each part that can be made stands on one page, between its marks."""
    (page,) = [page for page in PAGES if f"<!-- generated: {name} -->\n" in read(page)]
    assert read(page).count("<!-- generated: ") == read(page).count("<!-- end generated -->"), page


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_part_is_what_the_code_says(page: str) -> None:
    """What is stored between the marks of a page is what would be written there now; nothing is left empty."""
    assert generated.fill(read(page)) == read(page), f"docs/{page} is behind the code; run: python docs/generated.py"


@pytest.mark.parametrize("name", generated.DRAWINGS)
def test_a_drawing_is_what_the_code_says(name: str) -> None:
    """What is stored beside the pages is what would be drawn now, and a page shows it."""
    drawn = generated.DRAWINGS[name]()
    assert (DOCS / name).read_text(encoding="utf-8") == drawn, (
        f"{name} is behind the code; run: python docs/generated.py"
    )
    assert any(f"]({name})" in read(page) for page in PAGES)


@pytest.mark.parametrize("page", ["architecture.md", "development.md"])
def test_places_in_the_code_are_there(page: str) -> None:
    """What a page names as `room/file.py: Class.method` is defined in that file."""
    text = re.sub(r"\s+", " ", by_hand(page))
    places = re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)(?:: ([A-Za-z_.]+))?`", text)
    assert places
    for file, name in places:
        found = [path for path in (ROOT / "src" / "dicomover" / file, ROOT / file) if path.exists()]
        assert found, f"{page}: there is no {file}"
        tree: ast.AST = ast.parse(found[0].read_text(encoding="utf-8"))
        for part in filter(None, name.split(".")):
            inner = [node for node in ast.iter_child_nodes(tree) if part in _defined(node)]
            assert inner, f"{page}: {file} defines no {name}"
            tree = inner[0]


def _defined(node: ast.AST) -> set[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_generated_tables_name_everything() -> None:
    """Columns, misbehaviours, behaviours and commands are all there, each row with as many cells as its head."""
    made = {name: make() for name, make in generated.PARTS.items()}
    for column in SUMMARY_COLUMNS:
        assert f"| `{column}` |" in made["summary"]
    for name in MISBEHAVIOURS:
        assert f"| `{name}` |" in made["misbehaviours"]
        assert f"`{name}`" in made["behaviours"]
    for field in FIELDS:
        assert f"| `{field.path}` |" in made["lockfile"]
    assert re.findall(r"^## dicomover (\w+)$", made["commands"], re.MULTILINE) == sorted(cli.commands)
    for name, text in made.items():
        for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(cells) == 1, name
    with pytest.raises(KeyError, match="nothing"):
        generated.fill("<!-- generated: nothing -->\n<!-- end generated -->")


def test_the_api_page_documents_every_public_name() -> None:
    """Whatever is exported has its entry."""
    page = (DOCS / "api.rst").read_text(encoding="utf-8")
    entries = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)(?:\(\))?$", page, re.MULTILINE))
    assert {f"dicomover.{name}" for name in dicomover.__all__} <= entries
    assert {f"dicomover.testing.{name}" for name in testing.__all__} <= entries


def test_no_property_begins_with_a_colon_in_its_sentence() -> None:
    """Sphinx would take what stands before the colon for the type of the property."""
    public = [getattr(module, name) for module in (dicomover, testing) for name in module.__all__]
    properties = {
        f"{owner.__name__}.{name}": (value.__doc__ or "").partition("\n")[0]
        for owner in (*public, Report)
        for name, value in (vars(owner) if isinstance(owner, type) else {}).items()
        if isinstance(value, property) and not name.startswith("_")
    }
    assert "Cohort.studies" in properties
    assert not {name: line for name, line in properties.items() if ":" in line}


@pytest.mark.parametrize("page", PAGES)
def test_names_in_the_text_exist(page: str) -> None:
    """Code such as `mover.plan()` or `Retry.overnight` in the text names something that there is."""
    classes = {"mover": dicomover.Mover, "job": dicomover.Job, "cohort": dicomover.Cohort, "pacs": DemoPacs}
    for owner, name in re.findall(r"`(mover|job|cohort|pacs)\.(?!(?:py|lock)\b)(\w+)[^`]*`", by_hand(page)):
        assert hasattr(classes[owner], name) or name in str(classes[owner].__doc__), f"{page}: {owner}.{name}"
    for name in re.findall(r"`dicomover ([a-z]+)", by_hand(page)):
        assert name in cli.commands, f"{page}: dicomover {name}"


def test_each_line_of_the_threat_model_has_its_test() -> None:
    """What is said to hold names a test that is there, and no line names none."""
    lines = [
        line for line in (DOCS / "threats.md").read_text(encoding="utf-8").splitlines() if line.startswith("| to ")
    ]
    named = [re.findall(r"`([\w/]+\.py)::(\w+)`", line) for line in lines]
    assert len(lines) > 20
    assert all(len(tests) == 1 for tests in named)
    missing = [
        f"{file}::{name}"
        for ((file, name),) in named
        if f"def {name}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert not missing

"""The parts of the pages that are made from the code. `python docs/generated.py` writes them anew, between their marks.

They are stored in the pages, and drawings beside them, so that these can be read without building them; a test holds
them against the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

import drawing
from dicomover.cli import cli
from dicomover.cli.conformance import make_statement
from dicomover.cli.options import HELP_NAMES
from dicomover.cohort import FIELDS
from dicomover.summary import SCHEMA
from dicomover.testing import MISBEHAVIOURS, Misbehaviour
from option_table import option_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from behaviours import BEHAVIOURS, Row
from house import House
from stacks.known import ARCHIVES, Known, Way

__all__ = ["DRAWINGS", "PARTS", "fill", "summary_columns"]

_DOCS = Path(__file__).parent
_PART = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_NEVER = "Never here:"
_KNOBS = ("after", "count", "seconds", "status")


def commands() -> str:
    """Return a section for each command: what it does, how it is called, its options, its exit codes."""
    return "\n\n".join(_command(name, command) for name, command in sorted(cli.commands.items()))


def _command(name: str, command: click.Command) -> str:
    with click.Context(command, info_name=f"dicomover {name}", help_option_names=HELP_NAMES) as context:
        usage = " ".join(command.collect_usage_pieces(context))
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    parts = [
        f"## dicomover {name}",
        f"```text\ndicomover {name} {usage}\n```",
        *(_examples(text[1:]) if text.startswith("\b") else _text(text) for text in paragraphs),
        option_table(command),
        _text(command.epilog or ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _examples(lines: str) -> str:
    """Return the lines that are kept as they are: commands as code, and what stands before them as text."""
    parts = []
    for line in inspect.cleandoc(lines).splitlines():
        is_command = line.strip().startswith("dicomover ")
        parts.append(f"```console\n{line.strip()}\n```" if is_command else _text(line))
    return "\n\n".join(parts)


def _text(text: str) -> str:
    """Return help text as Markdown: what would be markup is none, and options are code."""
    plain = re.sub(r"([*_<>\[\]|])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<!\S)(--?[a-z][a-z-]*)", r"`\1`", plain)


def misbehaviours() -> str:
    """Return a table of what the demo archive can get wrong, and the knobs of each."""
    lines = ["| name | what it does | knobs |", "| --- | --- | --- |"]
    for name, does in MISBEHAVIOURS.items():
        knobs = ", ".join(f"`{knob}`" for knob in ("times", *_KNOBS) if knob == "times" or _turns(name, knob))
        lines.append(f"| `{name}` | {does} | {knobs} |")
    return "\n".join(lines)


def _turns(name: str, knob: str) -> bool:
    try:
        Misbehaviour(name, **{knob: 1})  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def behaviours() -> str:
    """Return a table of what peers do and the rows that it ends in, here and at a third party."""
    lines = [
        "| what the peer does, and why the row is this one | the row when we receive | and when a third party does |",
        "| --- | --- | --- |",
    ]
    for behaviour in BEHAVIOURS:
        what = f"`{behaviour.name}`<br>{MISBEHAVIOURS[behaviour.name]}<br>*{behaviour.why}*"
        believed = " (only the destination could tell)" if behaviour.believed else ""
        lines.append(f"| {what} | {_row(behaviour.here)} | {_row(behaviour.there)}{believed} |")
    return "\n".join(lines)


def _row(row: Row) -> str:
    if row.raises:
        return f"no row: `{row.raises}`"
    said = [f"**{row.status}**", row.status_code and f"`{row.status_code}`"]
    counts = ((row.completed, "completed"), (row.received, "received"))
    said += [f"{number} {what}" for number, what in counts if number is not None]
    return ", ".join(part for part in said if part) + (f"; “… {row.error} …”" if row.error else "")


def archives() -> str:
    """Return a table of the archives that one cohort is moved out of in the tests, and what to know of each."""
    lines = [
        "| archive | C-MOVE | C-GET | the same bytes | the same hash |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {known.software} | {_way(known, 'move')} | {_way(known, 'get')} "
            f"| {'no: ' + known.alters if known.alters else 'yes'} | {'yes' if known.locks else 'no'} |"
            for known in ARCHIVES
        ),
    ]
    for known in ARCHIVES:
        lines += ["", f"## {known.software}", "", *(f"- {note}" for note in known.notes)]
    return "\n".join(lines)


def _way(known: Known, way: Way) -> str:
    return "plain, TLS" if way in known.secures else "plain"


def rooms() -> str:
    """Return a table of the rooms, floor by floor: what belongs there and what never may, in the words of the code."""
    house = House()
    lines = ["| floor | room | what belongs there |", "| --- | --- | --- |"]
    for number, floor in enumerate(house.floors):
        for room in sorted(floor):
            inner = sorted(path.parent.name for path in house.source.glob(f"{room}/*/__init__.py"))
            for name in (room, *(f"{room}/{part}" for part in inner)):
                said = _purpose(house.paths[f"dicomover.{name.replace('/', '.')}"])
                lines.append(f"| {len(house.floors) - number} | `{name}` | {said} |")
    return "\n".join(lines)


def _purpose(path: Path) -> str:
    """Return what a room's docstring says before and about what is never there, without code."""
    paragraphs = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")
    plain = [re.sub(r"([|<>*_])", r"\\\1", " ".join(text.split())) for text in paragraphs]
    never = next((number for number, text in enumerate(plain) if text.startswith(_NEVER)), 0)
    told = [
        *plain[: max(never, 1)],
        *(f"*{_NEVER}*{text.removeprefix(_NEVER)}" for text in plain[never : never + 1] if never),
    ]
    return re.sub(r"`([^`]+)`", lambda code: "`" + code[1].replace("\\", "") + "`", "<br>".join(told))


def lockfile() -> str:
    """Return the fields of a lockfile."""
    lines = ["| field | type | meaning |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| `{field.path}` | {field.type} | {field.meaning} |" for field in FIELDS)])


def summary_columns() -> str:
    """Return a table of the summary's columns: their dtypes, and what they mean."""
    lines = ["| column | dtype | meaning |", "| --- | --- | --- |"]
    lines += [
        f"| `{c.name}` | {'ordered category' if c.dtype == 'category' else c.dtype} | {c.meaning} |" for c in SCHEMA
    ]
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "archives": archives,
    "behaviours": behaviours,
    "commands": commands,
    "conformance": make_statement,
    "lockfile": lockfile,
    "misbehaviours": misbehaviours,
    "rooms": rooms,
    "summary": summary_columns,
}

DRAWINGS: dict[str, Callable[[], str]] = {"images/house.svg": lambda: drawing.draw_house(House())}
"""The files that are drawn from the code."""


def fill(page: str) -> str:
    """Return a page with what the code says between its marks.

    Raises
    ------
    KeyError
        If a mark names no part.
    """
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part[2]]()}\n\n{part[3]}", page)


def _rewrite() -> None:
    for path in sorted(_DOCS.glob("*.md")):
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
    for name, draw in DRAWINGS.items():
        (_DOCS / name).write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    _rewrite()

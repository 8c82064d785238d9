"""The house as the source has it: which file imports which, which room knows which, and on which floor it stands.

`python docs/house.py` prints the figures; `python docs/generated.py` writes the drawing and the table of the rooms.

A room is a package or a module directly below `dicomover`; its floor is its layer in the contract of pyproject.toml.
Every import counts, inside a function and for types alone too. A door (an `__init__.py`) lends names: what is taken
from it counts as taken from where it is at home. The front door itself (`__init__.py`, `__main__.py`) is no room.
"""

from __future__ import annotations

import ast
import io
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

__all__ = ["Graph", "House", "find_circles", "find_longest_chain", "reduce"]

Graph = Mapping[str, frozenset[str]]
"""Each name, and the names that it knows."""

_ROOT = Path(__file__).parents[1]
_PACKAGE = "dicomover"
_FRONT = {_PACKAGE, f"{_PACKAGE}.__main__"}


class House:
    """What the source of the package says of itself.

    Parameters
    ----------
    root : Path
        The checkout: `src/dicomover` and `pyproject.toml` are read.
    """

    def __init__(self, root: Path = _ROOT) -> None:
        self.source = root / "src" / _PACKAGE
        self._contracts = root / "pyproject.toml"

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Each file by the name of its module; an `__init__.py` by that of its package."""
        found = {}
        for path in sorted(self.source.rglob("*.py")):
            parts = path.relative_to(self.source.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    @cached_property
    def imports(self) -> Graph:
        """The files that each file imports, those of the front door left out."""
        names = {module: list(self._names(module)) for module in self.paths}
        lent = {module: dict(names[module]) for module, path in self.paths.items() if path.name == "__init__.py"}

        def home(name: str, module: str) -> str:
            while name in lent.get(module, ()):
                module = lent[module][name]
            return module

        return {
            module: frozenset({home(*taken) for taken in names[module]} - _FRONT - {module})
            for module in self.paths.keys() - _FRONT
        }

    def _names(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield each name that a file imports from this package, with the module that it names."""
        for node in ast.walk(ast.parse(self.paths[module].read_bytes())):
            if isinstance(node, ast.Import):
                yield from ((alias.name, alias.name) for alias in node.names if alias.name in self.paths)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == _PACKAGE:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield alias.name, inner if inner in self.paths else str(node.module)

    @cached_property
    def rooms(self) -> Graph:
        """The rooms that each room knows."""
        known: dict[str, set[str]] = {}
        for module, others in self.imports.items():
            known.setdefault(_room(module), set()).update(map(_room, others))
        return {room: frozenset(known[room] - {room}) for room in sorted(known)}

    @cached_property
    def floors(self) -> list[list[str]]:
        """The rooms of each floor, from the roof down, as the contract has them."""
        contracts = tomllib.loads(self._contracts.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
        layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
        return [[name.strip().removeprefix(f"{_PACKAGE}.") for name in layer.split("|")] for layer in layers]

    @cached_property
    def upwards(self) -> list[tuple[str, str]]:
        """The arrows that do not point down: to a room of the same floor, or of one above."""
        number = {room: floor for floor, rooms in enumerate(self.floors) for room in rooms}
        return [(one, other) for one in self.rooms for other in self.rooms[one] if number[one] >= number[other]]

    def figures(self) -> dict[str, int | str]:
        """Return what can be counted, by what it is called."""
        lines = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in self.paths.items()}
        comments, documentation, blank = map(sum, zip(*map(_count, self.paths.values()), strict=True))
        longest, chain = max(lines, key=lines.__getitem__), find_longest_chain(self.imports)
        total = sum(lines.values())
        return {
            "files": len(self.paths),
            "modules in the root": len([path for path in self.source.glob("*.py") if path.name != "__init__.py"]),
            "rooms": len(self.rooms),
            "floors": len(self.floors),
            "arrows between rooms": sum(map(len, self.rooms.values())),
            "arrows up": len(self.upwards),
            "circles of rooms": len(find_circles(self.rooms)),
            "arrows between files": sum(map(len, self.imports.values())),
            "circles of files": len(find_circles(self.imports)),
            "longest chain of imports": f"{len(chain) - 1} ({' > '.join(map(_short, chain))})",
            "longest file": f"{lines[longest]} lines ({_short(longest)})",
            "lines": total,
            "lines without comments": total - comments,
            "lines of code (no comments, docstrings, blank lines)": total - comments - documentation - blank,
        }


def _short(module: str) -> str:
    return module.removeprefix(f"{_PACKAGE}.")


def _room(module: str) -> str:
    return module.split(".")[1]


def _count(path: Path) -> tuple[int, int, int]:
    """Count the lines of a file that hold a comment alone, a docstring, and nothing."""
    text = path.read_text(encoding="utf-8")
    alone = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT]
    documented: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            documented.update(range(value.lineno, (value.end_lineno or value.lineno) + 1))
    blank = [number for number, line in enumerate(text.splitlines(), 1) if not line.strip()]
    comments = [token for token in alone if token.line.lstrip().startswith("#")]
    return len(comments), len(documented), len([number for number in blank if number not in documented])


def _reached(graph: Graph, start: str) -> set[str]:
    """Return what can be reached from a name, by one arrow or more."""
    found: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        if (name := ahead.pop()) not in found:
            found.add(name)
            ahead.extend(graph[name])
    return found


def find_circles(graph: Graph) -> list[list[str]]:
    """Return the names that can reach each other, circle by circle.

    Examples
    --------
    >>> find_circles({"a": frozenset("b"), "b": frozenset("ac"), "c": frozenset()})
    [['a', 'b']]
    """
    reached = {name: _reached(graph, name) for name in graph}
    circles = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in graph
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(circles)]


def find_longest_chain(graph: Graph) -> list[str]:
    """Return the longest way down, from the first name to the last; a circle is gone through once.

    Examples
    --------
    >>> find_longest_chain({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()})
    ['a', 'b', 'c']
    """
    circle = {name: tuple(names) for names in find_circles(graph) for name in names}

    @cache
    def below(names: tuple[str, ...]) -> tuple[str, ...]:
        others = {circle.get(other, (other,)) for name in names for other in graph[name]} - {names}
        return names + max((below(other) for other in sorted(others)), key=len, default=())

    return list(max((below(circle.get(name, (name,))) for name in sorted(graph)), key=len, default=()))


def reduce(graph: Graph) -> Graph:
    """Return a graph without the arrows that others imply, so that it can be drawn.

    Examples
    --------
    >>> reduce({"a": frozenset("bc"), "b": frozenset("c"), "c": frozenset()})["a"]
    frozenset({'b'})
    """
    implied = {
        name: {far for near in known for far in _reached(graph, near) if far != near} for name, known in graph.items()
    }
    return {name: known - implied[name] for name, known in graph.items()}


if __name__ == "__main__":
    for what, figure in House().figures().items():
        print(f"{what:>52}  {figure}")

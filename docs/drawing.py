"""The drawing of the house: its rooms on their floors, and the arrows between them, as SVG. Pure; no library draws.

Arrows that others imply are left out: a room may use whatever can be reached by going down. A long arrow passes the
floors between through waypoints, which are placed as rooms are: near what they are joined to, without crossing more
than has to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from house import Graph, House, reduce

__all__ = ["draw_house"]

_WIDTH, _FLOOR, _BOX, _TOP, _MARGIN, _SIDE = 980, 92, 40, 22, 46, 90
_LETTER, _PADDING, _GAP, _WAYPOINT = 9.0, 26, 18, 14
_SWEEPS = 24

_STYLE = """
text { font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; text-anchor: middle; fill: #10243a; }
text.floor { font-size: 12px; fill: #8496a9; }
rect.house { fill: #fbfcfd; stroke: #dbe3ea; }
rect.storey { fill: #f1f5f8; }
rect.package { fill: #d3e5f5; stroke: #4f8abf; }
rect.module { fill: #ffffff; stroke: #9fb3c6; }
path { fill: none; stroke: #7590a8; stroke-width: 1.3; }
path.up { stroke: #c62f2f; stroke-width: 2; }
marker path { fill: #7590a8; stroke: none; }
"""

Point = tuple[float, float]
Way = list[str]


def draw_house(house: House) -> str:
    """Return the drawing of a house, the same for the same house."""
    down = {room: known - {other for one, other in house.upwards if one == room} for room, known in house.rooms.items()}
    floors, ways = _with_waypoints(house.floors, reduce(down))
    place = _placed(floors, ways)
    height = len(floors) * _FLOOR + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        ' aria-label="The rooms on their floors; every arrow points down">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0.8 L8 4 L0 7.2 z"/></marker></defs>',
        f'<rect class="house" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    for number, _ in enumerate(floors):
        top = number * _FLOOR + _TOP - 8
        parts.append(f'<rect class="storey" x="10" y="{top}" width="{_WIDTH - 20}" height="{_BOX + 16}" rx="6"/>')
        parts.append(f'<text class="floor" x="27" y="{top + 33}">{len(floors) - number}</text>')
    parts += [_arrow([place[name] for name in way], "") for way in ways]
    parts += [_arrow([place[one], place[other]], "up") for one, other in house.upwards]
    for rooms in house.floors:
        parts += [
            _box(room, place[room], "module" if (house.source / f"{room}.py").exists() else "package") for room in rooms
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _with_waypoints(floors: Sequence[Sequence[str]], arrows: Graph) -> tuple[list[list[str]], list[Way]]:
    """Return the floors with a waypoint wherever an arrow passes one, and the way of each arrow."""
    number = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    filled = [list(rooms) for rooms in floors]
    ways = []
    for one in sorted(arrows, key=lambda room: (number[room], room)):
        for other in sorted(arrows[one]):
            passed = range(number[one] + 1, number[other])
            way = [one, *(f"{one}>{other}@{floor}" for floor in passed), other]
            for floor, name in zip(passed, way[1:-1], strict=True):
                filled[floor].append(name)
            ways.append(way)
    return filled, ways


def _breadth(name: str) -> float:
    return _WAYPOINT if ">" in name else len(name) * _LETTER + _PADDING


def _placed(floors: list[list[str]], ways: list[Way]) -> dict[str, Point]:
    """Return where the middle of each room and waypoint lies; rooms are ordered and moved towards their neighbours."""
    joined: dict[str, list[str]] = {name: [] for floor in floors for name in floor}
    for way in ways:
        for one, other in pairwise(way):
            joined[one].append(other)
            joined[other].append(one)
    across = {name: x for floor in floors for name, x in _spread(floor, {}).items()}
    level = {name: number for number, floor in enumerate(floors) for name in floor}
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for number in range(len(floors)) if downwards else reversed(range(len(floors))):
            wanted = {}
            for name in floors[number]:
                near = [o for o in joined[name] if (level[o] < number) == downwards] or joined[name]
                wanted[name] = sum(across[o] for o in near) / len(near) if near else across[name]
            floors[number].sort(key=lambda name: (wanted[name], name))
            across.update(_spread(floors[number], wanted))
    left, right = min(across.values()), max(across.values())
    stretch = (_WIDTH - 2 * _SIDE) / max(right - left, 1)
    return {
        name: (_SIDE + (across[name] - left) * stretch, number * _FLOOR + _TOP + _BOX / 2)
        for name, number in level.items()
    }


def _spread(floor: Sequence[str], wanted: dict[str, float]) -> dict[str, float]:
    """Return places in this order, each as near to where it wants to be as the others and the walls let it."""
    total = sum(map(_breadth, floor)) + _GAP * (len(floor) - 1)
    first = (_WIDTH - total) / 2
    places, edge = [], float(_MARGIN)
    for name in floor:
        places.append(max(wanted.get(name, first + _breadth(name) / 2), edge + _breadth(name) / 2))
        edge = places[-1] + _breadth(name) / 2 + _GAP
        first += _breadth(name) + _GAP
    edge = _WIDTH - _MARGIN
    for index in reversed(range(len(floor))):
        half = _breadth(floor[index]) / 2
        places[index] = min(places[index], edge - half)
        edge = places[index] - half - _GAP
    return dict(zip(floor, places, strict=True))


def _arrow(points: Sequence[Point], kind: str) -> str:
    (x, y), *rest = points
    y += _BOX / 2
    line = f"M{x:.0f} {y:.0f}"
    for number, (to_x, to_y) in enumerate(rest, 1):
        tip = to_y - _BOX / 2 - 2 if number == len(rest) else to_y
        bend = (tip - y) * 0.45
        line += f" C{x:.0f} {y + bend:.0f} {to_x:.0f} {tip - bend:.0f} {to_x:.0f} {tip:.0f}"
        x, y = to_x, tip
    return f'<path class="{kind}" d="{line}" marker-end="url(#tip)"/>'


def _box(room: str, middle: Point, kind: str) -> str:
    x, y = middle
    breadth = _breadth(room)
    return (
        f'<rect class="{kind}" x="{x - breadth / 2:.0f}" y="{y - _BOX / 2:.0f}" width="{breadth:.0f}"'
        f' height="{_BOX}" rx="5"/><text x="{x:.0f}" y="{y + 5:.0f}">{escape(room)}</text>'
    )

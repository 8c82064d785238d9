"""What moving has cost so far, by archive and modalities; and what it will cost, as an estimate by that."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["COSTS", "HEADERS_ONLY", "Cost", "Costs", "read_costs", "write_costs"]

COSTS = """CREATE TABLE IF NOT EXISTS costs (
        place INTEGER NOT NULL, modalities TEXT NOT NULL, moves INTEGER NOT NULL, images INTEGER NOT NULL,
        bytes INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (place, modalities)
    ) WITHOUT ROWID"""
_WRITE = """INSERT INTO costs (place, modalities, moves, images, bytes, seconds) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (place, modalities) DO UPDATE SET moves = moves + excluded.moves, images = images + excluded.images,
    bytes = bytes + excluded.bytes, seconds = seconds + excluded.seconds"""
HEADERS_ONLY = "headers only: "
"""What the modalities of C-MOVEs begin with that brought only headers."""

_LONGEST = 64  # letters of modalities that are kept apart; an archive may say anything


class Cost(NamedTuple):
    """What some C-MOVEs have cost."""

    images: int  # that have come, or that the archive has counted
    bytes: int  # 0 at a third party
    seconds: float  # from the beginning of each to its last image
    moves: int = 1


@dataclass(frozen=True, slots=True)
class Costs:
    r"""What C-MOVEs from one archive have cost, by the modalities that it named, joined by a backslash.

    Examples
    --------
    >>> costs = Costs({"CT": Cost(200, 100_000_000, 20.0), "CT\\SR": Cost(100, 30_000_000, 5.0), "US": Cost(1, 9, 1.0)})
    >>> costs.estimate("CT", 10), costs.estimate("SR", 10), costs.estimate("", 301), Costs().estimate("CT", 10)
    ((5000000, 1.0), (3000000, 0.5), (130000009, 26.0), (None, None))
    """

    known: Mapping[str, Cost] = field(default_factory=dict)

    def estimate(self, modalities: str, images: int) -> tuple[int | None, float | None]:
        """Say how many bytes and seconds so many images take, as far as that is known.

        By what had these modalities, or else any of them, or else anything at all.
        """
        found = [self.known[modalities]] if modalities and modalities in self.known else []
        wanted = set(modalities.split("\\")) - {""}
        found = found or [cost for name, cost in self.known.items() if wanted & set(name.split("\\"))]
        images_then, size, seconds, _ = _add(found or self.known.values())
        if not images_then:
            return None, None
        share = images / images_then
        return round(size * share) if size else None, seconds * share if seconds else None

    def of(self, *, headers_only: bool) -> Costs:
        """Return those of C-MOVEs that brought only headers, or of all others."""
        return Costs(
            {
                name.removeprefix(HEADERS_ONLY): cost
                for name, cost in self.known.items()
                if name.startswith(HEADERS_ONLY) is headers_only
            }
        )

    @property
    def bytes_of_move(self) -> float:
        """How many bytes a C-MOVE has brought on average; 0 if that is not known."""
        _, size, _, moves = _add(self.known.values())
        return size / moves if moves else 0.0


def _add(costs: Iterable[Cost]) -> Cost:
    """Return their sum."""
    total = Cost(0, 0, 0.0, 0)
    for cost in costs:
        total = Cost(*(one + other for one, other in zip(total, cost, strict=True)))  # type: ignore[arg-type]
    return total


def write_costs(connection: sqlite3.Connection, place: int, spent: Iterable[tuple[str, Cost]]) -> None:
    """Add what C-MOVEs have cost, in the transaction that is open."""
    for modalities, cost in spent:
        name = modalities if len(modalities) <= _LONGEST else HEADERS_ONLY * modalities.startswith(HEADERS_ONLY)
        connection.execute(_WRITE, (place, name, cost.moves, cost.images, cost.bytes, cost.seconds))


def read_costs(connection: sqlite3.Connection, place: int) -> Costs:
    """Return what is known of an archive; a number that can be none is no knowledge, and no error either."""
    rows = connection.execute("SELECT modalities, images, bytes, seconds, moves FROM costs WHERE place = ?", (place,))
    return Costs(
        {
            name: Cost(*numbers)
            for name, *numbers in rows
            if all(type(number) in (int, float) and 0 <= number < 1 << 62 for number in numbers) and type(name) is str
        }
    )

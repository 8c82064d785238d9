"""The plan of a batch as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dicomover.identifier import Level
from dicomover.query.resolve import Resolution, Target
from dicomover.requests.parse import Batch
from dicomover.summary import PLAN_COLUMNS

__all__ = ["Planned", "plan_table"]

_UID_LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)


@dataclass(slots=True)
class Planned:
    """What one row of a plan says.

    `decision` is `move`, `several` (it moves them all), `skip` (the journal says that it is complete), `duplicate` (an
    earlier row moves all of it), `not-found`, `too-many`, `refused` or `invalid`.
    """

    decision: str
    level: Level | None = None
    resolution: Resolution | None = None
    matches: int | None = None
    here: int | None = None
    error: str | None = None


def plan_table(batch: Batch, planned: Sequence[Planned]) -> pd.DataFrame:
    """Put the plan beside what was given; the UIDs that were found are filled in, so that the plan can be moved."""
    rows = []
    for item in planned:
        targets = [target for target in _targets(item) if target.found is not False]  # what is gone does not move
        series, expected = [target.series for target in targets], [target.expected for target in targets]
        known = item.matches if item.resolution is None else item.resolution.matches
        if known and item.decision == "not-found":
            known = 0
        rows.append(
            {
                "decision": item.decision,
                "level": None if item.level is None else str(item.level),
                "matches": known,
                "series": _total(series),
                "expected": _total(expected),
                "here": item.here,
                "modalities": "\\".join(sorted({name for target in targets for name in target.modalities})) or None,
                "error": item.error,
            }
        )
    dtypes = {name: "Int64" if name in ("matches", "series", "expected", "here") else "string" for name in PLAN_COLUMNS}
    ours = {
        name: pd.Series([row[name] for row in rows], index=batch.given.index, dtype=dtype)
        for name, dtype in dtypes.items()
    }
    kept = batch.given.loc[:, [name not in PLAN_COLUMNS for name in batch.given.columns]].copy()
    table = pd.DataFrame(ours, index=batch.given.index)
    return pd.concat([_filled(kept, planned), table], axis="columns", sort=False)


def _targets(planned: Planned) -> tuple[Target, ...]:
    return planned.resolution.targets if planned.resolution else ()


def _total(counts: Sequence[int | None]) -> int | None:
    """Return their sum; None if there are none, or one is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if counts and len(known) == len(counts) else None


def _found_uids(planned: Planned) -> dict[str, str]:
    """Return the UIDs that a row was resolved to, by keyword."""
    targets = _targets(planned)
    found = {}
    for level in _UID_LEVELS:
        uids = dict.fromkeys(uid for target in targets for uid in sorted(target.identifier.uids(level)))
        if uids:
            found[level.unique_key] = "\\".join(uids)
    return found


def _filled(given: pd.DataFrame, planned: Sequence[Planned]) -> pd.DataFrame:
    """Fill in the UIDs of what was found."""
    uids = [_found_uids(item) for item in planned]
    for level in _UID_LEVELS:
        key = level.unique_key
        found = [row.get(key) for row in uids]
        if any(found):
            column = pd.Series(found, index=given.index, dtype="string")
            given[key] = column.where(column.notna(), given[key]) if key in given.columns else column
    return given

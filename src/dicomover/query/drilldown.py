"""A find of series or images by keys of their study: the study is looked up first, as for a move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from dicomover.errors import ConfigurationError
from dicomover.identifier import Level, level_of
from dicomover.query.answers import answers_table, returned_keys

__all__ = ["MOST", "find_below", "level_of_find"]

MOST = 100  # studies (or series of one study) that are asked for what they hold

Ask = Callable[[Mapping[str, Any], Level, int | None], pd.DataFrame]
"""Asks the archive with keys at a level, for so many answers at most."""

_LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)
_UIDS = tuple(level.unique_key for level in _LEVELS)


def level_of_find(keys: Mapping[str, Any], level: str) -> Level:
    """Return the level at which a find asks; `auto` is that of the deepest UID among the keys.

    Examples
    --------
    >>> str(level_of_find({"StudyInstanceUID": "1.2", "SeriesInstanceUID": ""}, "auto"))
    'SERIES'
    """
    if level != "auto":
        return Level.parse(level)
    deepest = [item for item in Level if item is not Level.PATIENT and item.unique_key in keys]
    return deepest[-1] if deepest else Level.STUDY


def find_below(
    ask: Ask,
    keys: Mapping[str, Any],
    level: Level,
    limit: int | None,
    *,
    with_patient: bool = False,  # the PatientID goes along to every level, as Patient Root has it
    returned: Sequence[str] = (),  # further columns of a table without rows
) -> pd.DataFrame:
    """Ask for what matches at a level, in each study (and each series) that the keys of the levels above stand for.

    A level above of which the UID is missing is looked up first, if there is a key to do it by. Raises
    ConfigurationError if the keys stand for more than `MOST` studies or series.
    """
    above = _first_unknown(keys, level)
    if above is None:
        return ask(keys, level, limit)
    here = {name: value for name, value in keys.items() if value and _depth(name, level) <= _LEVELS.index(above)}
    below = {name: value for name, value in keys.items() if name not in here}
    found = ask(here, above, MOST + 1)
    if len(found) > MOST:
        raise ConfigurationError(
            f"more than {MOST} {above.plural} match", f"narrow the keys, or ask at level {above} first"
        )
    known = {name: value for name, value in here.items() if name in _UIDS or (with_patient and name == "PatientID")}
    parts: list[pd.DataFrame] = []
    for _, row in found.iterrows():
        left = None if limit is None else limit - sum(map(len, parts))
        if left is not None and left <= 0:
            break
        uid = {above.unique_key: str(row[above.unique_key])}
        part = find_below(ask, {**known, **uid, **below}, level, left, with_patient=with_patient, returned=returned)
        looked_up = {name: row[name] for name in here if name in row.index and name not in part.columns}
        parts.append(part.assign(**looked_up))
    return pd.concat(parts, ignore_index=True) if parts else answers_table([], returned_keys(level, keys, returned))


def _first_unknown(keys: Mapping[str, Any], level: Level) -> Level | None:
    """Return the highest level above this one without a UID, if there is a key by which it can be looked up."""
    for above in _LEVELS[: _LEVELS.index(level)] if level in _LEVELS else ():
        if not keys.get(above.unique_key):
            by = [name for name, value in keys.items() if value and _depth(name, level) <= _LEVELS.index(above)]
            return above if by else None
    return None


def _depth(keyword: str, level: Level) -> int:
    """Return the place of the level that a key belongs to; a key that may be of any is asked for at `level`."""
    own = level_of(keyword) or level
    return _LEVELS.index(own) if own in _LEVELS else 0

"""The plan of a batch: what would move, found out without moving anything; and that as a DataFrame."""

from __future__ import annotations

import time
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from dicomover.batch.listing import Listing
from dicomover.batch.resume import Resumption
from dicomover.batch.ways import Via
from dicomover.errors import (
    AssociationLost,
    ContextRejected,
    ProtocolError,
    QueryRefused,
)
from dicomover.identifier import Identifier, Level, Model, Request
from dicomover.journal import Costs
from dicomover.query.roots import fit_model, list_models
from dicomover.query.targets import Resolution, Resolve, Target, TooManyMatches
from dicomover.requests.parse import Batch
from dicomover.summary import PLAN_COLUMNS, PLAN_SCHEMA
from dicomover.text.face import setting
from dicomover.wire.lines import Line
from dicomover.wire.stop import Stop

__all__ = ["Answers", "Planned", "foresee_way", "make_plan", "tabulate_plan"]

_WOULD_MOVE = ("move", "several")
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
    bytes: int | None = None  # that are still to come, and the seconds that one association takes; both estimated
    seconds: float | None = None


class Answers:
    """What the archive said to earlier plans, for as long as that is believed."""

    def __init__(self) -> None:
        self.way: Via = "auto"  # by which images would come first, once it has shown what it offers
        self._known: dict[Hashable, tuple[float, Planned]] = {}

    def get(self, key: Hashable, max_age: float) -> Planned | None:
        """Return what was said within the last `max_age` seconds; the caller may change it."""
        at, planned = self._known.get(key, (0.0, None))
        return replace(planned) if planned is not None and time.monotonic() - at < max_age else None

    def put(self, key: Hashable, planned: Planned) -> None:
        """Keep an answer."""
        resolution = planned.resolution
        if resolution is not None:  # which instances there are is not shown, and there may be millions of them
            targets = tuple(replace(target, instances=None, studies=None) for target in resolution.targets)
            resolution = replace(resolution, targets=targets)
        self._known[key] = time.monotonic(), replace(planned, resolution=resolution)

    def forget(self, max_age: float) -> None:
        """Let go of what is older."""
        oldest = time.monotonic() - max_age
        self._known = {key: item for key, item in self._known.items() if item[0] > oldest}


def make_plan(
    batch: Batch,  # of n rows
    line: Line,  # to the archive; not used if there is nothing to ask
    resolve: Resolve,  # says what a request comes to
    answers: Answers,  # of earlier plans; new ones are added
    max_age: float,  # how many seconds such an answer is believed
    resumption: Resumption | None,  # knows what the journal says; None without one
    *,
    fits_model: bool = False,  # whether a model that the archive does not offer may be exchanged for the other one
    looks_here: bool = False,  # whether what an earlier row brings is found here when the turn of the next one comes
) -> list[Planned]:
    """Look up every request of a batch; raises NodeError if the archive cannot be reached at all.

    Returns
    -------
    list of Planned, length n
    """
    planned = [Planned("invalid") for _ in range(len(batch))]
    for position in batch.problems:
        planned[position].error = batch.tell_problems(position)
    answers.forget(max_age)
    listing = Listing(line.find)
    costs = Costs() if resumption is None else resumption.costs
    asked: set[Identifier] = set()
    for request in batch.requests:
        key = (frozenset(request.keys.items()), request.level, request.model, resolve)
        item = answers.get(key, max_age)
        if item is None:
            line.connect()
            item = _look_up(request, line, resolve, fits_model=fits_model)
            if item.decision != "refused":
                answers.put(key, item)
        planned[request.position] = item
        if item.resolution is None or item.decision not in (*_WOULD_MOVE, "not-found"):
            continue
        wanted = {target.shared for target in item.resolution.targets}
        left = item.resolution.targets
        if resumption is not None:  # first: what an earlier row leaves out, since it is here, is no duplicate of it
            line.connect()
            left = _ask_journal(item, item.resolution, request, resumption, listing)
        is_asked = partial(_is_brought, by=asked, looks_here=looks_here)
        if item.decision in _WOULD_MOVE and all(map(is_asked, wanted)):
            item.decision = "duplicate"
        elif item.decision in _WOULD_MOVE:
            _estimate(item, [target for target in left if target.found and not is_asked(target.shared)], costs)
            asked |= wanted
            if looks_here:  # of an image nobody may say whose it is, and then it is whoever's is here
                asked |= {each.of_patient("") for each in wanted}
    return planned


def _is_brought(identifier: Identifier, *, by: Collection[Identifier], looks_here: bool) -> bool:
    """Tell whether a C-MOVE brings nothing but what an earlier one does: the same, its series, or its study."""
    series = replace(identifier, level=Level.SERIES, instance="")
    study = replace(series, level=Level.STUDY, series="")
    return identifier in by or (looks_here and identifier.level is not Level.PATIENT and (series in by or study in by))


def _estimate(planned: Planned, targets: Sequence[Target], costs: Costs) -> None:
    """Say what some C-MOVEs will cost, where that is known of all of them."""
    each = [costs.estimate(target.named_modalities, target.expected or 0) for target in targets if target.expected]
    sizes = [size for size, _ in each if size is not None]
    seconds = [taken for _, taken in each if taken is not None]
    planned.bytes = sum(sizes) if sizes and len(sizes) == len(targets) else None
    planned.seconds = sum(seconds) if seconds and len(seconds) == len(targets) else None


def _look_up(request: Request, line: Line, resolve: Resolve, *, fits_model: bool) -> Planned:
    planned = Planned("move", request.level)
    try:
        asked = request
        if fits_model:
            association = line.connect_patiently()
            by_patient = association.node.quirks.patient_id
            asked = fit_model(request, list_models(association.offers, to_move=False, by_patient=by_patient))
        planned.resolution = resolve(asked, line.find)
    except TooManyMatches as error:
        planned.decision, planned.matches, planned.error = "too-many", error.matches, str(error)
    except (QueryRefused, ContextRejected, AssociationLost, ProtocolError) as error:
        planned.decision, planned.error = "refused", str(error)
    except Stop as stop:
        planned.decision, planned.error = "refused", stop.result.error
    else:
        targets = planned.resolution.targets
        planned.error = "; ".join(filter(None, (planned.resolution.note, planned.resolution.caution))) or None
        if not any(target.found is not False for target in targets):
            planned.decision = "not-found"
        elif len(targets) > 1:
            planned.decision = "several"
    return planned


def _ask_journal(
    planned: Planned, resolution: Resolution, request: Request, resumption: Resumption, listing: Listing
) -> tuple[Target, ...]:
    """Take in what the journal says of a request, and return what is still to be asked for."""
    try:
        taken = resumption.look(request, resolution, listing)
    except (ContextRejected, AssociationLost, ProtocolError) as error:
        planned.decision, planned.error = "refused", str(error)
        return ()
    except Stop as stop:
        planned.decision, planned.error = "refused", stop.result.error
        return ()
    said = [planned.error, f"{taken.holder} is moving it" if taken.holder else None]
    planned.here = taken.kept.count or (None if taken.skip is None else taken.skip.received)
    if taken.skip is not None:
        planned.decision = "skip"
        said.append(taken.skip.error)
        more = f"the archive has more of it now; {setting('recheck', True)} moves that too"
        said.append(more if taken.has_grown else None)
    planned.error = "; ".join(filter(None, said)) or None
    return resolution.targets if taken.left is None else taken.left.targets


# --- as a table


def tabulate_plan(batch: Batch, planned: Sequence[Planned], *, associations: int = 1) -> pd.DataFrame:
    """Put the plan beside what was given; the UIDs that were found are filled in, so that the plan can be moved."""
    at_once = max(1, min(associations, sum(item.decision in _WOULD_MOVE for item in planned)))
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
                "estimated_bytes": item.bytes,
                "estimated_minutes": None if item.seconds is None else item.seconds / 60 / at_once,
                "error": item.error,
            }
        )
    ours = {
        name: pd.Series([row[name] for row in rows], index=batch.given.index, dtype=dtype)
        for name, dtype in PLAN_SCHEMA.items()
    }
    kept = batch.given.loc[:, [name not in PLAN_COLUMNS for name in batch.given.columns]].copy()
    table = pd.DataFrame(ours, index=batch.given.index)
    return pd.concat([_fill_in(kept, planned), table], axis="columns", sort=False)


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


def _fill_in(given: pd.DataFrame, planned: Sequence[Planned]) -> pd.DataFrame:
    """Fill in the UIDs of what was found."""
    uids = [_found_uids(item) for item in planned]
    for level in _UID_LEVELS:
        key = level.unique_key
        found = [row.get(key) for row in uids]
        if any(found):
            column = pd.Series(found, index=given.index, dtype="string")
            given[key] = column.where(column.notna(), given[key]) if key in given.columns else column
    return given


def foresee_way(via: Via, line: Line, answers: Answers) -> Via:
    """Return the way that a batch would begin by; `auto` stays while the archive has not told what it offers.

    Nothing is opened for it: what the association of the look-ups shows is kept with the answers.
    """
    if via == "auto" and (association := line.association) is not None:
        moves = any(association.accepts(model.move_sop_class) for model in Model)
        answers.way = "move" if moves else "get"
    return answers.way if via == "auto" else via

"""The plan of a batch: what would move, found out without moving anything."""

from __future__ import annotations

from dicomover.controls import Stop
from dicomover.errors import AssociationLost, ContextRejected, ProtocolError, QueryRefused
from dicomover.hygiene import Request
from dicomover.line import Line
from dicomover.requests import Batch
from dicomover.resolve import Resolve, TooManyMatches
from dicomover.tables import Planned

__all__ = ["plan"]


def plan(batch: Batch, line: Line, resolve: Resolve) -> list[Planned]:
    """Look up every request of a batch.

    Parameters
    ----------
    batch
        Of n rows.
    line
        To the archive; not used if nothing can be sent.
    resolve
        Says what a request comes to.

    Returns
    -------
    list of Planned, length n

    Raises
    ------
    NodeError
        If the archive cannot be reached at all.
    """
    planned = [Planned("invalid") for _ in range(len(batch))]
    for position, problems in batch.problems.items():
        planned[position].error = "; ".join(f"{problem.column} {problem.why}" for problem in problems)
    if batch.requests:
        line.connect()
    for request in batch.requests:
        planned[request.position] = _planned(request, line, resolve)
    return planned


def _planned(request: Request, line: Line, resolve: Resolve) -> Planned:
    planned = Planned("move", request.level)
    try:
        planned.resolution = resolve(request, line.find)
    except TooManyMatches as error:
        planned.decision, planned.matches, planned.error = "too-many", error.matches, str(error)
    except (QueryRefused, ContextRejected, AssociationLost, ProtocolError) as error:
        planned.decision, planned.error = "refused", str(error)
    except Stop as stop:
        planned.decision, planned.error = "refused", stop.result.error
    else:
        targets = planned.resolution.targets
        planned.error = planned.resolution.note or None
        if not any(target.found is not False for target in targets):
            planned.decision = "not-found"
        elif len(targets) > 1:
            planned.decision = "several"
    return planned

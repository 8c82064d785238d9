"""Which information model to ask in, of those that an archive offers. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from dicomover.errors import ContextRejected
from dicomover.identifier import Level, Model, Request, level_of

__all__ = ["fit_model", "fit_query", "list_models"]


def list_models(
    offers: Callable[[str], None],  # raises ContextRejected if the archive does not offer a SOP Class
    *,
    to_move: bool = True,
    by_get: bool = False,  # whether images are to come by C-GET instead
    by_patient: bool = False,  # whether the archive needs the PatientID: then Patient Root alone, if it is offered
) -> frozenset[Model]:
    """Return the models in which an archive offers C-FIND, and C-MOVE unless nothing is to move."""
    found = set()
    for model in Model:
        with contextlib.suppress(ContextRejected):
            offers(model.find_sop_class)
            if to_move:
                offers(model.get_sop_class if by_get else model.move_sop_class)
            found.add(model)
    return frozenset({Model.PATIENT} if by_patient and Model.PATIENT in found else found)


def fit_model(request: Request, offered: Collection[Model]) -> Request:
    """Return a request in a model that the archive offers; as it is if that is one, or if there is none.

    Study Root has no level PATIENT: there a patient is all of the studies with that PatientID. Patient Root needs the
    PatientID, which `resolve` looks up where it is not known.

    Examples
    --------
    >>> patient = Request(0, 0, {"PatientID": "4711"}, Level.PATIENT, Model.PATIENT)
    >>> fitted = fit_model(patient, {Model.STUDY})
    >>> str(fitted.level), fitted.model
    ('STUDY', <Model.STUDY: 'study'>)
    """
    if request.model in offered or not offered:
        return request
    if request.model is Model.STUDY:
        return replace(request, model=Model.PATIENT)
    level = Level.STUDY if request.level is Level.PATIENT else request.level
    return replace(request, model=Model.STUDY, level=level)


def fit_query(
    level: Level, model: Model, columns: Sequence[str], offered: Collection[Model], *, is_auto: bool
) -> tuple[Model, list[str]]:
    """Return the model to find in, of those offered if it `is_auto`, and what to ask for there.

    Examples
    --------
    >>> fit_query(Level.STUDY, Model.STUDY, ["PatientID", "PatientName"], {Model.PATIENT}, is_auto=True)
    (<Model.PATIENT: 'patient'>, ['PatientID'])
    """
    if is_auto and level is not Level.PATIENT and len(offered) == 1:
        (model,) = offered
    return model, [each for each in columns if model is Model.STUDY or _may_ask(each, level)]


def _may_ask(keyword: str, level: Level) -> bool:
    """Tell whether Patient Root knows an attribute at a level: but for the ID, a patient's own are of level PATIENT."""
    return level is Level.PATIENT or keyword == "PatientID" or level_of(keyword) is not Level.PATIENT

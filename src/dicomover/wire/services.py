"""The services of an archive that we use, and the presentation contexts that ask for them (PS3.4 Annexes A and C.4)."""

from __future__ import annotations

from collections.abc import Set

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomover.identifier import Model
from dicomover.wire.messages import Context

__all__ = ["ECHO", "FIND", "GET", "RETRIEVE", "SERVICES", "VERIFICATION", "WITHOUT_BULK", "propose_contexts"]

VERIFICATION = "1.2.840.10008.1.1"
WITHOUT_BULK = "1.2.840.10008.5.1.4.1.2.5.3"
"""Composite Instance Retrieve Without Bulk Data - GET (PS3.4 Annex Z): images by their UIDs, without their pixels."""

SERVICES = {
    VERIFICATION: "C-ECHO",
    **{
        uid: name
        for model in (Model.STUDY, Model.PATIENT)
        for uid, name in (
            (model.find_sop_class, f"C-FIND ({model.title})"),
            (model.move_sop_class, f"C-MOVE ({model.title})"),
            (model.get_sop_class, f"C-GET ({model.title})"),
        )
    },
    WITHOUT_BULK: "C-GET (without bulk data)",
}
"""What each SOP Class is called, in the order in which they are proposed."""

ECHO = frozenset({VERIFICATION})
FIND = frozenset(model.find_sop_class for model in Model)
GET = frozenset(model.get_sop_class for model in Model)
RETRIEVE = FIND | {model.move_sop_class for model in Model}
"""What a verb needs: both models, since only the answer tells which one an archive has."""

_TRANSFER_SYNTAXES = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))


def propose_contexts(services: Set[str]) -> tuple[Context, ...]:
    """Return the presentation contexts for these SOP Classes.

    Examples
    --------
    >>> [(context.id, context.abstract_syntax) for context in propose_contexts(ECHO)]
    [(1, '1.2.840.10008.1.1')]
    """
    wanted = [uid for uid in SERVICES if uid in services]
    return tuple(Context(2 * place + 1, uid, _TRANSFER_SYNTAXES) for place, uid in enumerate(wanted))

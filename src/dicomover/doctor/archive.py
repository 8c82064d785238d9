"""From us to the archive and from there to the destination: association, C-ECHO, C-FIND, and a C-MOVE of nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydicom.uid import generate_uid

from dicomover.doctor.destination import find_own_address
from dicomover.doctor.findings import NOBODY, Check, Setup, describe_stranger
from dicomover.errors import (
    AssociationRejected,
    ConfigurationError,
    ContextRejected,
    LostBy,
    NodeError,
    NodeUnreachable,
    QueryRefused,
)
from dicomover.identifier import Identifier, Level, Model, find_dataset
from dicomover.outcome import SUCCESS, Ended, describe
from dicomover.text.face import advise, setting
from dicomover.wire.association import Association
from dicomover.wire.responses import MoveEnd
from dicomover.wire.services import ECHO, GET, RETRIEVE
from dicomover.wire.transport import speaks_tls

__all__ = ["Archive", "advise_get", "check_association", "check_echo", "check_find", "check_get", "check_move"]

_SHORT_OF_RESOURCES = range(0xA700, 0xA800)
_NOT_ALLOWED = (0x0122, 0x0124, 0x0211)


class Archive:
    """The archive, on an association that is opened anew when a check has cost us the last one."""

    def __init__(self, setup: Setup, next_message_id: Callable[[], int]) -> None:
        self._setup = setup
        self._next_message_id = next_message_id
        self._association: Association | None = None

    def associated(self) -> tuple[Association, int]:
        """Return an open association and the number of the next message."""
        if self._association is None or not self._association.is_usable():
            self.release()
            setup = self._setup
            self._association = Association(setup.node, setup.ae_title, setup.timeouts, ECHO | RETRIEVE | GET)
            self._association.open()
        return self._association, self._next_message_id()

    @property
    def get_models(self) -> list[Model]:
        """The models in which it has accepted C-GET; none while there is no association."""
        accepts = None if self._association is None else self._association.accepts
        return [model for model in Model if accepts is not None and accepts(model.get_sop_class)]

    def release(self) -> None:
        """Release the association, if there is one."""
        if self._association is not None:
            self._association.release()
            self._association = None

    def echo(self) -> None:
        """Send a C-ECHO."""
        association, number = self.associated()
        association.echo(number)

    def finds(self, model: Model) -> bool:
        """Ask for what cannot exist; tell whether it answers all the same."""
        keys = {"StudyInstanceUID": str(generate_uid())}
        if model is Model.PATIENT:
            keys["PatientID"] = NOBODY
        association, number = self.associated()
        return bool(list(association.find(find_dataset(Level.STUDY, keys), model, number, limit=2)))

    def move(self, model: Model, destination: str) -> MoveEnd:
        """Ask for what cannot exist: nothing moves, but the archive may look at the destination."""
        patient = NOBODY if model is Model.PATIENT else ""
        identifier = Identifier(Level.STUDY, model, patient=patient, study=generate_uid())
        association, number = self.associated()
        return association.move(identifier.dataset(), model, destination, number)


# --- from us to the archive


def check_association(setup: Setup, archive: Archive) -> Check:
    """Examine whether the archive accepts us."""
    try:
        archive.associated()
    except NodeError as error:
        if isinstance(error, AssociationRejected):
            return Check("association", "failed", error.what, _rejected(setup, error))
        if isinstance(error, NodeUnreachable):
            return Check("association", "failed", error.what, error.mend)
        if setup.node.tls is None and speaks_tls(setup.node, setup.timeouts):
            found = f"what listens on {setup.node.host} port {setup.node.port} speaks TLS, and we speak to it in plain"
            return Check("association", "failed", found, f"speak to it by TLS: {setting('tls')}")
        return Check("association", "failed", describe_stranger(setup, error), _who_is_it(setup))
    except ConfigurationError as error:  # a certificate or a secret that is not there
        return Check("association", "failed", error.what, error.mend)
    return Check("association", "ok", f"{setup.node} accepts {setup.ae_title!r}")


def _us(setup: Setup) -> str:
    """Say what an administrator has to know of us."""
    address = find_own_address(setup.node)
    words = f"AE title {setup.ae_title!r}, " + (f"address {address}" if address else "this machine's address")
    return words if setup.port is None else f"{words}, port {setup.port}"


def _rejected(setup: Setup, error: AssociationRejected) -> str:
    if error.retriable:
        return "it has no room for another association now; try again later"
    who = setup.node.identity
    user = f"see that it accepts {who}, whom we name" if who else f"some want a user too, {setting('identity')}"
    if (error.source, error.reason) == (1, 3):
        return f"ask the archive's administrator to add us: {_us(setup)}; {user}"
    if (error.source, error.reason) == (1, 7):
        return (
            f"ask the archive's administrator for its AE title, if it is not {setup.node.ae_title!r}; if it is, "
            f"the archive does not know us (some say it so): {_us(setup)}; {user}"
        )
    return f"ask the archive's administrator what it allows, and tell them: {_us(setup)}; {user}"


def _who_is_it(setup: Setup) -> str:
    return (
        f"check host and port: is it an archive that listens there, and {'by' if setup.node.tls else 'without'} TLS? "
        f"If so, it may not know us ({_us(setup)}); ask its administrator"
    )


def check_echo(archive: Archive) -> Check:
    """Examine whether it answers at all."""
    try:
        archive.echo()
    except ContextRejected as error:
        return Check("C-ECHO", "unclear", error.what, "moves do not need it; see whether the rest is well")
    except NodeError as error:
        return Check("C-ECHO", "failed", error.what, "look at the archive's log")
    return Check("C-ECHO", "ok", "the archive answers")


def check_find(setup: Setup, archive: Archive) -> Check:
    """Examine whether it answers queries."""
    model = Model.STUDY
    try:
        try:
            answers = archive.finds(model)
        except ContextRejected:
            model = Model.PATIENT
            answers = archive.finds(model)
    except ContextRejected:
        found = f"{setup.node} does not offer C-FIND to {setup.ae_title!r}"
        return Check("C-FIND", "failed", found, _no_find("ask the archive's administrator to allow it"))
    except QueryRefused as error:
        return Check("C-FIND", "failed", error.what, _no_find(_refused_find(error.status)))
    except NodeError as error:
        return Check("C-FIND", "failed", error.what, _no_find(_look("a query", getattr(error, "by", None))))
    if answers:
        found = "the archive answers a query for a study that cannot exist: it ignores keys"
        return Check("C-FIND", "unclear", found, "what does not match is left out here; expect slow look-ups")
    if model is Model.PATIENT:
        found = f"the archive answers queries, but in {model.title} only"
        return Check("C-FIND", "ok", found, "take the Patient Root model; each request then has to name PatientID")
    return Check("C-FIND", "ok", f"the archive answers queries ({model.title})")


def _no_find(mend: str) -> str:
    return f"{mend}; until then accession numbers cannot be looked up, and only UIDs move"


def _look(refused: str, by: LostBy | None) -> str:
    silent = by is LostBy.TIMEOUT
    return "look at the archive's log" + ("" if silent else f": some archives end an association to refuse {refused}")


def _refused_find(status: int | None) -> str:
    if status in _SHORT_OF_RESOURCES:
        return "it is short of resources; try again later, then look at its log"
    if status in _NOT_ALLOWED:
        return "ask the archive's administrator to allow C-FIND for our AE title"
    return "look at the archive's log"


# --- from the archive to there


def check_move(setup: Setup, archive: Archive) -> Check:
    """Examine whether it knows who should receive, as far as a C-MOVE of nothing can show."""
    if setup.destination is None:
        return Check(
            "C-MOVE", "skipped", "nobody is named to receive", advise("name who receives: a destination, or us")
        )
    try:
        model = Model.STUDY
        try:
            end = archive.move(model, setup.destination)
        except ContextRejected:
            model = Model.PATIENT
            end = archive.move(model, setup.destination)
        control = archive.move(model, NOBODY) if _is_open_to_doubt(end) else None
    except ContextRejected:
        found = f"{setup.node} does not offer C-MOVE to {setup.ae_title!r}"
        return Check("C-MOVE", "failed", found, "ask the archive's administrator to allow it for our AE title")
    except NodeError as error:
        return Check("C-MOVE", "failed", error.what, "look at the archive's log")
    return _judged_move(setup, end, control)


def check_get(setup: Setup, archive: Archive) -> Check:
    """Examine whether it serves C-GET, as far as what it accepts can show."""
    try:
        archive.associated()
    except NodeError as error:
        return Check("C-GET", "failed", error.what, "look at the archive's log")
    if models := archive.get_models:
        return Check("C-GET", "ok", f"the archive serves C-GET ({', '.join(model.title for model in models)})")
    advice = f"ask the archive's administrator to allow it for our AE title, or take {setting('via', 'move')}"
    return Check("C-GET", "failed", f"{setup.node} does not offer C-GET to {setup.ae_title!r}", advice)


def advise_get(archive: Archive, check: Check) -> Check:
    """Add the way out of a dead end, if the archive has it."""
    if check.result in ("ok", "skipped") or not archive.get_models:
        return check
    way = f"this archive also serves C-GET: {setting('via', 'get')} needs no port and no administrator"
    return replace(check, advice="; ".join(filter(None, [check.advice, way])))


def _is_open_to_doubt(end: MoveEnd) -> bool:
    """Tell whether what an archive says of a destination that nobody has may explain how it ends."""
    return end.status_code is not None and end.status_code not in (0xA801, *_NOT_ALLOWED)


def _judged_move(setup: Setup, end: MoveEnd, control: MoveEnd | None) -> Check:
    """Judge a C-MOVE of nothing by how it ends, and by how one to a destination that nobody has ends."""
    title, port = setup.destination, setup.port
    where = "with its address and port" if port is None else f"with this machine's address and port {port}"
    register = f"ask the archive's administrator to add the AE title {title!r} {where}"
    if end.ended is not Ended.ANSWERED or end.status_code is None:
        found = f"a C-MOVE of nothing to {title!r}: {end.why}"
        return Check("C-MOVE", "failed", found, _look("a C-MOVE", end.lost_by))
    found = f"a C-MOVE of nothing to {title!r} ends with {describe(end.status_code)}"
    if end.status_code == 0xA801:
        return Check("C-MOVE", "failed", found, register)
    if end.status_code in _NOT_ALLOWED:
        advice = "ask the archive's administrator to allow C-MOVE for our AE title"
        return Check("C-MOVE", "failed", found, advice)
    if setup.has_received and setup.via == "move":
        return Check("C-MOVE", "ok", f"{found}; images have come to {title!r} by one since this Mover was opened")
    if control is not None and control.status_code == 0xA801:
        found += f"; one to {NOBODY!r} with 0xA801, so the archive knows {title!r}"
        if end.status_code == SUCCESS:
            return Check("C-MOVE", "ok", found)
        return Check("C-MOVE", "unclear", found, "it may only say that there is no such study; move a small one to see")
    if end.status_code in _SHORT_OF_RESOURCES:
        return Check("C-MOVE", "unclear", found, "the archive may be short of resources; try again later")
    found += f"; but this does not show whether the archive knows {title!r}"
    if control is not None and control.status_code == end.status_code:
        found += f", since one to {NOBODY!r} ends so too"
    advice = f"move a small study to see, or say {setting('one_image', True)}; if nothing arrives, {register}"
    return Check("C-MOVE", "unclear", found, advice)

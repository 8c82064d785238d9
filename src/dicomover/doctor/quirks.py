"""What does an archive do otherwise than most? Tried by C-FINDs and by what it negotiates; nothing moves."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pydicom import Dataset

from dicomover.attributes.reading import read_text, read_uid
from dicomover.dicomfile import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN
from dicomover.doctor.archive import Archive, check_association, check_echo, check_find
from dicomover.doctor.findings import Check, Setup
from dicomover.errors import AnswerWarning, NodeError
from dicomover.identifier import Level, Model, find_dataset
from dicomover.outcome import CANCELLED, SUCCESS
from dicomover.query.splitting import Split, find_all
from dicomover.text.sentences import count_of
from dicomover.wire.association import RELEASING, Association
from dicomover.wire.association_pdus import Roles
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import request_association
from dicomover.wire.services import ECHO, GET, RETRIEVE, SERVICES, propose_contexts
from dicomover.wire.transport import connect

__all__ = ["check_services", "examine", "learn_quirks"]

_MOST = 2_000  # answers to one C-FIND; one more, and the archive is asked to stop
_FEW = 10  # studies below which nothing shows whether answers are capped
_ENOUGH = 300  # studies without which a C-CANCEL comes too late to show anything
_LONG = 2.0  # seconds after a C-CANCEL in which what was sent before it has come
_IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "7"))  # CT, MR and secondary captures
_PLAIN = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)
_PATIENCE = 60.0  # seconds for a response, where nobody has set a limit


@dataclass(slots=True)
class _Answers:
    """What came of one C-FIND."""

    found: list[Dataset] = field(default_factory=list)
    status: int | None = None  # that it ended with; None if it did not
    seen: int = 0  # responses that came, wanted or not
    late: float = 0.0  # seconds after a C-CANCEL in which the archive still made answers
    error: NodeError | None = None

    def uids(self, keyword: str) -> list[str]:
        """Return the UIDs that were answered, each once."""
        return [uid for uid in dict.fromkeys(read_uid(each, keyword) for each in self.found) if uid]


def check_services(setup: Setup) -> Check:
    """Say which services an archive accepts when all are proposed."""
    association = Association(setup.node, setup.ae_title, setup.timeouts, ECHO | RETRIEVE | GET)
    try:
        association.open()
        taken = [name for uid, name in SERVICES.items() if association.accepts(uid)]
    except NodeError as error:
        return Check("services", "failed", error.what, error.mend)
    finally:
        association.release()
    if not any(name.startswith(("C-MOVE", "C-GET")) for name in taken):
        found = f"it offers {', '.join(taken) or 'nothing that was proposed'}, and no retrieval"
        return Check("services", "failed", found, "ask the archive's administrator to allow C-MOVE for our AE title")
    is_getting = any(name.startswith("C-GET") for name in taken)
    return Check("services", "ok", f"it offers {', '.join(taken)}", "" if is_getting else "C-GET is not offered to us")


def examine(setup: Setup, next_message_id: Callable[[], int]) -> list[Check]:
    """Say whether an archive accepts us, answers, can be queried, and what it offers."""
    setup = _patient(setup)
    archive = Archive(setup, next_message_id)
    try:
        opened = check_association(setup, archive)
        if opened.result == "failed":
            return [opened]
        return [opened, check_echo(archive), check_find(setup, archive), check_services(setup)]
    finally:
        archive.release()


def learn_quirks(setup: Setup, next_message_id: Callable[[], int]) -> tuple[list[Check], dict[str, object]]:
    """Try an archive; return what was found, with what shows it, and the quirks that are to be kept."""
    setup = _patient(setup)
    archive = Archive(setup, next_message_id)
    try:
        opened = check_association(setup, archive)
        if opened.result == "failed":
            return [opened], {}
        return _Trial(setup, archive, [opened, check_echo(archive), check_services(setup)]).run()
    finally:
        archive.release()


def _patient(setup: Setup) -> Setup:
    """Return it with a limit for each response: a batch may wait for a tape; what is asked here is on none."""
    if setup.timeouts.dimse is not None:
        return setup
    return replace(setup, timeouts=replace(setup.timeouts, dimse=_PATIENCE))


def _offers_get(setup: Setup) -> bool:
    return bool(_negotiate(setup, propose_contexts(GET), {}))


def _takes_images(setup: Setup, roles: tuple[bool, bool]) -> bool:
    first = 2 * len(GET) + 1
    images = (Context(first + 2 * place, uid, _PLAIN) for place, uid in enumerate(_IMAGES))
    taken = _negotiate(setup, (*propose_contexts(GET), *images), dict.fromkeys(_IMAGES, roles))
    return any(context.abstract_syntax in _IMAGES for context in taken)


def _negotiate(setup: Setup, contexts: Iterable[Context], roles: Roles) -> list[Context]:
    """Return the contexts that an archive accepts of these; the association ends at once."""
    limit = time.monotonic() + (setup.timeouts.acse or _PATIENCE)
    connection = Connection(connect(setup.node, setup.timeouts.connect))
    try:
        request_association(connection, setup.node, setup.ae_title, contexts, lambda: limit, roles)
        taken = list(connection.contexts.values())
        connection.release(RELEASING)
        return taken
    finally:
        connection.close()


class _Trial:
    def __init__(self, setup: Setup, archive: Archive, checks: list[Check]) -> None:
        self._setup, self._archive, self._checks = setup, archive, checks
        self._quirks: dict[str, object] = {}
        self._model = Model.STUDY

    def run(self) -> tuple[list[Check], dict[str, object]]:
        association, _ = self._archive.associated()
        offered = [model for model in (Model.STUDY, Model.PATIENT) if association.accepts(model.find_sop_class)]
        if not offered:
            self._note("C-FIND", "failed", "it offers no C-FIND, so nothing can be tried")
            return self._checks, {}
        self._model = offered[0]
        above = {} if self._model is Model.STUDY else self._some_patient()
        everything = self._find(Level.STUDY, {**above, "StudyInstanceUID": "", "StudyDate": ""})
        self._try_cap(everything, above)
        self._try_cancel(everything, above)
        studies = [each for each in everything.found if read_uid(each, "StudyInstanceUID")]
        if not studies:
            why = "it answered no study to try with"
            for check in ("lists of UIDs", "PatientID", "relational queries"):
                self._note(check, "skipped", why)
        else:
            self._try_lists(everything.uids("StudyInstanceUID"), above)
            self._try_patient(studies[0], above)
            self._try_relational(studies[0], above)
        self._try_roles()
        self._note("side by side", "skipped", "how many C-MOVEs it serves at once shows only if images move")
        return self._checks, self._quirks

    def _try_roles(self) -> None:
        """Propose images for a C-GET in the role of the SCP, and where that is not accepted, in both; none comes."""
        try:
            if not _offers_get(self._setup):
                return self._note("roles in C-GET", "skipped", "it offers no C-GET")
            if _takes_images(self._setup, (False, True)):
                return self._note("roles in C-GET", "ok", "it accepts that images come to us, in the role of the SCP")
            if _takes_images(self._setup, (True, True)):
                found = "it accepts that images come to us only where both roles are proposed"
                return self._note("roles in C-GET", "ok", found, roles="both")
        except NodeError as error:
            return self._note("roles in C-GET", "unclear", error.what)
        return self._note("roles in C-GET", "unclear", "it offers C-GET, and accepts no CT, MR or SC to come to us")

    def _note(self, check: str, result: str, found: str, **quirk: object) -> None:
        self._quirks |= quirk
        kept = ", ".join(f"{name} = {str(value).lower()}" for name, value in quirk.items())
        self._checks.append(Check(check, result, found, f"kept as {kept}" if kept else ""))  # type: ignore[arg-type]

    def _find(
        self, level: Level, keys: Mapping[str, str], *, limit: int = _MOST + 1, model: Model | None = None
    ) -> _Answers:
        answers = _Answers()

        def ended(status: int | None, seen: int, late: float) -> None:
            answers.status, answers.seen, answers.late = status, seen, late

        try:
            association, number = self._archive.associated()
            asked = find_dataset(level, {"PatientID": "", **keys})
            answers.found += association.find(asked, model or self._model, number, limit=limit, on_end=ended)
        except NodeError as error:
            answers.error = error
        return answers

    def _some_patient(self) -> dict[str, str]:
        """Return the PatientID without which Patient Root says nothing of a study."""
        patients = self._find(Level.PATIENT, {}, limit=1).found
        return {"PatientID": read_text(patients[0], "PatientID") or ""} if patients else {}

    def _try_cap(self, whole: _Answers, above: Mapping[str, str]) -> None:
        came = len(whole.found)
        if came > _MOST:
            return self._note("most answers", "ok", f"it gives more than {_MOST:,} answers to one C-FIND")
        told = f"{count_of(came, 'answer')} to a C-FIND for all studies"
        if came < _FEW and whole.error is None:
            return self._note("most answers", "skipped", f"{told}: too few for a cap to show")
        try:
            parts = self._find_in_parts(above, came + 1 if came else _FEW, came or "auto")
        except NodeError as error:
            return self._note("most answers", "unclear", f"{told}; in parts: {error.what}")
        if not came:
            whole.found += parts
            why = "" if whole.error is None else whole.error.what
            return self._note("most answers", "unclear", f"a C-FIND for all studies brings nothing: {why}")
        if len(parts) > came:
            return self._note("most answers", "ok", f"{told}, and more when it is asked in parts", find_cap=came)
        return self._note("most answers", "ok", f"{told}, and no more when it is asked in parts")

    def _find_in_parts(self, above: Mapping[str, str], most: int, split: Split) -> list[Dataset]:
        keys = {**above, "StudyInstanceUID": "", "StudyDate": f"19000101-{date.today():%Y%m%d}", "PatientID": ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnswerWarning)
            return find_all(self._ask, keys, Level.STUDY, split=split, limit=most, archive=self._setup.node)

    def _ask(self, keys: Mapping[str, str], limit: int | None) -> list[Dataset]:
        answers = self._find(Level.STUDY, keys, limit=limit or _MOST + 1)
        if answers.error is not None:
            raise answers.error
        return answers.found

    def _try_cancel(self, whole: _Answers, above: Mapping[str, str]) -> None:
        wanted, came = _MOST + 1, len(whole.found)
        if came < wanted:
            if came < _ENOUGH:
                why = f"it answers {count_of(came, 'study', 'studies')}: too few for a C-CANCEL to come in time"
                return self._note("C-CANCEL", "skipped", why)
            wanted, whole = 1, self._find(Level.STUDY, {**above, "StudyInstanceUID": ""}, limit=1)
        more = whole.seen - wanted
        if whole.status == CANCELLED:
            return self._note("C-CANCEL", "ok", "it ends a C-FIND that is cancelled")
        told = f"{more:,} further answers after the C-CANCEL of a C-FIND"
        if whole.status in (SUCCESS, None) and whole.late >= _LONG:
            return self._note("C-CANCEL", "ok", f"{told}, for {whole.late:.0f} s", cancels=False)
        if whole.status == SUCCESS:
            return self._note("C-CANCEL", "unclear", f"{told}, which may have been on their way before it")
        return self._note("C-CANCEL", "unclear", "a C-FIND that was cancelled ended in another way")

    def _try_lists(self, studies: Sequence[str], above: Mapping[str, str]) -> None:
        if len(studies) < 2:
            return self._note("lists of UIDs", "skipped", "it answered one study, which is no list")
        pair = list(studies[:2])
        alone = [self._find(Level.STUDY, {**above, "StudyInstanceUID": uid}).uids("StudyInstanceUID") for uid in pair]
        if alone != [[uid] for uid in pair]:
            return self._note("lists of UIDs", "unclear", "two studies that it answered are not found by their UIDs")
        listed = self._find(Level.STUDY, {**above, "StudyInstanceUID": "\\".join(pair)})
        named = set(listed.uids("StudyInstanceUID")) & set(pair)
        if len(named) == 2:
            return self._note("lists of UIDs", "ok", "a C-FIND by a list of two UIDs finds both; no C-MOVE was tried")
        how = "refused" if listed.error is not None else f"answered with {len(named)} of them"
        return self._note("lists of UIDs", "ok", f"a C-FIND by a list of two UIDs is {how}", lists=False)

    def _try_patient(self, study: Dataset, above: Mapping[str, str]) -> None:
        uid, patient = read_uid(study, "StudyInstanceUID"), read_text(study, "PatientID") or above.get("PatientID", "")
        alone = self._find(Level.STUDY, {"StudyInstanceUID": uid})
        if uid in alone.uids("StudyInstanceUID"):
            return self._note("PatientID", "ok", "a study is found by its UID alone")
        named = self._find(Level.STUDY, {"PatientID": patient, "StudyInstanceUID": uid})
        if patient and uid in named.uids("StudyInstanceUID"):
            return self._note("PatientID", "ok", "a study is found only with its PatientID", patient_id=True)
        return self._note("PatientID", "unclear", "a study that it answered is not found by its UID")

    def _try_relational(self, study: Dataset, above: Mapping[str, str]) -> None:
        own = {**above, "StudyInstanceUID": read_uid(study, "StudyInstanceUID")}
        series = self._find(Level.SERIES, {**own, "SeriesInstanceUID": ""}, limit=1).uids("SeriesInstanceUID")
        if not series:
            return self._note("relational queries", "skipped", "it answered no series to try with")
        alone = self._find(Level.SERIES, {"SeriesInstanceUID": series[0]}, limit=2).uids("SeriesInstanceUID")
        does = "answered" if alone == series else "not answered"
        found = f"a C-FIND for a series without its study is {does}; no C-MOVE was tried, so nothing is kept"
        return self._note("relational queries", "ok", found)

"""One C-MOVE under way: what belongs to it, what of it is here, and whose images are not counted for it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Mapping

from dicomover.events import MOST_SIGNS, Admission, Arrival, Refusal, Refused, is_sign
from dicomover.identifier import NOTHING, Identifier, Level
from dicomover.query.matching import is_of_patient

__all__ = ["RunningMove", "size_of_file"]


# One for all that are over. Nothing writes to them: what comes is counted for what runs.
_NO_STATUSES: Counter[int] = Counter()
_NO_REASONS: dict[int, str] = {}
_NO_SYNTAXES: dict[str, str] = {}
_NO_KINDS: Counter[tuple[bool, Refused, str, str]] = Counter()
_NO_DOUBT: list[Arrival] = []
_NO_PLACES: set[int] = set()


class RunningMove:
    """One C-MOVE under way and the distinct instances that have arrived for it.

    Attributes
    ----------
    begun
        The `time.monotonic()` at which the latest attempt began.
    of_patient
        The Study Instance UIDs of the patient who was asked for, as the archive has them; None until it was asked.
    whose
        The PatientIDs that the archive names for what was asked for. Where it names none, the UIDs that were asked for
        are all that an image is held against.
    doubtful
        What came under those UIDs and names another patient, until `settle` says what the archive knows of it.
    sop_uids
        The SOP Instance UIDs that are here.
    twins
        Series and SOP Instance UID of each further instance under the UID of one in another series.
    repeated
        How many came again in the latest attempt: the same image, or other bytes under its UID. None once something
        came that was another running C-MOVE's too: which of the two has brought it again, nobody can tell.
    conflicts, foreign
        How many came with other bytes than a file that was here; and how many for this C-MOVE, by their Move
        Originator, under UIDs that nobody has asked for, and were refused.
    mislabelled
        In which transfer syntax each one is that we refused since it came under another one, where that shows.
    refused
        Instances that we refused, by the C-STORE status that we answered.
    unclear
        The same of instances that could not be tied to a C-MOVE: they may be anybody's.
    stray
        The same of instances of something that no running C-MOVE has asked for: another study, say.
    reasons
        Why we refused the first of them, by the C-STORE status.
    most_strange
        As many as came as another patient's in an earlier attempt; their files lie here still.
    turned_away
        What else we refused meanwhile, why, and how to mend it, as often as it happened; it may be anybody's too.
    is_called
        Whether something that we refused came from the archive itself.
    other_kind
        Whether it is to come in the other kind of transfer syntax than usually, compressed or not.
    is_alone
        Whether no other C-MOVE may be under way meanwhile: our receiver cannot tell for which one an association is.
    """

    __slots__ = (
        "_again",
        "_came",
        "_doubted",
        "_instances",
        "_listed",
        "_named",
        "_patients",
        "_refused",
        "_series",
        "_shares",
        "_strange",
        "_studies",
        "arrivals",
        "begun",
        "bytes",
        "conflicts",
        "doubtful",
        "foreign",
        "identifier",
        "is_alone",
        "is_called",
        "last_arrival",
        "message_id",
        "mislabelled",
        "most",
        "most_strange",
        "number",
        "of_patient",
        "other_kind",
        "reasons",
        "refused",
        "repeated",
        "sop_uids",
        "stray",
        "turned_away",
        "twins",
        "unclear",
        "whose",
    )

    def __init__(self, number: int, identifier: Identifier) -> None:
        self.number = number
        self.identifier = identifier
        self.message_id = self._came = 0
        self.most = MOST_SIGNS  # instances that are a sign of life
        self.other_kind = self.is_alone = False
        self.sop_uids: dict[str, str] = {}  # with the series; a set that is empty takes three times as much
        self.of_patient: frozenset[str] | None = None
        self.twins: set[tuple[str, str]] | None = None
        self.repeated = 0
        self._shares = False
        self._again: set[tuple[str, str]] | None = None  # what this attempt has brought, if it is not the first
        self._named: dict[tuple[str, str], str] | None = None  # whose the images here are that name another patient
        self.arrivals: list[Arrival] = []
        self.bytes = 0
        self.conflicts = 0
        self.foreign = 0
        self.whose: Collection[str] = ()
        self.doubtful, self._doubted = _NO_DOUBT, _NO_PLACES
        self.is_called = False
        self._listed: frozenset[tuple[str, str]] | None = None
        self.most_strange = self._strange = self._refused = 0
        self.last_arrival = self.begun = 0.0
        self.mislabelled: dict[str, str] = {}
        self.refused: Counter[int] = Counter()
        self.unclear: Counter[int] = Counter()
        self.stray: Counter[int] = Counter()
        self.reasons: dict[int, str] = {}
        self.turned_away: Counter[tuple[bool, Refused, str, str]] = Counter()
        self._patients = self._studies = self._series = self._instances = NOTHING

    def begin(self) -> None:
        """Know what was asked for, while it runs."""
        identifier = self.identifier
        self.begun = time.monotonic()
        self._patients = identifier.uids(Level.PATIENT) if identifier.level is Level.PATIENT else NOTHING
        self._studies = identifier.uids(Level.STUDY)
        self._series = identifier.uids(Level.SERIES)
        self._instances = identifier.uids(Level.IMAGE)
        self._again = set() if self.sop_uids else None
        self.most_strange = max(self.most_strange, self._strange)
        self.repeated = self.foreign = self._strange = self._refused = self._came = 0
        self.is_called = self._shares = False
        self.doubtful = _NO_DOUBT
        for noted in (self.mislabelled, self.refused, self.unclear, self.stray, self.reasons, self.turned_away):
            noted.clear()

    def admission(self, archive: str = "") -> Admission:
        """Return what it may bring to our receiver, from an archive that answers at this address."""
        identifier = self.identifier
        return Admission(
            self.number,
            patient_ids=identifier.uids(Level.PATIENT) if identifier.level is Level.PATIENT else NOTHING,
            patient_study_uids=self.of_patient or NOTHING,
            study_uids=identifier.uids(Level.STUDY),
            series_uids=identifier.uids(Level.SERIES),
            sop_uids=identifier.uids(Level.IMAGE),
            archive=archive,
            other_kind=self.other_kind,
        )

    @property
    def received(self) -> int:
        """How many distinct instances are here."""
        return len(self.sop_uids) + len(self.twins or ())

    def has_enough(self, wanted: int, listed: int | None) -> bool:
        """Tell whether as many have come, or been refused, as are wanted."""
        came = self.received + self._refused + len(self.doubtful)
        return came >= wanted or (listed is not None and came >= listed and came + self.repeated >= wanted)

    def take(self, arrival: Arrival, *, is_shared: bool = False) -> bool:
        """Count an arrival, another C-MOVE's too if `is_shared`; True if it was not here before."""
        series, sop = arrival.series_instance_uid, arrival.sop_instance_uid
        is_new = sop not in self.sop_uids
        if is_new:
            self.sop_uids[sop] = series
        elif self.sop_uids[sop] != series and (series, sop) not in (self.twins or ()):
            self.twins = set() if self.twins is None else self.twins
            self.twins.add((series, sop))
            is_new = True
        if not self._is_his(arrival):
            self._named = {} if self._named is None else self._named
            self._named.setdefault((series, sop), arrival.patient_id)
        elif not is_new and self._named and (series, sop) in self._named:
            self._strange += 1  # what lies here is
        if is_shared or self._shares:
            self._shares, self.repeated = True, 0
        elif self._again is None:
            self.repeated += not is_new
        elif (series, sop) in self._again:
            self.repeated += 1
        else:
            self._again.add((series, sop))
        if is_new:
            self.arrivals.append(arrival)
            self.bytes += size_of_file(arrival)
        self.conflicts += arrival.conflict
        self._heed(arrival, is_new, self.received)
        return is_new

    def _heed(self, arrival: Arrival, is_new: bool, here: int) -> bool:
        """Take note that something came; tell whether that shows that the archive is at work."""
        self._came += 1
        is_alive = is_sign(is_new, self._came, here, self.most)
        if is_alive:
            self.last_arrival = max(self.last_arrival, arrival.at)
        return is_alive

    @property
    def renamed(self) -> int:
        """How many count although they name another patient than the archive does, or none: it lists them."""
        return len(self._named or ())

    @property
    def strange(self) -> int:
        """How many came under what was asked for as another patient's, and do not count."""
        return self._strange + len(self.doubtful)

    def is_certain(self, arrival: Arrival) -> bool:
        """Tell whether an arrival that is covered is the patient's: by its PatientID, or since the archive lists it."""
        return self._is_his(arrival) or (
            (
                (arrival.sop_instance_uid in self._instances and not self.identifier.patient)
                or (self._listed is not None and _place(arrival) in self._listed)
            )
            and not self._is_beside_anothers(arrival)
        )

    def _is_his(self, arrival: Arrival) -> bool:
        """Tell whether an image names the patient, as far as anybody is named."""
        return not self.whose or arrival.patient_id in self.whose or is_of_patient(arrival.patient_id, self.whose)

    def _is_beside_anothers(self, arrival: Arrival) -> bool:
        """Tell whether its place is taken by an image that names another patient than it does."""
        series, sop = place = _place(arrival)
        is_taken = self.sop_uids.get(sop) == series or place in (self.twins or ())
        return is_taken and (self._named or {}).get(place) != arrival.patient_id

    def doubt(self, arrival: Arrival) -> None:
        """Note what names another patient: for `settle`, if that is still to come."""
        if self._listed is not None:
            self._strange += 1  # a stranger's, which holds no wait
            return
        if self.doubtful is _NO_DOUBT:
            self.doubtful, self._doubted = [], set()
        before = len(self._doubted)
        self._doubted.add(hash(_place(arrival)))
        if self._heed(arrival, len(self._doubted) > before, before):
            self.doubtful.append(arrival)
        else:
            self._strange += 1  # and nobody keeps what comes for ever

    def settle(self, listed: Mapping[str, Collection[str]] | None) -> list[Arrival]:
        """Count what the archive lists, by series, of what names another patient; return what was not here before.

        The rest is strange, what lies beside the patient's own under its UID too, and all of it if the archive could
        not be asked (None).
        """
        doubtful, self.doubtful = self.doubtful, _NO_DOUBT
        if listed is not None:
            self._listed = frozenset((series, uid) for series, uids in listed.items() for uid in uids)
        new = []
        for arrival in doubtful:  # one by one: of two under one UID only the first is what the archive lists
            if not self.is_certain(arrival):
                self._strange += 1
            elif self.take(arrival):
                new.append(arrival)
        return new

    def refuse(self, status: int, count: int, *, is_certain: bool) -> None:
        """Note what we refused of it: by its UIDs, or only as its Move Originator says."""
        self.refused[status] += count
        self._refused += count if is_certain else 0

    def end(self) -> None:
        """Let go of that: a set takes 216 bytes, and a batch may have 100,000 C-MOVEs."""
        self._again = self._listed = None
        self._strange, self.doubtful = self.strange, _NO_DOUBT
        self.whose = ()
        self._patients = self._studies = self._series = self._instances = NOTHING

    def lose(self) -> int:
        """Count no more what lay in folders that are gone, and return how much; once the tally has ended."""
        folders = {os.path.dirname(arrival.path) for arrival in self.arrivals}  # noqa: PTH120 - there may be very many
        if all(map(os.path.isdir, folders)):
            return 0
        came, conflicts, named = self.arrivals, self.conflicts, self._named or {}
        self.arrivals, self.bytes, self.sop_uids, self.twins, self._named = [], 0, {}, None, None
        for arrival in came:
            if os.path.isdir(os.path.dirname(arrival.path)):  # noqa: PTH112, PTH120
                self.take(arrival)
        self.conflicts = conflicts
        self._named = {place: named[place] for place in map(_place, self.arrivals) if place in named}
        return len(came) - len(self.arrivals)

    def covers(self, arrival: Arrival) -> bool:
        """Tell whether an arrival is part of what was asked for."""
        return (
            (
                not self._patients
                or arrival.patient_id in self._patients
                or self._is_of_patient(arrival.study_instance_uid)
            )
            and (not self._studies or arrival.study_instance_uid in self._studies)
            and (not self._series or arrival.series_instance_uid in self._series)
            and (not self._instances or arrival.sop_instance_uid in self._instances)
        )

    def forget(self) -> None:
        """Let go of what has arrived, and of what was refused: every C-MOVE of a batch is kept until its end."""
        self.arrivals.clear()
        self.sop_uids.clear()
        self.twins = self._named = None
        self.refused = self.unclear = self.stray = _NO_STATUSES
        self.reasons, self.turned_away, self.mislabelled = _NO_REASONS, _NO_KINDS, _NO_SYNTAXES

    def covers_refused(self, refusal: Refusal) -> bool | None:
        """Tell whether what we refused was part of what was asked for; None if nothing tells."""
        if refusal.sop_instance_uid and self._instances:
            return refusal.sop_instance_uid in self._instances
        study = refusal.study_instance_uid
        if not study or (self._patients and self.of_patient is None):
            return None
        return study in self._studies or self._is_of_patient(study)

    def _is_of_patient(self, study: str) -> bool:
        """Tell whether a study is one that the archive has of the patient, whatever ID its images carry."""
        return self.of_patient is not None and study in self.of_patient


def _place(arrival: Arrival) -> tuple[str, str]:
    return arrival.series_instance_uid, arrival.sop_instance_uid


def size_of_file(arrival: Arrival) -> int:
    """Return the bytes of the file, which are a few more than those of its data set."""
    try:
        return os.stat(arrival.path).st_size  # noqa: PTH116 - a Path method costs more than the call
    except OSError:  # moved on already
        return arrival.size

"""The tally: which arrivals belong to which running C-MOVE."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from batch_kit import arrival, running
from dicomover.batch.arrivals import Tally
from dicomover.batch.running import RunningMove
from dicomover.events import Noted, Refusal, Refused


def tally_of(*moves: RunningMove, last_activity: float = 0.0, last_call: float = 0.0) -> Tally:
    """Return a tally in which these moves have begun."""
    tally = Tally("ME", SimpleNamespace(last_activity=last_activity, last_call=last_call))  # type: ignore[arg-type]
    for move in moves:
        tally.begin(move)
    return tally


@pytest.mark.parametrize(
    ("level", "keys", "how", "covered"),
    [
        ("STUDY", {}, {}, True),
        ("STUDY", {}, {"study_instance_uid": "2"}, False),
        ("STUDY", {}, {"study_instance_uid": ""}, False),
        ("STUDY", {"study": "2\\1"}, {}, True),
        ("STUDY", {"patient": "P"}, {"patient_id": "merged into Q"}, True),
        ("SERIES", {"series": "1.1"}, {}, True),
        ("SERIES", {"series": "1.2\\1.1"}, {}, True),
        ("SERIES", {"series": "1.2"}, {}, False),
        ("IMAGE", {"series": "1.1", "instance": "1.1.1\\1.1.2"}, {}, True),
        ("IMAGE", {"series": "1.1", "instance": "1.1.2"}, {}, False),
        ("PATIENT", {"study": "", "patient": "P"}, {}, True),
        ("PATIENT", {"study": "", "patient": "P"}, {"study_instance_uid": "9"}, True),
        ("PATIENT", {"study": "", "patient": "Q"}, {}, False),
        ("PATIENT", {"study": "", "patient": "P\\Q"}, {}, False),
    ],
)
def test_what_a_move_covers(level: str, keys: dict, how: dict, covered: bool) -> None:
    """An arrival belongs to a move if every UID that was asked for agrees; a patient counts only where asked for."""
    move = running(level=level, **keys)
    assert tally_of(move).add(arrival(**how)) == ([0] if covered else [])
    assert len(move.sop_uids) == covered
    assert move.bytes == 100 * covered


def test_duplicates_count_once() -> None:
    """An instance that comes twice is one instance, with its bytes once."""
    move = running()
    tally = tally_of(move)
    for instance in ("1", "2", "1", "2", "1"):
        tally.add(arrival(instance, duplicate=True))
    assert (len(move.sop_uids), move.bytes) == (2, 200)


def test_headers_are_no_images() -> None:
    """What came without its pixels, for somebody who wants no more, counts only where no more is wanted."""
    for wants_no_more in (False, True):
        move = running()
        scp = SimpleNamespace(last_activity=0.0, last_call=0.0)
        tally = Tally("ME", scp, headers_only=wants_no_more)  # type: ignore[arg-type]
        tally.begin(move)
        assert tally.add(arrival("1", headers_only=True)) == [0] * wants_no_more
        assert (len(move.sop_uids), move.bytes) == (wants_no_more, 100 * wants_no_more)
        assert tally.add(arrival("2")) == [0]


def test_conflicts_count_once_as_received() -> None:
    """Other bytes under the same UID are noted, and are one instance still."""
    move = running()
    tally = tally_of(move)
    tally.add(arrival("1"))
    tally.add(arrival("1", conflict=True))
    assert (len(move.sop_uids), move.conflicts) == (1, 1)


@pytest.mark.parametrize(
    ("originator", "message_id", "foreign"),
    [("ME", 7, 1), ("ME", 8, 0), ("OTHER", 7, 0), ("", None, 0), ("ME", None, 0)],
)
def test_foreign_instances_are_noted_not_received(originator: str, message_id: int | None, foreign: int) -> None:
    """What we refuse of our C-MOVE, since it is of another study, is noted with it, and ends no wait for the others."""
    move = running()
    tally = tally_of(move)
    strange = Refusal(
        1.0, "no", 0x0124, "A", "9.1", "9", originator_ae_title=originator, originator_message_id=message_id
    )
    tally.add_refusal(strange)
    assert tally.add(arrival(study_instance_uid="9")) == []
    assert (len(move.sop_uids), move.bytes, move.foreign, move.refused.total()) == (0, 0, foreign, 0)
    assert not move.has_enough(1, None)


def test_one_arrival_for_several_moves() -> None:
    """A study and one of its series, moved side by side, both receive the instance of that series."""
    whole, part, other = running(0), running(1, level="SERIES", series="1.1"), running(2, study="2")
    assert tally_of(whole, part, other).add(arrival(originator_ae_title="ME", originator_message_id=7)) == [0, 1]
    assert [len(move.sop_uids) for move in (whole, part, other)] == [1, 1, 0]
    assert [move.foreign for move in (whole, part, other)] == [0, 0, 0]


def test_what_has_ended_counts_no_more() -> None:
    """After its end a move receives nothing; ending it twice is no error."""
    move = running()
    tally = tally_of(move)
    tally.end(move)
    tally.end(move)
    assert tally.add(arrival()) == []
    assert not move.sop_uids


@pytest.mark.parametrize(
    ("refusal", "counted"),
    [
        (Refusal(1.0, "full", 0xA700, "A", "1.1.1", "1"), {0xA700: 1}),
        (Refusal(1.0, "full", 0xA700, "A", "1.1.1", "2"), {}),
        (Refusal(1.0, "full", 0xA700), {}),
        (Refusal(1.0, "an association", None, "A", "1.1.1", "1"), {}),
    ],
)
def test_refusals(refusal: Refusal, counted: dict[int, int]) -> None:
    """An instance that we refused is counted by its status, if it was part of the move."""
    move = running()
    tally_of(move).add_refusal(refusal)
    assert dict(move.refused) == counted


def test_refusals_of_images() -> None:
    """A refused instance of a move of images is known by its own UID."""
    move = running(level="IMAGE", series="1.1", instance="1.1.1")
    tally = tally_of(move)
    tally.add_refusal(Refusal(1.0, "full", 0xA700, "A", "1.1.1", ""))
    tally.add_refusal(Refusal(1.0, "full", 0xA700, "A", "1.1.2", "1"))
    assert dict(move.refused) == {0xA700: 1}


def test_last_sign() -> None:
    """Bytes under way are a sign of life only for a move that is alone."""
    one, two = running(0), running(1, study="2")
    tally = tally_of(one, last_activity=9.0)
    tally.add(arrival(at=5.0))
    assert tally.last_sign(one) == 9.0
    tally.begin(two)
    assert (tally.last_sign(one), tally.last_sign(two)) == (5.0, 0.0)


def test_whether_somebody_has_called_since_it_began() -> None:
    """Only what the receiver was busy with after the beginning of the latest attempt speaks for the way to us."""
    before, move = time.monotonic(), running()
    assert not tally_of(move, last_activity=before + 60, last_call=before).was_called(move)
    assert tally_of(move, last_call=time.monotonic() + 1).was_called(move)


def test_waiting_ends_when_all_is_here() -> None:
    """A wait ends with the last instance that is due, received or refused, from whichever thread it comes."""
    move = running()
    tally = tally_of(move)

    def send() -> None:
        for number in range(9):
            tally.add(arrival(str(number)))
        tally.add_refusal(Refusal(1.0, "full", 0xA700, "A", "9", "1"))

    thread = threading.Timer(0.05, send)
    thread.start()
    begun = time.monotonic()
    tally.wait(move, 10, 30.0)
    assert time.monotonic() - begun < 20
    thread.join()
    assert len(move.sop_uids) == 9


def test_waiting_ends_when_it_is_quiet() -> None:
    """A wait ends when nothing has come for so long, and not before; what is there already needs none."""
    move = running()
    tally = tally_of(move)
    begun = time.monotonic()
    tally.wait(move, 1, 0.2)
    assert 0.2 <= time.monotonic() - begun < 10
    tally.add(arrival())
    begun = time.monotonic()
    tally.wait(move, 1, 30.0)
    assert time.monotonic() - begun < 10


def test_many_threads() -> None:
    """Arrivals from many threads are counted exactly."""
    whole, part = running(0), running(1, level="SERIES", series="1.1")
    tally = tally_of(whole, part)

    def send(thread: int) -> None:
        for number in range(200):
            tally.add(arrival(f"{number}", duplicate=True))
            tally.add(arrival(f"{thread}.{number}", series_instance_uid="1.2"))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(whole.sop_uids), whole.bytes) == (200 + 8 * 200, 100 * (200 + 8 * 200))
    assert (len(part.sop_uids), part.bytes) == (200, 100 * 200)


# --- who it belongs to


@pytest.mark.parametrize(
    ("how", "counted"),
    [
        ({"patient_id": "merged into Q"}, True),
        ({"patient_id": "p"}, True),
        ({"patient_id": "P^^^ISSUER"}, True),
        ({"patient_id": ""}, True),
        ({"patient_id": "P", "study_instance_uid": "3"}, True),
        ({"patient_id": "Q", "study_instance_uid": "3"}, False),
        ({"patient_id": "Q", "study_instance_uid": ""}, False),
    ],
)
def test_a_patients_studies_vouch_for_their_images(how: dict, counted: bool) -> None:
    """At level PATIENT an image belongs to the move by its PatientID, or by a study that the archive has of him."""
    move = running(level="PATIENT", study="", patient="P")
    move.of_patient = frozenset({"1", "2"})
    tally_of(move).add(arrival(**how))
    assert move.received == counted


def move_of_patient(*patients: str, level: str = "STUDY", **keys: str) -> RunningMove:
    """Return a running move for which the archive names these patients."""
    move = running(level=level, **keys)
    move.whose = patients
    return move


@pytest.mark.parametrize(
    ("patient", "counted"),
    [("P", 1), ("P ", 1), (" p\0", 1), ("P^^^HOSP", 1), ("Q", 0), ("", 0), ("0P", 0), ("PP", 0), ("P\\Q", 0)],
)
@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES"])
def test_an_image_of_another_patient_does_not_count(patient: str, counted: int, level: str) -> None:
    """Under the UIDs that were asked for it counts only as the patient's whom the archive names; else it is strange."""
    keys = {"study": "" if level == "PATIENT" else "1", "patient": "P", "series": "1.1" if level == "SERIES" else ""}
    move = move_of_patient("P", level=level, **keys)
    move.of_patient = frozenset({"1"})
    tally = tally_of(move)
    assert tally.add(arrival(patient_id=patient)) == [0] * counted
    assert (move.received, move.strange) == (counted, 1 - counted)
    assert tally.is_reached == bool(counted)
    tally.end(move)
    assert (move.received, move.strange) == (counted, 1 - counted)


def test_what_the_archive_lists_counts_whatever_its_patient() -> None:
    """A merged patient's images count once the archive lists them; what it does not list stays out."""
    move = move_of_patient("P")
    tally, counted = tally_of(move), []
    tally.on_counted = lambda arrival, moves: counted.append((arrival.sop_instance_uid, moves))
    for number in (1, 2, 9):
        tally.add(arrival(f"1.1.{number}", patient_id="OLD"))
    assert move.has_enough(3, None)
    tally.settle(move, {"1.1": ["1.1.1", "1.1.2", "1.1.3"], "1.2": ["1.1.9"]})
    assert (move.received, move.strange, counted) == (2, 1, [("1.1.1", [0]), ("1.1.2", [0])])
    assert not move.has_enough(3, None)
    tally.add(arrival("1.1.3", patient_id="OLD"))
    tally.add(arrival("1.1.8", patient_id="OLD"))
    assert (move.received, move.strange, len(counted)) == (3, 2, 3)


def test_an_archive_that_lists_nothing_vouches_for_nothing() -> None:
    """Where it cannot be asked all that names another patient stays out; the next attempt begins anew."""
    move = move_of_patient("P")
    tally = tally_of(move)
    tally.add(arrival(patient_id="OLD"))
    tally.settle(move, None)
    assert (move.received, move.strange, move.doubtful) == (0, 1, [])
    tally.end(move)
    tally.begin(move)
    assert move.strange == 0


@pytest.mark.parametrize(("trusts", "message_id", "counted"), [(True, 7, 1), (True, 8, 0), (False, 7, 0)])
def test_a_move_originator_vouches_for_nobody_who_was_not_named(trusts: bool, message_id: int, counted: int) -> None:
    """A Message ID can be guessed: it counts only where nobody but named addresses can send."""
    move = move_of_patient("P")
    tally = Tally("ME", SimpleNamespace(last_activity=0.0), trusts_originators=trusts)  # type: ignore[arg-type]
    tally.begin(move)
    tally.add(arrival(patient_id="OLD", originator_ae_title="ME", originator_message_id=message_id))
    assert (move.received, move.strange) == (counted, 1 - counted)


def test_listed_images_count_by_their_uid() -> None:
    """Who asks for an image by its UID gets it, whatever patient it names."""
    move = move_of_patient("P", level="IMAGE", series="1.1", instance="1.1.1")
    assert tally_of(move).add(arrival(patient_id="Q")) == [0]


def test_a_further_address_is_told_once() -> None:
    """An archive may send from elsewhere than it answers on: that is told once for each address, not for each image."""
    told: list[Noted] = []
    move = running()
    tally = Tally("ME", SimpleNamespace(last_activity=0.0), tell=told.append)  # type: ignore[arg-type]
    tally.begin(move)
    tally.know("10.1.2.3")
    for number, address in enumerate(["10.1.2.3", "10.1.2.4", "10.1.2.4", "10.1.2.5", ""]):
        tally.add(arrival(f"1.1.{number}", peer=address))
    tally.add(arrival("9", study_instance_uid="9", peer="10.9.9.9"))
    assert [note.text.partition(",")[0] for note in told] == [f"images come from 10.1.2.{n}" for n in (4, 5)]


@pytest.mark.parametrize(
    ("title", "peer", "is_archives"),
    [("ARCHIVE", "10.9.9.9", True), ("", "10.1.2.3", True), ("STRANGER", "10.1.2.3", False), ("", "10.9.9.9", False)],
)
@pytest.mark.parametrize("what", ["association", "unreadable", "stray"])
def test_who_was_refused_is_known_by_title_or_address(title: str, peer: str, is_archives: bool, what: str) -> None:
    """Only what the archive itself has tried shows that it knows the way."""
    move = running()
    tally = Tally("ME", SimpleNamespace(last_activity=0.0), "ARCHIVE")  # type: ignore[arg-type]
    tally.begin(move)
    tally.know("10.1.2.3")
    kind = Refused.ASSOCIATION if what == "association" else Refused.INSTANCE
    status = {"association": None, "unreadable": 0xC000, "stray": 0x0124}[what]
    study = "9" if what == "stray" else ""
    tally.add_refusal(Refusal(1.0, "no", status, title, "", study, what=kind, peer=peer))
    assert move.is_called == is_archives
    tally.begin(move)
    assert not move.is_called


@pytest.mark.parametrize(
    ("refusal", "refused", "unclear"),
    [
        (Refusal(1.0, "no", 0x0124, "A", "1.1", "1"), 1, 0),
        (Refusal(1.0, "no", 0x0124, "A", "1.1", "9"), 0, 0),
        (Refusal(1.0, "no", 0xC000, "A", "1.1", ""), 0, 1),
        (Refusal(1.0, "no", 0xC000, "A", "", "", originator_ae_title="ME", originator_message_id=7), 1, 0),
        (Refusal(1.0, "no", 0xC000, "A", "", "9", originator_ae_title="ME", originator_message_id=7), 1, 0),
        (Refusal(1.0, "no", 0xC000, "A", "", "", originator_ae_title="OTHER", originator_message_id=7), 0, 1),
    ],
)
@pytest.mark.parametrize("level", ["STUDY", "PATIENT"])
def test_what_we_refused_is_tied_as_far_as_it_says(refusal: Refusal, refused: int, unclear: int, level: str) -> None:
    """By its Move Originator or its study; what could not be read is told without being tied."""
    move = running(level=level, patient="P", study="1" if level == "STUDY" else "")
    move.of_patient = frozenset({"1"})
    tally_of(move).add_refusal(refusal)
    assert (move.refused.total(), move.unclear.total()) == (refused, unclear)


@pytest.mark.parametrize(
    ("study", "refused", "stray", "is_reached"),
    [("1", [1, 0], [0, 0], True), ("2", [0, 1], [0, 0], True), ("9", [0, 0], [1, 1], False)],
)
def test_what_no_move_asked_for_is_counted_for_each(
    study: str, refused: list[int], stray: list[int], is_reached: bool
) -> None:
    """What we refused is never lost: of one C-MOVE it shows all that the archive knows the way, of none it is told."""
    one, two = moves = running(0), running(1, message_id=8, study="2")
    tally = tally_of(one, two)
    tally.add_refusal(Refusal(1.0, "broken", 0xA900, "ARCHIVE", "1.1", study, originator_ae_title="ARCHIVE"))
    assert [move.refused.total() for move in moves] == refused
    assert [move.stray.total() for move in moves] == stray
    assert [move.unclear.total() for move in moves] == [0, 0]
    assert tally.is_reached == is_reached
    one.begin()
    assert not one.stray


@pytest.mark.parametrize(("study", "is_reached"), [("1", True), ("9", False)])
def test_what_comes_for_one_shows_the_way_is_open(study: str, is_reached: bool) -> None:
    """Before the first C-MOVE has ended its arrivals speak for the others, and go on to do so after its end."""
    move = running()
    tally = tally_of(move)
    assert not tally.is_reached
    tally.add(arrival(study_instance_uid=study))
    tally.end(move)
    assert tally.is_reached == is_reached


def test_the_first_reason_of_each_status_is_kept() -> None:
    """However many instances are refused, what is kept of the reasons is bounded; a new attempt begins anew."""
    move = running()
    tally = tally_of(move)
    for number in range(3):
        tally.add_refusal(Refusal(1.0, f"reason {number}", 0xC000, "A", f"1.1.{number}", "1"))
    assert (move.refused, move.reasons) == ({0xC000: 3}, {0xC000: "reason 0"})
    move.begin()
    assert (move.refused, move.reasons) == ({}, {})


def test_a_patient_whose_studies_nobody_knows() -> None:
    """Where the archive does not list a patient's studies, what we refused may have been of one."""
    move = running(level="PATIENT", study="", patient="P")
    tally_of(move).add_refusal(Refusal(1.0, "no", 0x0124, "A", "1.1", "1"))
    assert move.unclear == {0x0124: 1}


@pytest.mark.parametrize("what", [Refused.CONNECTION, Refused.CONTEXT, Refused.ASSOCIATION])
def test_a_connection_that_is_not_dicom_is_no_call_of_the_archive(what: Refused) -> None:
    """From the archive's address, what has not become an association shows nothing of the archive, but is told."""
    move = running()
    tally = tally_of(move)
    tally.know("10.1.2.3")
    tally.add_refusal(Refusal(1.0, "it speaks HTTP", what=what, peer="10.1.2.3"))
    assert move.is_called is (what is not Refused.CONNECTION)
    assert move.turned_away[True, what, "it speaks HTTP", ""] == 1


def test_associations_that_were_turned_away_are_kept_in_bounds() -> None:
    """Why, how often, and how to mend it; not of a thousand kinds, and not that the receiver has ended."""
    move = running()
    tally = tally_of(move)
    for number in range(1000):
        tally.add_refusal(Refusal(1.0, f"kind {number}", what=Refused.ASSOCIATION))
        tally.add_refusal(Refusal(1.0, "the same", what=Refused.CONTEXT, mend="do this"))
    tally.add_refusal(Refusal(1.0, "it has ended", what=Refused.EVERYTHING))
    assert move.turned_away[False, Refused.CONTEXT, "the same", "do this"] == 1000
    assert len(move.turned_away) <= 20
    assert Refused.EVERYTHING not in {what for _, what, _, _ in move.turned_away}
    tally.know("10.1.2.3")
    tally.add_refusal(Refusal(1.0, "the archive's own", what=Refused.ASSOCIATION, peer="10.1.2.3"))
    assert move.turned_away[True, Refused.ASSOCIATION, "the archive's own", ""] == 1, "strangers leave it a place"


def test_the_reason_of_what_was_asked_for_is_told_before_a_strangers() -> None:
    """Why a stranger's image could not be read says nothing of the archive's; of its own the first is kept."""
    move = running()
    tally = tally_of(move)
    for why, study in (("a stranger's", "9"), ("its own", "1"), ("another", "1"), ("a stranger's", "9")):
        tally.add_refusal(Refusal(1.0, why, 0xC000, "A", "1.1", study))
    assert move.reasons[0xC000] == "its own"


# --- how many


def test_one_uid_in_two_series_is_two_instances() -> None:
    """Each counts, with its bytes; the same one again does not."""
    move = running()
    tally = tally_of(move)
    for series in ("1.1", "1.2", "1.2", "1.3", "1.1"):
        tally.add(arrival("1", series_instance_uid=series))
    assert (move.received, move.bytes, move.repeated) == (3, 300, 2)


def test_what_comes_again_in_another_attempt_is_no_repetition() -> None:
    """Only what one attempt brings twice is counted twice by the archive."""
    move = running()
    tally = tally_of(move)
    for instance in ("1", "2", "2"):
        tally.add(arrival(instance))
    assert (move.received, move.repeated) == (2, 1)
    tally.end(move)
    tally.begin(move)
    for instance in ("1", "2", "3"):
        tally.add(arrival(instance))
    assert (move.received, move.repeated) == (3, 0)
    tally.add(arrival("3"))
    assert (move.received, move.repeated) == (3, 1)


def test_what_two_moves_bring_is_repeated_by_neither() -> None:
    """A study and its patient moved side by side: each image comes once for each of them, and both counted it once."""
    study, patient = running(0), running(1, level="PATIENT", study="", patient="P")
    tally = tally_of(study, patient)
    for instance in ("1", "2", "1"):
        tally.add(arrival(instance))
    assert (study.repeated, patient.repeated) == (0, 0)
    tally.end(patient)
    tally.add(arrival("2"))
    assert study.repeated == 0
    tally.begin(study)
    for instance in ("1", "1"):
        tally.add(arrival(instance))
    assert (study.received, study.repeated) == (2, 1)


@pytest.mark.parametrize(("listed", "is_over"), [(2, True), (3, False), (None, False)])
def test_waiting_for_what_came_twice(listed: int | None, is_over: bool) -> None:
    """Two that came thrice are three only if no other one is due."""
    move = running()
    tally = tally_of(move)
    for instance in ("1", "2", "2"):
        tally.add(arrival(instance))
    begun = time.monotonic()
    tally.wait(move, 3, 0.2, listed)
    assert (time.monotonic() - begun < 0.2) is is_over


@pytest.mark.parametrize("patient", ["P", "OLD"])
def test_what_came_already_is_no_sign_of_life(patient: str) -> None:
    """New instances hold off the end of a wait, and each of them a few times more; the same for ever does not."""
    move = move_of_patient("P")
    tally = tally_of(move)
    for at in range(1, 1001):
        tally.add(arrival("1.1.1", patient_id=patient, at=float(at), conflict=at % 2 == 0))
    assert 1 <= move.last_arrival < 100
    assert len(move.doubtful) < 100
    tally.add(arrival("1.1.2", patient_id=patient, at=2000.0))
    assert move.last_arrival == 2000.0
    tally.end(move)
    tally.begin(move)
    tally.add(arrival("1.1.1", patient_id="P", at=3000.0))
    assert move.last_arrival == 3000.0, "another attempt brings it anew"


def test_an_archive_does_not_send_for_ever() -> None:
    """Far beyond what it has counted there is nothing that could still be of what was asked for."""
    move, admitted = running(), []
    tally = Tally("ME", SimpleNamespace(last_activity=0.0, last_call=0.0, admit=admitted.append))  # type: ignore[arg-type]
    tally.begin(move)
    tally.admit(move, "127.0.0.1", 3)
    assert 1000 < move.most == admitted[0].most < 100_000
    move.most = 20
    for at in range(1, 500):
        tally.add(arrival(f"1.1.{at}", at=float(at)))
    assert 20 <= move.last_arrival < 200
    assert move.received == 499

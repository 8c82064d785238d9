"""What is here decides, whichever row brought it: requests composed at random, and what of each moves."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from dicomover import Mover
from dicomover.batch.stock import list_missing_targets
from dicomover.identifier import Identifier, Level, Model
from dicomover.query.targets import Target
from dicomover.receiver import Receiver
from dicomover.testing import DemoPacs, Misbehaviour, Study, data_set_of_file, made_study
from peers import ONCE, files_in

STUDIES = (
    made_study("TWO", series=2, instances=2, patient="P-1", number=1),
    made_study("TWO", instances=3, patient="P-1", number=2),
    made_study("ONE", instances=4, patient="P-2"),
    made_study("", instances=1, patient="P-1", date="20200101"),
)


class Ask(NamedTuple):
    """A request, and the SOP Instance UIDs that it comes to."""

    keys: dict[str, str]
    sops: frozenset[str]
    level: str = "auto"


def sops_of(*studies: Study) -> frozenset[str]:
    """Return the SOP Instance UIDs of some studies."""
    return frozenset(item.sop_instance_uid for study in studies for item in study.instances())


def asks() -> list[Ask]:
    """Return all that can be asked for here: by accession number, study, lists, series, image and patient."""
    first, second, third, _ = STUDIES
    found = [Ask({"AccessionNumber": "TWO"}, sops_of(first, second)), Ask({"AccessionNumber": "ONE"}, sops_of(third))]
    for study in STUDIES:
        keys = {"StudyInstanceUID": study.study_instance_uid}
        found += [Ask(keys, sops_of(study)), Ask({**keys, "PatientID": study.patient_id}, sops_of(study))]
        for series in study.series:
            uids = [item.sop_instance_uid for item in series.instances]
            lower = {**keys, "SeriesInstanceUID": series.series_instance_uid}
            found += [Ask(lower, frozenset(uids)), Ask({**lower, "SOPInstanceUID": uids[0]}, frozenset(uids[:1]))]
            found.append(Ask({**lower, "SOPInstanceUID": "\\".join(uids[-2:])}, frozenset(uids[-2:])))
    both = f"{first.study_instance_uid}\\{third.study_instance_uid}"
    found.append(Ask({"StudyInstanceUID": both}, sops_of(first, third)))
    for patient in ("P-1", "P-2"):
        his = [study for study in STUDIES if study.patient_id == patient]
        found.append(Ask({"PatientID": patient}, sops_of(*his), "PATIENT"))
    return found


ASKS = asks()
STEPS = st.lists(
    st.tuples(
        st.lists(st.integers(0, len(ASKS) - 1), min_size=1, max_size=3),
        st.sampled_from(["table", "table", "cohort"]),
        st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["deleted", "changed", "touched"])), max_size=2),
        st.sampled_from(["counts", "counts", "none", "instances"]),
    ),
    min_size=2,
    max_size=5,
)


@pytest.fixture(scope="module", autouse=True)
def _light_receivers() -> Any:
    """Let the receivers of this process run on its threads: what they file is the same, and they start at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dicomover.client.Receiver", partial(Receiver, own_process=False))
        yield


def seen_in(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return how each file of a folder looks."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files_in(folder) if path.suffix == ".dcm"}


def harm(folder: Path, number: int, how: str) -> None:
    """Do something to a file."""
    paths = sorted(seen_in(folder))
    if not paths:
        return
    path = paths[number % len(paths)]
    if how == "deleted":
        path.unlink()
    elif how == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.write_bytes(path.read_bytes() + b"\0\0")


COMPOSED = settings(
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
    derandomize="DICOMOVER_COMPOSED" not in os.environ,
)


@settings(COMPOSED, max_examples=int(os.environ.get("DICOMOVER_COMPOSED", "8")))
@given(steps=STEPS)
def test_nothing_that_is_here_moves_and_nothing_that_is_missing_is_skipped(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[list[int], str, list[tuple[int, str]], str]]
) -> None:
    """Whatever was asked for before, in whichever words, and whatever has become of the files: plan and move agree."""
    folder = tmp_path_factory.mktemp("composed") / "cohort"
    whole = {item.sop_instance_uid: item.data_set_bytes() for study in STUDIES for item in study.instances()}
    known: dict[Path, tuple[int, int]] = {}
    with DemoPacs(STUDIES) as pacs:
        for numbers, kind, harms, verify in steps:
            for number, how in harms:
                harm(folder, number, how)
            wanted = [ASKS[number] for number in numbers]
            level = "PATIENT" if any(ask.level == "PATIENT" for ask in wanted) else "auto"
            wanted = [ask for ask in wanted if ask.level == level]
            intact = {sop_of(path) for path, seen in seen_in(folder).items() if known.get(path) == seen}
            with Mover(
                pacs.node, receive=folder, port=0, progress="none", associations=1, level=level, verify=verify, **ONCE
            ) as mover:
                pacs.destinations[mover.ae_title] = mover.port or 0
                table: Any = [ask.keys for ask in wanted]
                requests = mover.lock(table, path=None) if kind == "cohort" else table
                plan = mover.plan(requests)
                pacs.forget()
                summary = mover.move(requests)
            sent = [store.sop_instance_uid for store in pacs.stores]
            assert not intact.intersection(sent), "what is here was asked for again"
            assert len(sent) == len(set(sent)), "one row asked for what another had brought"
            assert set(sent) == frozenset().union(*(ask.sops for ask in wanted)) - intact, (
                "all that is missing, no more"
            )
            is_skipped = [status == "skipped" for status in summary["status"]]
            assert summary["status"].isin(["success", "skipped"]).all()
            assert summary["received"].tolist() == [len(ask.sops) for ask in wanted]
            assert is_skipped[0] == wanted[0].sops.issubset(intact)
            assert (plan["decision"] == "skip").tolist() == [ask.sops <= intact for ask in wanted]
            assert not any(plan["decision"].eq("skip") & ~summary["status"].eq("skipped"))
            after = seen_in(folder)
            known |= {path: seen for path, seen in after.items() if sop_of(path) in sent}
            here = {sop_of(path): data_set_of_file(path.read_bytes()) for path in after}
            for sop in frozenset().union(*(ask.sops for ask in wanted)):
                assert here[sop] == whole[sop], "complete, and not there as it was sent"


@settings(COMPOSED, max_examples=int(os.environ.get("DICOMOVER_COMPOSED", "10")))
@given(
    rounds=st.lists(st.lists(st.integers(0, len(ASKS) - 1), min_size=2, max_size=9), min_size=1, max_size=2),
    associations=st.integers(2, 4),
    level=st.sampled_from(["auto", "auto", "auto", "PATIENT"]),
)
@example(rounds=[[3, 5, 6, 7, 2]], associations=2, level="auto")
@example(rounds=[[5, 3, 0, 6]], associations=4, level="auto")
def test_what_overlaps_comes_once_over_several_associations(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[int]], associations: int, level: str
) -> None:
    """Rows of which one is a part of another, or that share images, run at the same time: each image comes once."""
    folder = tmp_path_factory.mktemp("overlaps") / "cohort"
    came: list[str] = []
    with DemoPacs(STUDIES, misbehave={"*": Misbehaviour("slow", seconds=0.004)}) as pacs:
        for numbers in rounds:
            wanted = [ASKS[number] for number in numbers if ASKS[number].level == level]
            with Mover(
                pacs.node, receive=folder, port=0, progress="none", associations=associations, level=level, **ONCE
            ) as mover:
                pacs.destinations[mover.ae_title] = mover.port or 0
                summary = mover.move([ask.keys for ask in wanted])
            came += [store.sop_instance_uid for store in pacs.stores]
            pacs.forget()
            assert summary["status"].isin(["success", "skipped"]).all()
            assert summary["received"].tolist() == [len(ask.sops) for ask in wanted]
    asked = frozenset().union(*(ASKS[each].sops for numbers in rounds for each in numbers if ASKS[each].level == level))
    assert sorted(came) == sorted(asked)


def sop_of(path: Path) -> str:
    """Return the SOP Instance UID of a file."""
    return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], force=True).SOPInstanceUID)


IDENTIFIER = Identifier(Level.STUDY, Model.STUDY, study="1")


def test_what_is_missing_is_asked_for_and_the_rest_counts() -> None:
    """A series of which nothing is here as a whole, another by its instances; what is here and listed counts."""
    target = Target(IDENTIFIER, found=True, expected=5, patients=("P",))
    targets, counted = list_missing_targets(target, ["a1", "a2", "gone"], {"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]})
    assert [(each.identifier.series, each.identifier.instance, each.expected) for each in targets] == [
        ("a", "a3", 1),
        ("b", "", 2),
    ]
    assert {each.patients for each in targets} == {("P",)}
    assert counted == {"a1", "a2"}


def test_images_are_asked_for_as_images() -> None:
    """Of what is asked for by instance no whole series moves, even if nothing of it is here."""
    target = Target(Identifier(Level.IMAGE, Model.STUDY, study="1", series="a", instance="a1\\a2"), expected=2)
    (one,), counted = list_missing_targets(target, [], {"a": ["a1", "a2"]})
    assert (one.identifier.level, one.identifier.instance, counted) == (Level.IMAGE, "a1\\a2", set())

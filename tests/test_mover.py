"""The contract of `Mover`: what goes in, what comes out, and what the archive is asked meanwhile."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from batch_kit import STUDIES, quiet, seen
from dicomover import (
    AssociationLost,
    AssociationRejected,
    ConfigurationError,
    Mover,
    Node,
    NodeError,
    NodeUnreachable,
    QueryRefused,
    RequestError,
    Timeouts,
)
from dicomover.summary import SCHEMA, SUMMARY_COLUMNS
from dicomover.testing import DemoPacs, Misbehaviour, made_study
from dicomover.testing._elements import encode
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message, encode_message
from peers import ONCE, data_sets_in, files_in, free_port, wait_until
from receiver_kit import certificate
from wire_kit import EXPLICIT, peer, pour, response

DTYPES = {column.name: column.dtype for column in SCHEMA}


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


@pytest.fixture
def mover(pacs: DemoPacs) -> Mover:
    """Return a Mover that lets WORKSTATION receive."""
    return quiet(pacs)


def check_schema(summary: pd.DataFrame) -> None:
    """Hold the columns of a summary, and their dtypes, against the schema."""
    assert tuple(summary.columns[-len(SCHEMA) :]) == SUMMARY_COLUMNS
    for name, dtype in DTYPES.items():
        assert str(summary[name].dtype) == dtype, name
    assert summary["status"].cat.ordered


# --- before anything is asked for


def test_nobody_is_named_to_receive(pacs: DemoPacs) -> None:
    """A move without a destination is an error before anything is sent; a find is not."""
    mover = Mover(pacs.node, progress="none")
    with pytest.raises(ConfigurationError, match="nobody is named to receive"):
        mover.move({"AccessionNumber": "00123"})
    assert not pacs.associations
    assert len(mover.find({"AccessionNumber": "00123"})) == 1


# --- the table


def test_index_columns_and_order_are_kept(mover: Mover) -> None:
    """The summary has the index, the columns and the order of the input; columns that ride along are untouched."""
    table = pd.DataFrame(
        {
            "age": pd.array([61, None, 7], dtype="Int64"),
            "AccessionNumber": ["00007", "nobody", "00123"],
            "split": pd.Categorical(["train", "test", "train"]),
        },
        index=pd.Index(["c", "a", "b"], name="case"),
    )
    before = table.copy(deep=True)
    summary = mover.move(table)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(summary[["age", "AccessionNumber", "split"]], before)
    assert summary.index.equals(before.index)
    assert summary.index.name == "case"
    assert summary["status"].tolist() == ["success", "not-found", "success"]
    check_schema(summary)


def test_an_index_with_repeated_labels(mover: Mover) -> None:
    """Rows of one label stay apart."""
    table = pd.DataFrame({"AccessionNumber": ["00123", "nobody"]}, index=[5, 5])
    assert mover.move(table)["status"].tolist() == ["success", "not-found"]


@pytest.mark.parametrize(
    "requests", [[], pd.DataFrame(), pd.DataFrame({"AccessionNumber": pd.Series(dtype="string")}), iter(())]
)
def test_no_rows(pacs: DemoPacs, requests: object) -> None:
    """Zero requests are a table without rows, with every column and dtype, and nobody is asked."""
    summary = quiet(pacs).move(requests)  # type: ignore[arg-type]
    assert len(summary) == 0
    check_schema(summary)
    assert not pacs.associations


def test_dtypes_never_change(pacs: DemoPacs, tmp_path: Path) -> None:
    """Whatever happens to the rows, the dtypes are the same; concatenated they still are."""
    pacs.misbehave["ONE"] = "abort"
    pacs.misbehave["00007"] = "some-failed"
    parts = [quiet(pacs).move({"AccessionNumber": name}) for name in ("00123", "00007", "ONE", "nobody")]
    parts.append(quiet(pacs).move([{"AccessionNumber": " "}], invalid="record"))
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none") as receiving:
        pacs.destinations["MOVESCU"] = receiving.port or 0
        parts.append(receiving.move({"AccessionNumber": "TWO"}))
    statuses = ["success", "partial", "lost", "not-found", "invalid", "success"]
    for part, status in zip(parts, statuses, strict=True):
        check_schema(part)
        assert part["status"].tolist() == [status], part["error"].tolist()
    check_schema(pd.concat(parts))


def test_every_kind_of_input(pacs: DemoPacs) -> None:
    """A dict, a Series, a list, a generator and a table are understood alike; keywords may be tags."""
    for requests in (
        {"AccessionNumber": "00123"},
        {"0008,0050": "00123"},
        {"(0008,0050)": "00123"},
        {0x00080050: "00123"},
        pd.Series({"AccessionNumber": "00123"}),
        [{"AccessionNumber": "00123"}],
        ({"AccessionNumber": name} for name in ["00123"]),
        pd.DataFrame({"AccessionNumber": ["00123"]}),
    ):
        summary = quiet(pacs).move(requests)  # type: ignore[arg-type]
        assert summary["status"].tolist() == ["success"]
        assert summary["AccessionNumber"].tolist() == ["00123"]


def test_bad_rows_are_named_together_and_nothing_is_sent(pacs: DemoPacs) -> None:
    """All rows that cannot be meant are in one error, and nothing was sent for the good ones either."""
    with pytest.raises(RequestError) as caught:
        quiet(pacs).move([{"AccessionNumber": "00123"}, {"AccessionNumber": "123.0"}, {"StudyInstanceUID": "1.2.*"}])
    assert [problem.position for problem in caught.value.problems] == [1, 2]
    assert not pacs.associations


def test_bad_rows_can_be_recorded(pacs: DemoPacs) -> None:
    """With invalid='record' they are rows, and the good ones move."""
    summary = quiet(pacs).move([{"AccessionNumber": "00123"}, {"AccessionNumber": "123.0"}], invalid="record")
    assert summary["status"].tolist() == ["success", "invalid"]
    assert summary["attempts"].tolist() == [1, 0]
    assert "looks like a number" in summary["error"][1]
    only_bad = quiet(pacs).move([{"AccessionNumber": "123.0"}], invalid="record")
    assert only_bad["status"].tolist() == ["invalid"]


def test_why_a_row_is_bad_is_shown(pacs: DemoPacs, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shown at the end has the same sentence for a recorded row as the summary."""
    summary = quiet(pacs).move([{"AccessionNumber": "123.0"}], invalid="record", progress="terminal")
    assert summary["error"][0]
    assert f"row 0 invalid {summary['error'][0]}" in " ".join(capsys.readouterr().err.split())


def test_what_is_the_same_moves_once(pacs: DemoPacs, tmp_path: Path) -> None:
    """A study that two rows ask for, by whatever key, is moved once and reported in both."""
    study = pacs.study("00123")
    table = [
        {"AccessionNumber": "00123"},
        {"StudyInstanceUID": study.study_instance_uid},
        {"PatientID": "P-1", "StudyInstanceUID": study.study_instance_uid},
        {"AccessionNumber": "00123"},
    ]
    with Mover(pacs.node, receive=tmp_path, port=0, progress="none", associations=3) as mover:
        pacs.destinations["MOVESCU"] = mover.port or 0
        summary = mover.move(table)
    assert summary["status"].tolist() == ["success"] * 4, summary["error"].tolist()
    assert summary["received"].tolist() == [4] * 4
    assert len(pacs.moves_of(study.study_instance_uid)) == 1
    assert all(pacs.sends_of(item.sop_instance_uid) == 1 for item in study.instances())


@pytest.mark.parametrize("wrong_first", [True, False])
def test_a_study_under_a_wrong_patient(pacs: DemoPacs, wrong_first: bool) -> None:
    """A row that names the wrong patient is not found, whatever another row says of the same study."""
    uid = pacs.study("00123").study_instance_uid
    table = [{"PatientID": "SOMEBODY", "StudyInstanceUID": uid}, {"StudyInstanceUID": uid}]
    summary = quiet(pacs, associations=1).move(table if wrong_first else table[::-1])
    wanted = ["not-found", "success"]
    assert summary["status"].tolist() == (wanted if wrong_first else wanted[::-1]), summary["error"].tolist()


@pytest.mark.parametrize("verify", ["counts", "none"])
def test_images_that_the_archive_does_not_have(pacs: DemoPacs, verify: str) -> None:
    """A list of images is no success if some of them are nowhere, however little was asked before."""
    study = pacs.study("00123")
    series = study.series[0]
    uids = [*(item.sop_instance_uid for item in series.instances), "1.2.3.4"]
    keys = {"StudyInstanceUID": study.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
    summary = quiet(pacs, verify=verify, retry="none").move({**keys, "SOPInstanceUID": uids})
    assert summary["status"].tolist() == ["partial"]
    assert summary["expected"].tolist() == [len(uids)]


def test_one_accession_number_with_two_studies(mover: Mover, pacs: DemoPacs) -> None:
    """All studies of an accession number move, and `matches` says how many they are."""
    summary = mover.move({"AccessionNumber": "TWO"})
    (row,) = summary.to_dict("records")
    assert (row["status"], row["matches"], row["expected"], row["completed"], row["attempts"]) == (
        "success",
        2,
        5,
        5,
        2,
    )


def test_one_of_two_studies_fails(pacs: DemoPacs) -> None:
    """A row whose second study fails is partial, and says how many C-MOVEs are complete."""
    pacs.misbehave["TWO"] = Misbehaviour("destination-unknown", times=1)
    (row,) = quiet(pacs, associations=1).move({"AccessionNumber": "TWO"}).to_dict("records")
    assert (row["status"], row["status_code"]) == ("partial", "0xA801")
    assert row["error"].startswith("1 of 2 C-MOVEs complete; 0xA801")


def test_max_matches(mover: Mover, pacs: DemoPacs) -> None:
    """A request that resolves to more than `max_matches` moves nothing and says so; None is no limit."""
    (row,) = mover.move({"AccessionNumber": "TWO"}, max_matches=1).to_dict("records")
    assert (row["status"], row["matches"], row["attempts"]) == ("failure", 2, 0)
    assert "max_matches=1" in row["error"]
    assert not pacs.stores
    (row,) = mover.move({"AccessionNumber": "*"}, max_matches=None).to_dict("records")
    assert (row["status"], row["matches"]) == ("success", len(STUDIES))


def test_a_study_that_is_named_twice_is_one(pacs: DemoPacs) -> None:
    """Duplicate C-FIND answers are one match, also against max_matches."""
    pacs.misbehave["00123"] = "find-duplicates"
    (row,) = quiet(pacs, max_matches=1).move({"AccessionNumber": "00123"}).to_dict("records")
    assert (row["status"], row["matches"], row["expected"]) == ("success", 1, 4)


def test_an_archive_that_ignores_keys_and_has_many_studies() -> None:
    """The right study is found among everything, also behind the first `max_matches` answers."""
    studies = [made_study(f"M{number}", instances=1) for number in range(30)]
    with DemoPacs(studies, misbehave={"*": "find-ignores-keys"}) as pacs:
        summary = quiet(pacs, max_matches=3).move([{"AccessionNumber": "M29"}, {"AccessionNumber": "nobody"}])
    assert summary["status"].tolist() == ["success", "not-found"], summary["error"].tolist()
    assert summary["matches"].tolist() == [1, 0]


def test_a_summary_is_input(pacs: DemoPacs) -> None:
    """What did not succeed can be moved again as it is; our own columns are no keys and are replaced."""
    pacs.misbehave["00123"] = Misbehaviour("busy", times=1)
    pacs.misbehave["ONE"] = Misbehaviour("close", times=1)
    table = pd.DataFrame({"AccessionNumber": ["00123", "00007", "ONE"], "label": [1, 2, 3]}, index=["a", "b", "c"])
    summary = quiet(pacs, associations=1).move(table)
    assert summary["status"].tolist() == ["failure", "success", "lost"]
    pacs.forget()
    again = quiet(pacs).move(summary[summary["status"] != "success"])
    assert again["status"].tolist() == ["success", "success"]
    assert again.index.tolist() == ["a", "c"]
    assert again.columns.tolist() == summary.columns.tolist()
    assert again["label"].tolist() == [1, 3]
    assert not pacs.moves_of(pacs.study("00007").study_instance_uid)


# --- per call


def test_overrides(pacs: DemoPacs) -> None:
    """The same names as in the constructor override it for one call only."""
    pacs.destinations["OTHER"] = pacs.workstation.port
    mover = quiet(pacs)
    request = {"AccessionNumber": "00123", "PatientID": "P-1"}
    mover.move(request, destination="OTHER", verify="none", associations=1, model="study")
    mover.move(request)
    assert [(item.destination, item.model) for item in seen(pacs, "C-MOVE")] == [
        ("OTHER", "STUDY"),
        ("WORKSTATION", "PATIENT"),
    ]


def test_verify_none_does_not_count(pacs: DemoPacs) -> None:
    """Without verification a resolved request is moved without any C-FIND, and `expected` is unknown."""
    study = pacs.study("00123")
    summary = quiet(pacs, verify="none").move({"StudyInstanceUID": study.study_instance_uid})
    assert summary["status"].tolist() == ["success"]
    assert summary["expected"].isna().all()
    assert not seen(pacs, "C-FIND")


# --- associations


def test_associations_are_kept_inside_with(pacs: DemoPacs) -> None:
    """Inside `with` associations are used again, and released afterwards; without it they end with the call."""
    with quiet(pacs, associations=1) as mover:
        mover.echo()
        mover.find({"AccessionNumber": "00123"})
        mover.move({"AccessionNumber": "00123"})
        mover.plan({"AccessionNumber": "00123"})
        mover.move([{"AccessionNumber": "00007"}, {"AccessionNumber": "ONE"}])
        assert len(pacs.associations) == 1
        assert pacs.open_associations == 1
    wait_until(lambda: pacs.open_associations == 0, 5)
    mover.move({"AccessionNumber": "00123"})
    wait_until(lambda: pacs.open_associations == 0, 5)
    assert len(pacs.associations) == 2


# --- a node that cannot be reached


def test_an_unreachable_node() -> None:
    """Nobody listens: every verb raises the same named error, which says what to check."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        mover = Mover(Node("127.0.0.1", sock.getsockname()[1]), destination="WORKSTATION", progress="none")
        request = {"AccessionNumber": "00123"}
        for verb in (mover.echo, lambda: mover.find(request), lambda: mover.plan(request), lambda: mover.move(request)):
            with pytest.raises(NodeUnreachable, match="check host and port, and whether a firewall"):
                verb()


@pytest.mark.parametrize(
    ("called", "calling", "message"),
    [
        ("DEMO", "STRANGER", "add our AE title 'STRANGER' with this machine's address"),
        ("OTHER", "KNOWN", "it does not call itself 'OTHER'; ask for its AE title"),
    ],
)
def test_a_wrong_ae_title(called: str, calling: str, message: str) -> None:
    """A rejection for a wrong AE title says which one and what to do, and nothing is moved."""
    with DemoPacs(STUDIES, known_ae_titles={"KNOWN"}) as pacs:
        node = Node("127.0.0.1", pacs.node.port, ae_title=called)
        mover = Mover(node, ae_title=calling, destination="WORKSTATION", progress="none")
        for verb in (mover.echo, lambda: mover.move([{"AccessionNumber": "00123"}] * 3)):
            with pytest.raises(AssociationRejected, match=message) as caught:
                verb()
            assert not caught.value.retriable
        assert not pacs.requests


def test_the_acse_timeout_works() -> None:
    """An archive that accepts the connection and says nothing is given up after `acse` seconds."""
    with (
        DemoPacs(STUDIES, on_associate="associate-silence") as pacs,
        pytest.raises(AssociationLost, match=r"did not answer the association request within 0.3 s"),
    ):
        quiet(pacs, timeouts=Timeouts(acse=0.3)).move({"AccessionNumber": "00123"})


# --- plan


def test_plan_moves_nothing_and_can_be_moved(pacs: DemoPacs) -> None:
    """A plan says what would move; edited and moved, it moves exactly that."""
    mover = quiet(pacs)
    table = pd.DataFrame({"AccessionNumber": ["00123", "TWO", "nobody", "00007"], "label": list("abcd")})
    plan = mover.plan(table)
    assert not seen(pacs, "C-MOVE")
    assert plan["decision"].tolist() == ["move", "several", "not-found", "move"]
    assert plan["expected"].tolist()[:2] == [4, 5]
    assert plan["label"].tolist() == list("abcd")
    wanted = plan[plan["decision"] == "move"]
    summary = mover.move(wanted)
    assert summary["status"].tolist() == ["success", "success"], summary["error"].tolist()
    assert summary.index.tolist() == [0, 3]
    assert summary["expected"].tolist() == wanted["expected"].tolist()
    assert len(seen(pacs, "C-MOVE")) == 2
    both = mover.move(plan[plan["decision"] == "several"])
    assert both["completed"].tolist() == [5]


def test_plan_says_what_a_move_would(pacs: DemoPacs) -> None:
    """Refusals, too many matches and bad rows are decisions of the plan."""
    pacs.misbehave["ONE"] = "find-refused"
    plan = quiet(pacs, max_matches=1).plan(
        [{"AccessionNumber": "ONE"}, {"AccessionNumber": "TWO"}, {"AccessionNumber": "1.0"}], invalid="record"
    )
    assert plan["decision"].tolist() == ["refused", "too-many", "invalid"]
    assert plan["error"].notna().all()


# --- receiving


def test_receiving_without_with(pacs: DemoPacs, tmp_path: Path) -> None:
    """A move listens for as long as it lasts; the files are the archive's, byte for byte, and a rerun adds none."""
    port = free_port()
    pacs.destinations["US"] = port
    mover = Mover(pacs.node, ae_title="US", receive=tmp_path, port=port, progress="none", journal=None)
    assert mover.port is None
    for _ in range(2):
        summary = mover.move([{"AccessionNumber": "00123"}, {"AccessionNumber": "TWO"}])
        assert summary["status"].tolist() == ["success", "success"], summary["error"].tolist()
        assert summary["received"].tolist() == [4, 5]
        assert mover.port is None
    found = data_sets_in(tmp_path)
    assert len(found) == 9
    assert all(pacs.data_set_bytes(uid) == data for uid, data in found.items())
    assert summary["bytes"].sum() == sum(path.stat().st_size for path in files_in(tmp_path))


# --- no patient data where nobody looks for it


@pytest.mark.parametrize("progress", ["log", "terminal", "none"])
def test_no_patient_data_in_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], progress: str
) -> None:
    """Names and IDs of patients are in no log record, no exception, no error column and no progress."""
    caplog.set_level(logging.DEBUG)
    canary = "Xanadu"
    patient = f"{canary}-ID-77"
    behaviours = ("some-failed", "identifier-mismatch", "abort", "busy", "find-refused", "find-omits-key", "garbage")
    studies = [
        made_study(f"C{number}", patient=patient, name=f"{canary}^Kubla", number=number, instances=2)
        for number in range(len(behaviours) + 1)
    ]
    names = {f"C{number + 1}": name for number, name in enumerate(behaviours)}
    with (
        DemoPacs(studies, misbehave=names) as pacs,
        Mover(
            pacs.node,
            receive=tmp_path,
            port=0,
            progress=progress,
            layout="{StudyInstanceUID}/{SOPInstanceUID}.dcm",
            **ONCE,
        ) as mover,
    ):
        pacs.destinations["MOVESCU"] = mover.port or 0
        requests = [{"PatientID": patient, "AccessionNumber": f"C{n}"} for n in range(len(studies))]
        requests += [{"PatientName": f"{canary}*", "PatientID": patient, "AccessionNumber": "nobody"}]
        job = mover.job(requests).run()
        summary = job.summary()
        plan = mover.plan(requests)
        caught = [_message(mover.find, {"PatientID": patient, "AccessionNumber": "C5"})]
        caught += [_message(mover.move, [{"PatientID": f" {patient}"}, {"PatientName": canary, "Nonsense": canary}])]
        caught += [_message(mover.move, [{"PatientID": f"{patient}*"}, {"PatientID": [patient]}])]
    assert summary["status"].tolist()[0] == "success"
    assert len(set(summary["status"])) >= 4
    texts = {
        "log": caplog.text,
        "error": " ".join(summary["error"].fillna("")),
        "plan": " ".join(plan["error"].fillna("")),
        "failures": job.failures().to_string(),
        "exceptions": " ".join(caught).replace("'Nonsense'", ""),
        "output": "".join(capfd.readouterr()),
    }
    assert caplog.records
    for where, text in texts.items():
        assert canary not in text, f"{where}: {text[max(0, text.index(canary) - 200) :][:400]}"


def _message(verb: object, requests: object) -> str:
    with pytest.raises((RequestError, QueryRefused)) as caught:
        verb(requests)  # type: ignore[operator]
    return f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("show_keys", [False, True])
def test_what_a_screen_calls_a_row(pacs: DemoPacs, capsys: pytest.CaptureFixture[str], show_keys: bool) -> None:
    """Keys and labels stand on the screen only if they were asked for."""
    table = pd.DataFrame({"AccessionNumber": ["no such study"]}, index=["a patient's name"])
    summary = quiet(pacs, show_keys=show_keys).move(table, progress="terminal")
    shown = capsys.readouterr().err
    assert summary.status.tolist() == ["not-found"]
    assert ("no such study" in shown) is show_keys
    assert ("a patient's name" in shown) is show_keys


def test_a_success_that_may_not_be_all(pacs: DemoPacs) -> None:
    """Where an archive may have capped its answers, even a row that is complete says that there may be more."""
    with DemoPacs([made_study("MANY", number=n, instances=1) for n in range(120)]) as many:
        many.misbehave["*"] = Misbehaviour("find-capped", count=100)
        row = quiet(many).move({"AccessionNumber": "MANY"}).loc[0]
    assert (row.status, row.matches, row.completed) == ("success", 100, 100)
    assert "there may be more" in row.error


@pytest.mark.parametrize(
    ("senders", "said"),
    [
        ({"addresses": ["127.0.0.0/8"], "calling_ae_titles": ["DEMO"]}, ""),
        ({"addresses": ["10.1.2.0/24"]}, "127.0.0.1 is not among the addresses that may connect"),
        ({"calling_ae_titles": ["OTHER"]}, "its AE title 'DEMO' is not among those let in"),
        ({"tls": True}, "no TLS connection"),
    ],
    ids=["let in", "address", "AE title", "TLS"],
)
def test_who_may_send_can_be_named(pacs: DemoPacs, tmp_path: Path, senders: dict, said: str) -> None:
    """Those who are named send; what is refused of others is told in the row of each request."""
    if "tls" in senders:
        senders = {"tls": certificate(tmp_path)[0]}
    folder = tmp_path / "in"
    with Mover(pacs.node, receive=folder, port=0, journal=None, progress="none", retry="none", **senders) as mover:
        pacs.destinations["MOVESCU"] = mover.port
        summary = mover.move([{"AccessionNumber": "00123"}, {"AccessionNumber": "00007"}], associations=1)
        findings = mover.diagnose()
    assert set(summary["status"]) == ({"failure"} if said else {"success"}), summary["error"].tolist()
    assert all(said in error and "firewall" not in error for error in summary["error"].dropna())
    assert not (findings["result"] == "failed").any(), "a call of our own is no finding"


@pytest.mark.parametrize("verb", ["find", "plan", "lock", "diagnose"])
def test_answers_that_never_end_end_every_verb_at_its_limit(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A C-FIND has a total, whoever asks: an archive whose answers do not end keeps no verb."""
    monkeypatch.chdir(tmp_path)  # where a lockfile goes

    def flood(connection: Connection, message: Message) -> None:
        data = encode({"StudyInstanceUID": "1.2.3"}, EXPLICIT)
        pieces = encode_message(message.context_id, response(message, 0xFF00, data), data, 1 << 14)
        pour(connection, b"".join(map(bytes, pieces)))

    keys = {"AccessionNumber": "A1"}
    with peer(flood) as node:
        mover = Mover(node, destination="NOBODY", progress="none", timeouts=Timeouts(total=0.4))
        begun = time.monotonic()
        if verb == "find":
            with pytest.raises(AssociationLost, match=r"not at its end after 0\.4 s \(the total timeout\)"):
                mover.find(keys)
        elif verb == "diagnose":
            assert "failed" in mover.diagnose().result.tolist()
        else:  # a limit of its own may come first, and answers that do not match are no reason to stop a plan
            with contextlib.suppress(NodeError):
                getattr(mover, verb)(keys)
        assert time.monotonic() - begun < 15


def test_every_verb_that_takes_a_batch_takes_a_shard_of_it(mover: Mover) -> None:
    """`plan`, `move` and `start` are of the same rows; a lockfile is of the whole table."""
    requests = pd.DataFrame({"AccessionNumber": [f"A{n}" for n in range(1, 6)]}, dtype="string")
    job = mover.start(requests, shard=(2, 2))
    assert job.wait(30)
    parts = [mover.plan(requests, shard="2/2"), mover.move(requests, shard="2/2"), job.summary()]
    assert {tuple(part.index) for part in parts} == {tuple(parts[0].index)}
    assert {len(part) + len(mover.move(requests, shard=(1, 2))) for part in parts} == {5}
    for part in parts[1:]:
        check_schema(part)
    with pytest.raises(ConfigurationError, match="counted from 1"):
        mover.plan(requests, shard=(0, 2))
    with pytest.raises(ConfigurationError, match="move the cohort in shards"):
        mover.lock(requests, path=None, shard=(1, 2))

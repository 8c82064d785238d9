"""The doctor's verdicts: what it finds on the way to an archive and to a destination, and what it advises."""

from __future__ import annotations

import http.server
import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import peers
from cli_kit import Shell, free_port, peer
from dicomover import Mover, Node
from dicomover.doctor import NOBODY, Check, Setup, diagnose
from dicomover.node import Timeouts
from dicomover.testing import DemoPacs, made_study
from dicomover.text.listing import terminal_width

SOON = Timeouts(connect=5, acse=0.5, dimse=1, stall=5)
CHECKS = ["association", "C-ECHO", "C-FIND", "destination", "C-MOVE"]


def examine(node: Node, destination: str | None = "WORKSTATION", **more: Any) -> dict[str, Check]:
    """Return the findings by check."""
    setup = Setup(node, more.pop("ae_title", "MOVESCU"), more.pop("timeouts", SOON), destination, **more)
    findings = diagnose(setup, itertools.count(1).__next__)
    assert [item.check.replace("our port", "destination") for item in findings] == CHECKS
    return {item.check: item for item in findings}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


# what is wrong with the archive; results of association, C-ECHO, C-FIND and C-MOVE; what is found; what is advised
GONE = "failed skipped skipped skipped"
ARCHIVES: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "ok ok ok ok", "so the archive knows 'WORKSTATION'", ""),
    ({"known_ae_titles": ["ME"]}, GONE, "Calling AE title not recognised", "add us: AE title 'MOVESCU', address 127"),
    ({"known_ae_titles": ["MOVESCU"], "ae_title": "OTHER"}, GONE, "Called AE title", "for its AE title, if it is not"),
    ({"max_associations": 0}, GONE, "Local limit exceeded", "try again later"),
    ({"on_associate": "associate-congestion"}, GONE, "Temporary congestion", "try again later"),
    ({"on_associate": "associate-no-reason"}, GONE, "No reason given", "what it allows, and tell them: AE title"),
    ({"on_associate": "associate-silence"}, GONE, "within 0.5 s", "without TLS"),
    ({"on_associate": "associate-close"}, GONE, "closed the connection upon", "may not know us"),
    ({"on_associate": "associate-abort"}, GONE, "aborted the association request", "may not know us"),
    ({"on_associate": "associate-garbage"}, GONE, "answers, but not in DICOM", "check host and port"),
    (
        {"on_associate": "associate-no-context"},
        "ok unclear failed failed",
        "not offer C-MOVE",
        "administrator to allow",
    ),
    ({"always_unable": True}, "ok ok ok unclear", f"since one to {NOBODY!r} ends so too", "move a small study"),
    ({"models": ["PATIENT"]}, "ok ok ok ok", "in Patient Root only", "name PatientID"),
    ({"models": []}, "ok ok failed failed", "does not offer C-FIND", "administrator to allow"),
    ({"misbehave": {"*": "find-refused"}}, "ok ok failed ok", "0xA700", "short of resources; try again later"),
    ({"misbehave": {"*": "find-mismatch"}}, "ok ok failed ok", "0xA900", "look at the archive's log"),
    ({"misbehave": {"*": "find-ignores-keys"}}, "ok ok unclear ok", "it ignores keys", "slow look-ups"),
    ({"misbehave": {"*": "find-aborts"}}, "ok ok failed ok", "aborted the association", "end an association to refuse"),
    ({"misbehave": {"*": "find-closes"}}, "ok ok failed ok", "the connection was closed", "only UIDs move"),
    ({"misbehave": {"*": "find-hangs"}}, "ok ok failed ok", "no response for 1 s", "look at the archive's log; until"),
    ({"misbehave": {"*": "destination-unknown"}}, "ok ok ok failed", "0xA801", "add the AE title 'WORKSTATION'"),
    ({"misbehave": {"*": "not-authorized"}}, "ok ok ok failed", "0x0124", "allow C-MOVE for our AE title"),
    ({"misbehave": {"*": "sop-class-not-supported"}}, "ok ok ok failed", "0x0122", "allow C-MOVE for our AE title"),
    ({"misbehave": {"*": "unrecognized-operation"}}, "ok ok ok failed", "0x0211", "allow C-MOVE for our AE title"),
    ({"misbehave": {"*": "busy"}}, "ok ok ok unclear", "0xA702", "try again later"),
    ({"misbehave": {"*": "unable"}}, "ok ok ok unclear", "0xC000", "move a small study"),
    ({"misbehave": {"*": "missing-attribute"}}, "ok ok ok unclear", "0x0120", "move a small study"),
    ({"misbehave": {"*": "empty-success"}}, "ok ok ok unclear", "does not show whether", "move a small study"),
    ({"misbehave": {"*": "wrong-message-id"}}, "ok ok ok failed", "the answer to another message", "archive's log"),
]


@pytest.mark.parametrize(("archive", "results", "found", "advice"), ARCHIVES, ids=lambda value: str(value)[:60])
def test_each_trouble_has_its_verdict_and_its_advice(
    archive: dict[str, Any], results: str, found: str, advice: str
) -> None:
    """What is said follows from what the archive does, and a check that fails does not fail the next one."""
    with DemoPacs([made_study("00123")], **archive) as pacs:
        node = Node(pacs.node.host, pacs.node.port, ae_title="DEMO")
        findings = examine(node)
    assert [findings[check].result for check in CHECKS if check != "destination"] == results.split()
    assert found in "\n".join(item.found for item in findings.values())
    assert advice in "\n".join(item.advice for item in findings.values())
    for item in findings.values():
        assert item.result in ("ok", "skipped") or item.advice, item
        assert "Traceback" not in item.found


def test_nothing_moves_and_each_message_has_its_number() -> None:
    """The C-MOVEs ask for what cannot exist, and the one to nobody has a title of its own."""
    with DemoPacs([made_study("00123")]) as pacs:
        examine(pacs.node)
        asked = [(request.kind, request.destination) for request in pacs.requests]
        assert not pacs.stores
        assert len(pacs.associations) == 1
    assert asked == [("C-ECHO", ""), ("C-FIND", ""), ("C-MOVE", "WORKSTATION"), ("C-MOVE", NOBODY)]


def test_what_a_success_is_worth_shows_at_a_title_that_nobody_has() -> None:
    """0x0000 is good only from an archive that says of an unknown destination that it is unknown."""
    with DemoPacs([]) as pacs:
        assert examine(pacs.node)["C-MOVE"].result == "ok"
        pacs.destinations[NOBODY] = 9  # now it says 0x0000 of whatever it is asked
        assert examine(pacs.node)["C-MOVE"].result == "unclear"


def test_without_a_receiver_the_rest_is_examined() -> None:
    """Nobody to receive is no failure."""
    with DemoPacs([]) as pacs:
        findings = examine(pacs.node, None)
    assert [item.result for item in findings.values()] == ["ok", "ok", "ok", "skipped", "skipped"]


def test_a_silent_archive_does_not_hold_us_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a DIMSE time-out the doctor takes one of its own."""
    monkeypatch.setattr("dicomover.doctor._PATIENCE", 0.3)
    with DemoPacs([], misbehave={"*": "find-hangs"}) as pacs:
        finding = examine(pacs.node, timeouts=Timeouts(connect=5, acse=5))["C-FIND"]
    assert (finding.result, "no response for 0.3 s" in finding.found) == ("failed", True)


# --- nobody, or somebody else, on the archive's port


@contextmanager
def silent() -> Iterator[int]:
    """Listen and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def web() -> Iterator[int]:
    """Serve HTTP."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        timeout = 0.2

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def closed() -> Iterator[int]:
    """Listen on nothing."""
    yield free_port()


@pytest.mark.parametrize(
    ("there", "found", "advice"),
    [
        (closed, "no TCP connection (Connection refused)", "check host and port"),
        (silent, "did not answer the association request", "is it an archive that listens there"),
        (web, "", "is it an archive that listens there"),
    ],
)
def test_what_listens_there_may_be_no_archive(there: Callable[[], Any], found: str, advice: str) -> None:
    """A closed port, a silent one and a web server are told from an archive that does not want us."""
    with there() as port:
        findings = examine(Node("127.0.0.1", port, ae_title="ARCHIVE"))
    assert [item.result for item in findings.values()] == ["failed", *["skipped"] * 4]
    assert found in findings["association"].found
    assert advice in findings["association"].advice
    assert advice not in findings["association"].found, "the advice is said once"


# --- who receives


@pytest.mark.parametrize(
    ("there", "result", "found"),
    [(closed, "failed", "Connection refused"), (silent, "failed", "did not answer the association request")],
)
def test_a_third_party_that_does_not_answer_is_said(there: Callable[[], Any], result: str, found: str) -> None:
    """A destination that is known by host and port is asked whether it is there."""
    with DemoPacs([]) as pacs, there() as port:
        finding = examine(pacs.node, destination_node=Node("127.0.0.1", port, ae_title="WORKSTATION"))["destination"]
    assert (finding.result, found in finding.found) == (result, True)


def test_a_third_party_that_answers_is_well_as_far_as_we_see() -> None:
    """That it answers us does not show that it answers the archive."""
    with DemoPacs([]) as pacs:
        node = Node("127.0.0.1", pacs.workstation.port, ae_title="WORKSTATION")
        finding = examine(pacs.node, destination_node=node)["destination"]
    assert finding.result == "ok"
    assert "only a move can show" in finding.advice


def test_a_third_party_that_rejects_us_may_be_open_to_the_archive() -> None:
    """A rejection of ours is no failure of the archive's."""
    with DemoPacs([]) as pacs, DemoPacs([], known_ae_titles=["DEMO"]) as other:
        finding = examine(pacs.node, destination_node=other.node)["destination"]
    assert finding.result == "unclear"


def test_our_port_is_open(tmp_path: Path) -> None:
    """The receiver runs while we look; the port is named for the administrator."""
    with DemoPacs([]) as pacs:
        mover = Mover(pacs.node, receive=tmp_path, port=0, timeouts=SOON)
        findings = mover.diagnose().set_index("check")
    assert findings.loc["our port", "result"] == "ok"
    assert findings.loc["C-MOVE", "result"] == "failed"
    port = findings.loc["our port", "found"].split()[-1]
    assert f"this machine's address and port {port}" in findings.loc["C-MOVE", "advice"]


def test_who_has_received_knows_that_a_move_comes_here(tmp_path: Path) -> None:
    """Where images have come by a C-MOVE, one of nothing that shows nothing is no reason to doubt it."""
    options = {"receive": tmp_path, "port": 0, "timeouts": SOON, "progress": "none", "retry": "none"}
    pacs = DemoPacs([made_study("A", instances=1)], always_unable=True)
    with pacs, Mover(pacs.node, **options) as mover:
        before = mover.diagnose().set_index("check").loc["C-MOVE"]
        pacs.destinations["MOVESCU"] = mover.port
        assert mover.move({"AccessionNumber": "A"})["status"].tolist() == ["success"]
        after = mover.diagnose().set_index("check").loc["C-MOVE"]
    assert before["result"] == "unclear"
    assert "or say one_image=True; if nothing arrives, ask" in before["advice"]
    assert after["result"] == "ok"
    assert after["found"].endswith("images have come to 'MOVESCU' by one since this Mover was opened")


def test_a_loopback_address_cannot_be_reached_by_an_archive_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """bind=127.0.0.1 and an archive on another machine do not go together, however it is written."""
    archive = Node("pacs.invalid", 104, ae_title="ARCHIVE")
    for bind in ("127.0.0.1", "localhost", "::1"):
        finding = examine(archive, "MOVESCU", port=11112, bind=bind)["our port"]
        assert (finding.result, finding.found) == ("failed", f"we listen on {bind} only")


def test_an_address_that_is_not_the_one_of_the_route_is_unclear(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several interfaces the archive may have the wrong one."""
    monkeypatch.setattr("dicomover.doctor.destination.find_own_address", lambda _: "192.0.2.8")
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    archive = Node("pacs.invalid", 104, ae_title="ARCHIVE")
    finding = examine(archive, "MOVESCU", port=11112, bind="192.0.2.7")["our port"]
    assert (finding.result, "192.0.2.8" in finding.found) == ("unclear", True)
    every = examine(archive, "MOVESCU", port=11112, bind="0.0.0.0")["our port"]
    assert every.result == "ok"
    assert "'MOVESCU' at 192.0.2.8, port 11112; whether a firewall" in every.advice


def test_a_port_that_is_closed_to_ourselves_is_a_failure() -> None:
    """If not even this machine gets through, nobody does."""
    finding = examine(Node("127.0.0.1", free_port(), ae_title="X"), "MOVESCU", port=free_port())["our port"]
    assert finding.result == "failed"
    assert "Connection refused" in finding.found


# --- real archives


def test_dcmqrscp_says_success_whatever_the_destination_and_so_shows_nothing(tmp_path: Path) -> None:
    """DCMTK's archive looks for matches before it looks at the destination."""
    archive = peers.dcmqrscp(tmp_path, [made_study("00123")])
    try:
        for title in (peers.HERE, peers.UNKNOWN):
            findings = examine(archive.node, title, ae_title=peers.HERE)
            assert [item.result for item in findings.values()] == ["ok", "ok", "ok", "skipped", "unclear"]
        stranger = examine(archive.node, ae_title="STRANGER")["association"]
    finally:
        archive.stop()
    assert "Called AE title" in stranger.found
    assert "does not know us" in stranger.advice, "dcmqrscp blames the called AE title for an unknown calling one"


def test_orthanc_says_unable_whatever_the_destination_and_so_shows_nothing(tmp_path: Path) -> None:
    """Orthanc answers a C-MOVE of nothing with 0xC000, and ends the association of those it does not let ask."""
    archive = peers.orthanc(tmp_path, [made_study("00123")], DicomAlwaysAllowMove=False, DicomAlwaysAllowFind=False)
    try:
        for title in (peers.HERE, peers.UNKNOWN):
            findings = examine(archive.node, title, ae_title=peers.HERE)
            assert [item.result for item in findings.values()] == ["ok", "ok", "ok", "skipped", "unclear"]
        findings = examine(archive.node, peers.HERE, ae_title="STRANGER")
    finally:
        archive.stop()
    assert [item.result for item in findings.values()] == ["ok", "ok", "failed", "skipped", "failed"]
    assert "refuse a query" in findings["C-FIND"].advice
    assert "refuse a C-MOVE" in findings["C-MOVE"].advice


# --- the command


def test_the_command_says_it_in_100_columns(run: Shell) -> None:
    """One line for each check, what to do below it, a count at the end."""
    with DemoPacs([]) as pacs:
        ran = run("doctor", "-aem", f"NOBODY@127.0.0.1:{free_port()}", *peer(pacs))
    assert (ran.code, ran.err) == (1, "")
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= terminal_width() == 100
    assert [line.split()[:2] for line in lines[:-2] if line[2:3].strip()] == [
        ["association", "ok"],
        ["C-ECHO", "ok"],
        ["C-FIND", "ok"],
        ["destination", "failed"],
        ["C-MOVE", "failed"],
    ]
    assert any(line.strip().startswith("-> ask the archive's administrator to add") for line in lines)
    assert lines[-1] == "3 ok, 2 failed; nothing was moved"


def test_the_command_is_content_with_a_healthy_archive(run: Shell) -> None:
    """Exit code 0 is that no check failed, whoever receives."""
    with DemoPacs([]) as pacs:
        pacs.destinations["MOVESCU"] = port = free_port()
        assert run("doctor", *peer(pacs)).code == 0
        assert run("doctor", "-aem", f"WORKSTATION@127.0.0.1:{pacs.workstation.port}", *peer(pacs)).code == 0
        ran = run("doctor", "--port", port, *peer(pacs))
        assert ran.code == 0
        assert f"we listen on 127.0.0.1 port {port}" in ran.out


def test_a_port_that_is_taken_is_a_finding_and_the_rest_is_examined(run: Shell, tmp_path: Path) -> None:
    """Where we cannot listen, the archive may still be asked."""
    with DemoPacs([]) as pacs, silent() as port:
        ran = run("doctor", "-od", tmp_path, "--port", port, *peer(pacs))
    assert ran.code == 1
    assert f"our port     failed  port {port} cannot be listened on" in ran.out
    assert "another program listens there" in ran.out
    assert "C-FIND       ok " in ran.out


def test_only_a_port_makes_no_folder(run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves, so there is nothing to keep."""
    monkeypatch.chdir(tmp_path)
    with DemoPacs([]) as pacs:
        run("doctor", "--port", 0, *peer(pacs))
    assert not list(tmp_path.iterdir())


def test_the_command_gives_records(run: Shell) -> None:
    """--json prints the findings; the text goes to stderr."""
    with DemoPacs([]) as pacs:
        ran = run("doctor", "--json", "-aem", "WORKSTATION", *peer(pacs))
    assert [record["check"] for record in json.loads(ran.out)] == CHECKS
    assert set(json.loads(ran.out)[0]) == {"check", "result", "found", "advice"}
    assert "nothing was moved" in ran.err


def test_the_command_can_be_quiet(run: Shell) -> None:
    """-q says failures only."""
    with DemoPacs([]) as pacs:
        assert run("doctor", "-q", "-aem", "WORKSTATION", *peer(pacs)) == (0, "", "")
        ran = run("doctor", "-q", "-aem", "ELSEWHERE", *peer(pacs))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: C-MOVE: a C-MOVE of nothing to 'ELSEWHERE' ends with 0xA801")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["127.0.0.1", "{closed}"], "no TCP connection"),
        (["-aem", "X@host", "127.0.0.1", "{closed}"], "cannot be read"),
        (["-aem", "X", "--port", "0", "127.0.0.1", "{closed}"], "cannot both be"),
        (["-aem", "", "127.0.0.1", "{closed}"], "is empty"),
        (["127.0.0.1"], "PORT is missing"),
    ],
)
def test_the_command_ends_with_2(run: Shell, args: list[str], words: str) -> None:
    """An archive that cannot be reached, and input that cannot be meant."""
    ran = run("doctor", *(arg.format(closed=free_port()) for arg in args))
    assert ran.code == 2
    assert words in ran.out + ran.err


# --- C-GET


@pytest.mark.parametrize("how", ["destination-unknown", "busy", "unable", "not-authorized", "wrong-message-id"])
def test_each_dead_end_of_c_move_has_the_way_out_that_is_there(how: str) -> None:
    """Where the archive also serves C-GET, that is said beside what an administrator can do; else it is not."""
    for serves in (True, False):
        with DemoPacs([made_study("00123")], misbehave={"*": how}, get=serves) as pacs:
            advice = examine(pacs.node)["C-MOVE"].advice
        assert ("also serves C-GET: via='get' needs no port and no administrator" in advice) is serves


def test_the_way_out_is_not_told_to_whom_it_goes_well() -> None:
    """A check that did not fail needs none."""
    with DemoPacs([made_study("00123")]) as pacs:
        assert not any("C-GET" in item.advice for item in examine(pacs.node).values())


@pytest.mark.parametrize("serves", [True, False])
def test_by_c_get_no_port_is_examined_and_nothing_is_moved(serves: bool) -> None:
    """What matters is whether the archive accepts C-GET, and that is seen in what it accepts."""
    with DemoPacs([made_study("00123")], get=serves) as pacs:
        setup = Setup(pacs.node, "MOVESCU", SOON, "MOVESCU", via="get")
        findings = {item.check: item for item in diagnose(setup, itertools.count(1).__next__)}
        assert [request.kind for request in pacs.requests] == ["C-ECHO", "C-FIND"]
    assert list(findings) == ["association", "C-ECHO", "C-FIND", "our port", "C-GET"]
    assert findings["our port"].result == "skipped"
    assert findings["C-GET"].result == ("ok" if serves else "failed")
    assert serves or "via='move'" in findings["C-GET"].advice


def test_auto_examines_both_ways() -> None:
    """One check of C-GET more, behind that of C-MOVE."""
    with DemoPacs([made_study("00123")]) as pacs:
        setup = Setup(pacs.node, "MOVESCU", SOON, "WORKSTATION", via="auto")
        findings = diagnose(setup, itertools.count(1).__next__)
    assert [item.check for item in findings][-2:] == ["C-MOVE", "C-GET"]
    assert findings[-1].result == "ok"

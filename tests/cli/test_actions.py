"""What the commands do: one call of the library each, and an exit code that says what came of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_kit import Shell, free_port, peer, to_workstation
from dicomover.testing import DemoPacs, Misbehaviour, made_study


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.fixture
def pacs() -> DemoPacs:
    """Start an archive with two studies."""
    with DemoPacs([made_study("00123", instances=4), made_study("00124", instances=2)]) as archive:
        yield archive


ENDS = [
    # misbehaviour, exit code, status
    (None, 0, "success"),
    ("no-pending", 0, "success"),
    ("final-twice", 0, "success"),
    ("success-with-warnings", 0, "warning"),
    ("warnings", 0, "warning"),
    ("success-with-failures", 1, "partial"),
    ("some-failed", 1, "partial"),
    ("some-failed-without-list", 1, "partial"),
    ("out-of-resources-some", 1, "partial"),
    ("unable-after-sending", 1, "partial"),
    (Misbehaviour("abort", after=2), 1, "lost"),
    (Misbehaviour("close", after=2), 1, "lost"),
    (Misbehaviour("release", after=2), 1, "lost"),
    (Misbehaviour("garbage", after=2), 1, "lost"),
    (Misbehaviour("abort", after=0), 2, "lost"),
    ("success-all-failed", 2, "failure"),
    ("empty-success", 2, "empty"),
    ("empty-success-without-counters", 2, "empty"),
    ("success-without-counters", 2, "empty"),
    ("out-of-resources", 2, "failure"),
    ("busy", 2, "failure"),
    ("destination-unknown", 2, "failure"),
    ("identifier-mismatch", 2, "failure"),
    ("unable", 2, "failure"),
    ("missing-attribute", 2, "failure"),
    ("not-authorized", 2, "failure"),
    ("wrong-message-id", 2, "lost"),
    ("find-no-match", 2, "not-found"),
    ("find-refused", 2, "failure"),
    ("find-aborts", 2, "lost"),
]


@pytest.mark.parametrize(("how", "code", "status"), ENDS, ids=lambda value: str(getattr(value, "name", value)))
def test_the_exit_code_tells_what_moved_whatever_the_archive_claims(
    run: Shell, how: str | Misbehaviour | None, code: int, status: str
) -> None:
    """0 is everything, 1 is something, 2 is nothing; the summary has the word for it."""
    with DemoPacs([made_study("00123", instances=4)], misbehave={"00123": how} if how else None) as pacs:
        ran = to_workstation(run, pacs, "--no-progress")
    assert ran.code == code
    assert f"Result       {status}" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        (None, 0, "success"),
        ("zero-counters-at-end", 0, "success"),
        ("stragglers", 0, "success"),
        ("success-without-counters", 0, "success"),
        ("claims-some-without-sending", 1, "partial"),
        ("claims-without-sending", 2, "empty"),
    ],
)
def test_what_is_on_the_disk_counts_when_we_receive(
    run: Shell, tmp_path: Path, how: str | None, code: int, status: str
) -> None:
    """An archive that claims to have sent what never came does not get a 0."""
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)], misbehave={"00123": how} if how else None) as pacs:
        pacs.destinations["MOVESCU"] = port
        args = ["-od", tmp_path / "in", "--port", port, "-k", "AccessionNumber=00123", *peer(pacs)]
        ran = run("move", *args)
    assert ran.code == code
    assert f"Result       {status}" in ran.out
    files = list((tmp_path / "in").rglob("*.dcm"))
    assert f"Received     {len(files)} (" in ran.out
    assert f"Destination  MOVESCU, here, port {port}, into" in ran.out


def test_port_alone_receives_into_downloads(run: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --port and without -od the folder is ./downloads."""
    monkeypatch.chdir(tmp_path)
    port = free_port()
    with DemoPacs([made_study("00123", instances=4)]) as pacs:
        pacs.destinations["US"] = port
        ran = run("move", "-aet", "US", "--port", port, "-k", "AccessionNumber=00123", *peer(pacs))
    assert ran.code == 0
    assert len(list((tmp_path / "downloads").rglob("*.dcm"))) == 4


NOTHING = [
    # archive's misbehaviour, options, what is asked for
    (["-k", "AccessionNumber=absent"], {}),
    (["--csv", "empty.csv"], {}),
    (["-k", "StudyDate=*", "--max-matches", 1], {}),
]


@pytest.mark.parametrize(("asked", "how"), NOTHING, ids=["not-found", "no-rows", "too-many"])
def test_nothing_sent_is_nothing_received(
    run: Shell,
    pacs: DemoPacs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[object],
    how: dict[str, str],
) -> None:
    """The summary says who receives as it was told, also where no row has a count, and puts no words in a mouth."""
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("AccessionNumber\n")
    ran = run("move", "-od", "in", "--port", free_port(), *asked, *peer(pacs))
    assert ran.code == 2
    assert "C-MOVEs      none was sent" in ran.out
    assert "Received     0 (0 B)" in ran.out
    assert "did not say" not in ran.out
    ran = run("move", "-aem", "WORKSTATION", *asked, *peer(pacs))
    assert "Received     nothing was sent" in ran.out


@pytest.mark.parametrize("command", [["plan"], ["move", "--dry-run"]])
def test_a_plan_moves_nothing(run: Shell, pacs: DemoPacs, tmp_path: Path, command: list[str]) -> None:
    """`plan` and `move --dry-run` are the same: a table of what would move."""
    table = tmp_path / "cohort.csv"
    table.write_text("AccessionNumber\n00123\nabsent\n")
    ran = run(*command, "--csv", table, *peer(pacs))
    assert ran.code == 1
    assert "  0  move       STUDY" in ran.out
    assert "  1  not-found" in ran.out
    assert "00123" not in ran.out
    shown = run(*command, "--show-keys", "--csv", table, *peer(pacs)).out
    assert "  0  00123            move" in shown
    assert "  1  absent           not-found" in shown
    assert "1 of 2 requests would move 4 instances; nothing was moved" in ran.out
    assert {request.kind for request in pacs.requests} == {"C-FIND"}
    records = json.loads(run(*command, "--json", "--csv", table, *peer(pacs)).out)
    assert [record["decision"] for record in records] == ["move", "not-found"]


@pytest.mark.parametrize(("accession", "code"), [("00123", 0), ("none", 2)])
def test_the_exit_code_of_a_plan(run: Shell, pacs: DemoPacs, accession: str, code: int) -> None:
    """0 is everything would move, 2 is nothing would."""
    assert run("plan", "-k", f"AccessionNumber={accession}", *peer(pacs)).code == code


def test_find_limits_and_says_so(run: Shell, pacs: DemoPacs) -> None:
    """--limit cuts, and the count says that there may be more."""
    ran = run("find", "--limit", 1, "-k", "AccessionNumber=0012*", *peer(pacs))
    assert (ran.code, len(ran.out.splitlines())) == (0, 2)
    assert "1 study (--limit 1; there may be more) found" in ran.err


def test_find_without_a_match_ends_with_1(run: Shell, pacs: DemoPacs) -> None:
    """Nothing found is told from an error by the exit code."""
    ran = run("find", "-k", "AccessionNumber=none", *peer(pacs))
    assert (ran.code, ran.out) == (1, "")
    assert "0 studies found" in ran.err
    assert json.loads(run("find", "--json", "-k", "AccessionNumber=none", *peer(pacs)).out) == []


def test_echo_answers(run: Shell, pacs: DemoPacs) -> None:
    """`echo` says who answered."""
    ran = run("echo", *peer(pacs))
    assert ran.code == 0
    assert f"{pacs.node} answered the C-ECHO of MOVESCU" in ran.out
    assert run("echo", "-q", *peer(pacs)) == (0, "", "")

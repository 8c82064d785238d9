"""What a command was given, as the library takes it: the peer, the limits, the model."""

from __future__ import annotations

import pytest

from cli_kit import Shell
from dicomover.cli.arguments import Arguments, read_node
from dicomover.mover import Mover
from dicomover.node import Node, Timeouts


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process."""
    return Shell(capsys)


@pytest.mark.parametrize(
    ("peer_text", "port", "call", "node"),
    [
        ("host", 104, None, Node("host", 104)),
        ("host", 104, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("ARCHIVE@host:104", None, None, Node("host", 104, ae_title="ARCHIVE")),
        ("ARCHIVE@host:104", None, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("host:104", None, None, Node("host", 104)),
        ("host:104", None, "ARCHIVE", Node("host", 104, ae_title="ARCHIVE")),
        ("A@[::1]:104", None, None, Node("::1", 104, ae_title="A")),
        ("[::1]", 104, None, Node("::1", 104)),
        ("[::1]:104", None, "A", Node("::1", 104, ae_title="A")),
        ("[fe80::1%eth0]", 104, "A", Node("fe80::1%eth0", 104, ae_title="A")),
        ("::1", 104, None, Node("::1", 104)),
    ],
)
def test_the_peer_can_be_written_in_two_ways(peer_text: str, port: int | None, call: str | None, node: Node) -> None:
    """PEER PORT with -aec, or ARCHIVE@host:port."""
    assert read_node(peer_text, port, call) == node


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["host.example.org"], "PORT is missing"),
        (["host"], "there is no node 'host'"),
        (["host", "x"], "'a' is not a valid integer"),
        (["host", "0"], "not a TCP port"),
        (["host", "70000"], "not a TCP port"),
        (["A@host:104", "104"], "names the AE title already"),
        (["A@host:x"], "cannot be read"),
        (["-aec", "B", "A@host:104"], "leave one out"),
        (["-aec", "ANY-SCP", "A@host:104"], "leave one out"),
        (["@host:104"], "is empty"),
        (["", "104"], "not a name or an address"),
        ([], "PEER"),
    ],
)
def test_a_peer_that_cannot_be_meant_is_said(run: Shell, args: list[str], words: str) -> None:
    """A missing port, a port that is none, an AE title said twice."""
    ran = run("echo", *args)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_zero_seconds_are_no_limit() -> None:
    """0 is the word for no limit, for all four."""
    assert Arguments(timeout=60, acse_timeout=60).timeouts == Timeouts(stall=None, progress=None)
    some = Arguments(timeout=60, acse_timeout=60, dimse_timeout=0, stall_timeout=900, progress_timeout=7200)
    assert some.timeouts == Timeouts()


def test_the_model_is_chosen_by_the_library_unless_it_is_named() -> None:
    """-P and -S are the library's `patient` and `study`."""
    flags = ((False, False), (True, False), (False, True))
    assert [Arguments(patient_root=patient, study_root=study).model for patient, study in flags] == [
        "auto",
        "patient",
        "study",
    ]


def test_a_mover_is_made_of_what_a_command_was_given() -> None:
    """The archive and our own name are those of the command, unless another archive is named."""
    given = Arguments(peer="ARCHIVE@host:104", aetitle="OURS")
    assert repr(Mover(given.node, **given.client)) == "Mover('ARCHIVE@host:104', ae_title='OURS', destination=None)"
    there = Node("other", 105, ae_title="THEIRS")
    assert Mover(there, **given.client, **given.receiver("WS7", None)).node == there
    assert Mover(given.node, **given.client, **given.lookup("SERIES")).node == given.node

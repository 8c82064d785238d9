"""Messages are taken fragment by fragment and answered when they are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp.dialogue import Dialogue
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.scp.intake import Broken
from dicomover.receiver.scp.store import Caller, Storage
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire import command_set
from receiver_kit import EXPLICIT, command, data_set


@pytest.fixture
def dialogue(tmp_path: Path) -> Dialogue:
    """Return a dialogue that keeps what it sends in `sent`, and what is told in `told`."""
    told: list[Any] = []
    sent: list[bytes] = []
    settings = ReceiverSettings(folder=str(tmp_path), ae_title="ME", restrict=False)
    storage = Storage(settings, Filing(str(tmp_path), Layout()), Admissions(), told.append)
    made = Dialogue(storage, Caller("YOU", "127.0.0.1"), {1: EXPLICIT, 3: EXPLICIT}, sent.append, lambda *_: None)
    made.sent, made.told = sent, told  # type: ignore[attr-defined]
    return made


def say(dialogue: Dialogue, context_id: int, flags: int, piece: bytes) -> None:
    """Let one fragment come."""
    dialogue.check_turn(context_id, flags)
    dialogue.take(memoryview(piece), flags, True)


def test_a_message_is_answered_once_and_in_its_context(dialogue: Dialogue) -> None:
    """The answer goes out in the context of the request, after the last fragment and no earlier."""
    data = data_set("1.2")
    say(dialogue, 3, 1, command("1.2")[:9])
    assert dialogue.busy
    say(dialogue, 3, 3, command("1.2")[9:])
    say(dialogue, 3, 0, data[:500])
    assert dialogue.holds
    assert not dialogue.sent  # type: ignore[attr-defined]
    say(dialogue, 3, 2, data[500:])
    (answer,) = dialogue.sent  # type: ignore[attr-defined]
    assert answer[10] == 3
    assert command_set.decode(answer[12:])["Status"] == 0
    assert not dialogue.busy
    assert not dialogue.holds
    assert len(dialogue.told) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fragments",
    [
        [(5, 3, command("1.2"))],
        [(1, 2, b"data")],
        [(1, 3, command("1.2")), (1, 3, command("1.2"))],
        [(1, 3, command("1.2")), (3, 0, b"data")],
        [(1, 3, b"no command set")],
        [(1, 1, bytes(70_000))],
    ],
    ids=["context", "no-command", "two-commands", "context-changes", "no-command-set", "endless"],
)
def test_what_is_out_of_turn_breaks_the_association(
    dialogue: Dialogue, fragments: list[tuple[int, int, bytes]]
) -> None:
    """A fragment that cannot be meant is told in words, and what was begun leaves no file."""
    *before, last = fragments
    for fragment in before:
        say(dialogue, *fragment)
    with pytest.raises(Broken):
        say(dialogue, *last)
    dialogue.abandon()
    assert not dialogue.told  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("size", "over", "endless"), [(0, 10.0, True), (1 << 15, 5.0, False), (1 << 15, 10.0, True), (0, 0.0, False)]
)
def test_a_message_that_does_not_end_is_known(dialogue: Dialogue, size: int, over: float, endless: bool) -> None:
    """What was asked for may take long, as long as enough comes of it; a message has its time and no more."""
    limit = 900.0
    say(dialogue, 1, 3, command("1.2"))
    assert dialogue.is_endless(dialogue.begun + limit + 1, limit), "nobody knows yet what it is"
    say(dialogue, 1, 0, data_set("1.2", pixels=bytes(1 << 20))[: size + 400 if size else 200])
    assert dialogue.is_endless(dialogue.begun + limit + over, limit) is endless
    dialogue.abandon()
    dialogue.busy = False
    assert not dialogue.is_endless(dialogue.begun + 2 * limit, limit)


@pytest.mark.parametrize(("over", "endless"), [(7200.0 + 4000, False), (7200.0 + 4200, True)])
def test_an_instance_without_end_is_known(dialogue: Dialogue, over: float, endless: bool) -> None:
    """After two hours a large instance has to come faster than what somebody lets drip for ever."""
    say(dialogue, 1, 3, command("1.2"))
    say(dialogue, 1, 0, data_set("1.2")[:600])
    dialogue._instance.size = 1 << 30  # type: ignore[union-attr]
    assert dialogue.is_endless(dialogue.begun + 900 + over, 900) is endless
    dialogue.abandon()

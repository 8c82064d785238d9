"""What the receiver's process does with orders that concern retrievers."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from dicomover.errors import ContextRejected
from dicomover.node import Node, Timeouts
from dicomover.outcome import Counters, Ended
from dicomover.receiver.engine.frames import pack_node, unpack_end, unpack_error
from dicomover.receiver.engine.retrievals import Retrievals
from dicomover.wire.responses import MoveEnd

NODE = Node("127.0.0.1", 104, ae_title="ARCHIVE")


class Made:
    """Stands for a retriever."""

    local_address, peer_address = "127.0.0.1", "127.0.0.2"

    def __init__(self, raises: Exception | None) -> None:
        self.raises = raises
        self.is_open = False
        self.served = 0
        self.accepted = frozenset({("1.2", "1.3")})
        self.done: list[Any] = []

    def open(self) -> None:
        """Be open."""
        self.is_open = True

    def get(self, identifier: Any, model: Any, message_id: int, *, on_progress: Any) -> MoveEnd:
        """Tell a thousand responses, and end."""
        self.done.append((identifier.StudyInstanceUID, model.value, message_id))
        if self.raises is not None:
            raise self.raises
        for number in range(1000):
            on_progress(Counters(number))
        return MoveEnd(Ended.ANSWERED, 0, Counters(1000))

    def is_usable(self) -> bool:
        """Find that the peer has gone."""
        self.is_open = False
        return False

    def kill(self) -> None:
        """Note it."""
        self.done.append("kill")

    def cancel(self) -> None:
        """Note it."""
        self.done.append("cancel")

    def hurry(self, seconds: float) -> None:
        """Note it."""
        self.done.append(seconds)

    def release(self, seconds: float) -> None:
        """Be released."""
        self.done.append(("release", seconds))
        self.is_open = False


@pytest.fixture(params=[None], ids=["as it should"])
def process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Return something that obeys, with the answers and the retriever."""
    answers: queue.Queue[tuple[int, dict[str, Any]]] = queue.Queue()
    made = Made(request.param)

    def make(_: Any, node: Node, ae_title: str, timeouts: Timeouts, contexts: Sequence[tuple[str, str]]) -> Made:
        made.done.append((node, ae_title, timeouts, contexts))
        return made

    service: Any = SimpleNamespace()
    monkeypatch.setattr("dicomover.receiver.engine.retrievals.Retriever", make)
    retrievals = Retrievals(service, lambda number, **more: answers.put((number, more)))

    def order(what: str, number: int = 1, **more: Any) -> None:
        frame = {"do": f"retriever {what}", "retriever": 5, "id": number, "timeouts": asdict(Timeouts(stall=7)), **more}
        retrievals.obey(frame)

    yield SimpleNamespace(order=order, answers=answers, made=made)
    order("release", 99, seconds=1.0)


def open_it(process: SimpleNamespace) -> dict[str, Any]:
    """Open one, and return the answer."""
    process.order("open", node=pack_node(NODE), ae_title="ME", contexts=[["1.2", "1.3"]])
    number, answer = process.answers.get(timeout=5)
    assert number == 1
    assert isinstance(answer, dict)
    return answer


GET = {"identifier": {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}, "model": "study", "message_id": 7}


def test_what_is_ordered_is_done(process: SimpleNamespace) -> None:
    """It is opened, asked, looked at and released with what it was told, and each order is answered."""
    answer = open_it(process)
    assert answer["accepted"] == [("1.2", "1.3")]
    assert list(answer["addresses"]) == ["127.0.0.1", "127.0.0.2"]
    assert process.made.done == [(NODE, "ME", Timeouts(stall=7), [("1.2", "1.3")])]
    process.order("get", 2, **GET)
    said = [process.answers.get(timeout=5)]
    while "end" not in said[-1][1]:
        said.append(process.answers.get(timeout=5))
    assert 1 < len(said) < 20, "counters are told now and then"
    assert list(said[0][1]["meanwhile"]) == [0, None, None, None]
    assert unpack_end(said[-1][1]["end"]).counters == Counters(1000)
    assert process.made.done[-1] == ("1.2.3", "study", 7)
    process.order("cancel")
    process.order("kill")
    process.order("hurry", seconds=3.0)
    assert process.made.done[-3:] == ["cancel", "kill", 3.0]
    process.order("look", 3)
    assert process.answers.get(timeout=5) == (3, {"is_open": False, "served": 0})
    process.order("release", 4, seconds=2.0)
    assert process.answers.get(timeout=5)[0] == 4
    process.order("look", 5)
    assert process.answers.get(timeout=5) == (5, {"is_open": False, "served": 0}), "unknown by now"
    process.order("kill")
    assert process.made.done[-1] == ("release", 2.0)


@pytest.mark.parametrize("process", [ContextRejected("no", "ask"), ValueError("DOE^JOHN")], indirect=True)
def test_an_error_is_told(process: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """What is raised comes back as it is if it is ours; of anything else only what it is."""
    open_it(process)
    process.order("get", 2, **GET)
    number, answer = process.answers.get(timeout=5)
    error = unpack_error(answer["trouble"])
    assert number == 2
    assert str(error).startswith(("no; ask", "an error of ours"))
    assert "DOE" not in str(error) + caplog.text
    assert ("kill" in process.made.done) is isinstance(process.made.raises, ValueError)


def test_what_cannot_be_made(process: SimpleNamespace) -> None:
    """A node that cannot be meant is told to whoever has asked, and ends nothing."""
    process.order("open", node={**pack_node(NODE), "port": -1}, ae_title="ME", contexts=[])
    number, answer = process.answers.get(timeout=5)
    assert (number, answer["is_open"]) == (1, False)
    assert "port" in str(unpack_error(answer["trouble"]))
    assert open_it(process)["is_open"]

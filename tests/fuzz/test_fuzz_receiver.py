"""Fuzzing the receiver: whatever a peer sends, it ends in an answer or an abort, without a crash, a hang or a hoard.

A few thousand inputs with every test run. For more than a million::

    DICOMOVER_FUZZ=100000 python -m pytest -n auto --timeout 0 tests/fuzz

What once failed stays in hypothesis' example database and in the `@example` lines here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import struct
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dicomover.dicomfile import Head, HeadError
from dicomover.events import Admission, Refused
from dicomover.receiver.admissions import Admissions
from dicomover.receiver.layout import LAST_TAG, Layout, safe_part
from dicomover.receiver.scp.association import IncomingAssociation
from dicomover.receiver.scp.contexts import find_offers
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.scp.store import Caller, Storage
from dicomover.receiver.settings import ReceiverSettings
from dicomover.wire import command_set
from dicomover.wire.messages import Context
from dicomover.wire.negotiation import parse_request
from dicomover.wire.pdus import ABORT, P_DATA, RELEASE_RP

INPUTS = int(os.environ.get("DICOMOVER_FUZZ", "150"))
fuzz = settings(
    max_examples=INPUTS,
    suppress_health_check=list(HealthCheck),
    database=None if INPUTS < 1000 else settings.default.database,  # type: ignore[union-attr]
)
TAGS = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00100020, 0x0020000D, 0x0020000E})
CT = b"1.2.840.10008.5.1.4.1.1.2\0"
UIDS = (
    b"1.2.840.10008.5.1.4.1.1.2",
    b"1.2.840.10008.1.2",
    b"1.2.840.10008.1.2.1",
    b"1.2.840.10008.1.2.1.99",
    b"",
    b"..",
)


class Wire:
    """A socket that gives what it was made with, in pieces of any size, and keeps what is sent."""

    def __init__(self, raw: bytes, sizes: list[int]) -> None:
        self._raw = raw
        self._sizes = sizes or [65536]
        self._turn = 0
        self._at = 0
        self.sent = bytearray()

    def _next(self, room: int) -> bytes:
        size = min(self._sizes[self._turn % len(self._sizes)], room)
        self._turn += 1
        piece = self._raw[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def recv(self, room: int) -> bytes:
        """Give some bytes."""
        return self._next(room)

    def recv_into(self, view: memoryview) -> int:
        """Give some bytes."""
        assert len(view) > 0, "no room to read into"
        piece = self._next(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def sendall(self, raw: bytes) -> None:
        """Take an answer."""
        self.sent += raw

    def setsockopt(self, *_: object) -> None:
        """Take an option."""

    def close(self) -> None:
        """Be closed."""


class Unplugged(IncomingAssociation):
    """An association without a network."""

    def _shut(self, how: int) -> None:
        pass


class Host:
    """What an association belongs to."""

    last_activity = last_call = 0.0

    def __init__(self, folder: Path, restrict: bool) -> None:
        self.told: list[Any] = []
        admissions = Admissions()
        admissions.admit(Admission(1, study_uids=frozenset({"1.2.3"})))
        setup = ReceiverSettings(folder=str(folder), ae_title="ME", restrict=restrict, checksums=True)
        filing = Filing(str(folder), Layout(), floor=0)
        self.storage = Storage(setup, filing, admissions, self.told.append)

    def may_begin(self, _: IncomingAssociation) -> bool:
        """Let everybody in."""
        return True

    def keep(self, association: IncomingAssociation) -> None:
        """Let it stay."""
        association.proven = True

    def note_offers(self, _: Caller, contexts: Iterable[Context]) -> None:
        """Make of it what a receiver does."""
        find_offers(contexts, self.storage.accept)

    def charge(self, _: IncomingAssociation, seconds: float) -> float:
        """Let nobody wait."""
        assert seconds >= 0
        return 0.0

    def tell_refusal(self, what: Refused, caller: Caller, why: str, mend: str) -> None:
        """Keep the reason."""
        assert isinstance(what, Refused)
        assert caller.host is not None
        assert mend is not None
        self.told.append(why)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Keep the log silent, but for errors of our own, which fail the test."""

    class Fails(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                mistakes.append(record.getMessage())

    mistakes.clear()
    ours, theirs = logging.getLogger("dicomover"), logging.getLogger("pynetdicom")
    handler = Fails()
    ours.addHandler(handler)
    before = ours.level, theirs.level
    # Records below would be kept by pytest, hundreds of thousands of them, until a look through them takes seconds.
    ours.setLevel(logging.ERROR)
    theirs.setLevel(logging.CRITICAL)
    yield
    ours.removeHandler(handler)
    ours.setLevel(before[0])
    theirs.setLevel(before[1])


mistakes: list[str] = []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for all inputs."""
    return tmp_path_factory.mktemp("fuzz") / "root"


# --- inputs: well-formed at random, then spoilt at random


def item(kind: int, body: bytes) -> bytes:
    """Encode an item of an association PDU."""
    return struct.pack(">BxH", kind, len(body) & 0xFFFF) + body


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Make an A-ASSOCIATE-RQ."""
    called = draw(st.sampled_from([b"ME".ljust(16), b"YOU".ljust(16), b"\xff" * 16, bytes(16)]))
    calling = draw(st.one_of(st.just(b"YOU".ljust(16)), st.binary(min_size=16, max_size=16)))
    uid = st.one_of(st.sampled_from(UIDS), st.binary(max_size=80))
    body = struct.pack(">HH", draw(st.sampled_from([1, 1, 1, 0, 3])), 0) + called + calling + bytes(32)
    body += item(0x10, draw(st.one_of(st.just(b"1.2.840.10008.3.1.1.1"), st.binary(max_size=70))))
    for number in draw(st.lists(st.integers(0, 255), max_size=4)):
        syntaxes = b"".join(item(0x40, one) for one in draw(st.lists(uid, max_size=4)))
        body += item(0x20, bytes((number, 0, 0, 0)) + item(0x30, draw(uid)) + syntaxes)
    inner = item(0x51, struct.pack(">L", draw(st.integers(0, 0xFFFFFFFF)))) + item(0x52, b"1.2.3")
    for kind, raw in draw(st.lists(st.tuples(st.integers(0x50, 0x5A), st.binary(max_size=20)), max_size=3)):
        inner += item(kind, raw)
    body += item(0x50, inner)
    return struct.pack(">BxL", 1, len(body)) + body


GOOD_REQUEST = (
    struct.pack(">HH", 1, 0)
    + b"ME".ljust(16)
    + b"YOU".ljust(16)
    + bytes(32)
    + item(0x10, b"1.2.840.10008.3.1.1.1")
    + item(0x20, b"\1\0\0\0" + item(0x30, UIDS[0]) + item(0x40, UIDS[2]))
    + item(0x20, b"\3\0\0\0" + item(0x30, UIDS[0]) + item(0x40, UIDS[1]))
    + item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
)
GOOD_REQUEST = struct.pack(">BxL", 1, len(GOOD_REQUEST)) + GOOD_REQUEST


@st.composite
def elements(draw: st.DrawFn, explicit: bool, depth: int = 0) -> bytes:
    """Make elements of a data set, with sequences in one another."""
    raw = b""
    tags = [0x00080005, 0x00080016, 0x00080018, 0x00081140, 0x00091010, 0x00100020, 0x0020000D, 0x0020000E, 0x7FE00010]
    for tag in draw(st.lists(st.sampled_from(tags), max_size=6, unique=True).map(sorted)):
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        vr = draw(st.sampled_from([b"UI", b"LO", b"SQ", b"UN", b"OB", b"CS", b"??"]))
        if vr in (b"SQ", b"UN") and depth < 3:
            inner = draw(elements(explicit and vr == b"SQ", depth + 1))
            undefined = draw(st.booleans())
            end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
            length = 0xFFFFFFFF if undefined else len(inner) + 8
            content = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF if undefined else len(inner)) + inner
            raw += head + (vr + struct.pack("<HL", 0, length) if explicit else struct.pack("<L", length))
            raw += content + (end if undefined else b"")
            continue
        value = draw(st.one_of(st.sampled_from([CT, b"1.2.3\0", b"../../x ", b"4711"]), st.binary(max_size=80)))
        if not explicit:
            raw += head + struct.pack("<L", len(value)) + value
        elif vr in (b"SQ", b"UN", b"OB"):
            raw += head + vr + struct.pack("<HL", 0, len(value)) + value
        else:
            raw += head + vr + struct.pack("<H", len(value)) + value
    return raw


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Make P-DATA-TF PDUs with commands and data sets in fragments."""
    raw = b""
    for _ in range(draw(st.integers(1, 3))):
        context = draw(st.sampled_from([1, 1, 1, 3, 3, 0, 255]))
        sop = draw(st.sampled_from(["1.2.3", "../../x", "", "1.2.4", "é" * 3]))
        order: dict[str, int | str] = {
            "CommandField": draw(st.sampled_from([1, 1, 1, 1, 0x30, 0x20, 0xFFF, 0x8001])),
            "MessageID": draw(st.integers(0, 65535)),
            "CommandDataSetType": draw(st.sampled_from([1, 1, 1, 0x101, 0])),
            "AffectedSOPClassUID": CT.decode().strip("\0"),
            "AffectedSOPInstanceUID": sop,
        }
        data = draw(st.one_of(elements(context == 1), st.binary(max_size=200)))
        for flag, part in ((1, command_set.encode(order)), (0, data)):
            cuts = sorted(draw(st.lists(st.integers(0, len(part)), max_size=3)))
            pieces = [part[a:b] for a, b in zip([0, *cuts], [*cuts, len(part)], strict=True)]
            for number, piece in enumerate(pieces):
                last = 2 if number == len(pieces) - 1 else 0
                value = struct.pack(">LBB", len(piece) + 2, context, flag | last) + piece
                raw += struct.pack(">BxL", P_DATA, len(value)) + value
    return raw + draw(st.sampled_from([b"", struct.pack(">BxLxxxx", 5, 4), struct.pack(">BxLxxxx", 7, 4)]))


@st.composite
def spoilt(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """Change, cut or repeat some bytes."""
    raw = bytearray(draw(source))
    for _ in range(draw(st.integers(0, 4))):
        if not raw:
            break
        at = draw(st.integers(0, len(raw) - 1))
        match draw(st.integers(0, 3)):
            case 0:
                raw[at] = draw(st.integers(0, 255))
            case 1:
                del raw[at : at + draw(st.integers(1, 8))]
            case 2:
                raw[at:at] = draw(st.binary(max_size=8))
            case _:
                raw[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\1", b"\x7f\xff\xff\xff"]))
    return bytes(raw)


def check(raw: bytes, sizes: list[int], root: Path, restrict: bool) -> Host:
    """Let an association take these bytes, and see that it ends as it may."""
    root.mkdir(exist_ok=True)
    wire = Wire(raw, sizes)
    host = Host(root, restrict)
    begun = time.thread_time()
    Unplugged(wire, "fuzz", host).run()  # type: ignore[arg-type]
    assert time.thread_time() - begun < 1
    assert not mistakes, mistakes
    answers = bytes(wire.sent)
    while answers:
        kind, length = struct.unpack_from(">BxL", answers)
        assert kind in (2, 3, P_DATA, RELEASE_RP, ABORT)
        assert len(answers) >= 6 + length
        answers = answers[6 + length :]
    assert not list(root.rglob("*.part"))
    for told in host.told:
        if isinstance(told, dict):
            assert Path(told["path"]).is_relative_to(root)
            Path(told["path"]).unlink(missing_ok=True)
    assert [path.name for path in root.parent.iterdir()] == ["root"]
    return host


SIZES = st.lists(st.integers(1, 70), max_size=5)


@fuzz
@given(raw=st.one_of(spoilt(requests()), st.binary(max_size=300)), sizes=SIZES)
@example(raw=GOOD_REQUEST, sizes=[1])
def test_association_requests(raw: bytes, sizes: list[int], root: Path) -> None:
    """Any association request is accepted, rejected or aborted."""
    check(raw, sizes, root, restrict=False)


@fuzz
@given(raw=spoilt(messages()), sizes=SIZES, restrict=st.booleans())
def test_messages(raw: bytes, sizes: list[int], restrict: bool, root: Path) -> None:
    """Any PDUs after a good association request end in answers or an abort; files lie inside the root."""
    check(GOOD_REQUEST + raw, sizes, root, restrict)


@fuzz
@given(raw=st.data(), explicit=st.booleans(), cuts=st.lists(st.integers(0, 400), max_size=6).map(sorted))
def test_heads(raw: st.DataObject, explicit: bool, cuts: list[int]) -> None:
    """A head reads the same in one go and in pieces, and never beyond its bytes."""
    data = raw.draw(spoilt(elements(explicit)))

    def read(steps: list[int]) -> object:
        head = Head(not explicit, TAGS, LAST_TAG)
        try:
            for step in steps:
                if head.feed(memoryview(data)[:step], step):
                    break
            else:
                head.feed(data, len(data), complete=True)
        except HeadError:
            return "broken"
        assert head.offset <= len(data)
        return {tag: head.text(tag) for tag in TAGS}

    assert read([]) == read([cut for cut in cuts if cut <= len(data)])


@fuzz
@given(raw=st.one_of(spoilt(requests()).map(lambda raw: raw[6:]), st.binary(max_size=300)))
def test_request_parser(raw: bytes) -> None:
    """Any body is a request or a ValueError."""
    with contextlib.suppress(ValueError):
        parse_request(raw)


@fuzz
@given(text=st.text(max_size=300), is_uid=st.booleans())
@example(text="..", is_uid=True)
@example(text="COM²", is_uid=False)
@example(text="a" * 5000, is_uid=False)
def test_path_parts(text: str, is_uid: bool) -> None:
    """Any text becomes one harmless part of a path, the same every time."""
    part = safe_part(text, is_uid=is_uid)
    assert part == safe_part(text, is_uid=is_uid)
    assert 0 < len(part.encode()) <= 200
    assert part not in (".", "..")
    assert not set(part) & set('/\\:*?"<>|\0')
    assert part[0] not in ". "
    assert part[-1] not in ". "
    assert all(character.isprintable() for character in part)
    assert os.path.normpath(part) == part


def test_what_is_announced_is_not_allocated(root: Path) -> None:
    """A peer that announces gigabytes makes us allocate no more than our buffers."""
    wire = GOOD_REQUEST + struct.pack(">BxL", P_DATA, 0xFFFFFFFF) + bytes(1000)
    check(wire, [65536], root, restrict=False)
    tracemalloc.start()
    for announced in (GOOD_REQUEST[:2] + b"\xff" * 4 + GOOD_REQUEST[6:], wire):
        check(announced, [65536], root, restrict=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def stored(sop: str, data: bytes, context: int, cut: int) -> bytes:
    """Return the PDUs of a C-STORE, its data set in two fragments."""
    order = command_set.encode(
        {
            "CommandField": 1,
            "MessageID": 1,
            "CommandDataSetType": 1,
            "AffectedSOPClassUID": CT.decode().strip("\0"),
            "AffectedSOPInstanceUID": sop,
        }
    )
    raw = b""
    for flags, piece in ((3, order), (0, data[:cut]), (2, data[cut:])):
        value = struct.pack(">LBB", len(piece) + 2, context, flags) + piece
        raw += struct.pack(">BxL", P_DATA, len(value)) + value
    return raw


def whole(sop: bytes, explicit: bool) -> bytes:
    """Return a proper data set with a sequence in it."""

    def one(tag: int, vr: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        return head + (vr + struct.pack("<H", len(value)) if explicit else struct.pack("<L", len(value))) + value

    inner = one(0x00081150, b"UI", CT)
    sequence = struct.pack("<HH", 0x0008, 0x1140) + (b"SQ\0\0" if explicit else b"") + b"\xff" * 4
    sequence += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner
    sequence += struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    uids = one(0x0020000D, b"UI", b"1.2.3") + one(0x0020000E, b"UI", b"1.2.3.4")
    begin = one(0x00080016, b"UI", CT) + one(0x00080018, b"UI", sop)
    return begin + sequence + one(0x00100020, b"LO", b"4711") + uids + one(0x00280010, b"US", b"\1\0")


SEEDS = (
    GOOD_REQUEST + stored("1.2.3", whole(b"1.2.3", True), 1, 50) + struct.pack(">BxLxxxx", 5, 4),
    GOOD_REQUEST + stored("1.2.4", whole(b"1.2.4", False), 3, 9) * 2 + struct.pack(">BxLxxxx", 7, 4),
    GOOD_REQUEST,
)


def test_mutations(root: Path) -> None:
    """Proper streams with a few bytes changed, ten times as many as the other inputs, as fast as that goes."""
    root.mkdir(exist_ok=True)
    seed = int(os.environ.get("DICOMOVER_FUZZ_SEED", "0"))
    arrivals = 0
    first_input = int(os.environ.get("DICOMOVER_FUZZ_FIRST", "0"))
    for number in range(first_input, first_input + INPUTS * 10):
        chance = random.Random(f"{seed}-{number}")
        raw = bytearray(chance.choice(SEEDS))
        # Mostly behind the association request, which is dear to parse and has its own test.
        first = 0 if number % 10 == 0 else len(GOOD_REQUEST) % len(raw)
        for _ in range(chance.randrange(4)):
            at = chance.randrange(first, len(raw))
            kind = chance.randrange(4)
            if kind == 0:
                raw[at] = chance.randrange(256)
            elif kind == 1:
                del raw[at : at + chance.randrange(1, 9)]
                if len(raw) <= first:
                    break
            elif kind == 2:
                raw[at:at] = chance.randbytes(chance.randrange(9))
            else:
                raw[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\0\0\0\1", b"\0\1\0\0", b"\x7f\xff\xff\xff"])
        host = Host(root, restrict=number % 20 != 0)
        wire = Wire(bytes(raw), [chance.choice([1 << 16, 1 << 16, 300, 70])])
        begun = time.thread_time()
        Unplugged(wire, "fuzz", host).run()  # type: ignore[arg-type]
        assert time.thread_time() - begun < 1, f"input {seed}-{number} took too long"
        assert not mistakes, f"input {seed}-{number}: {mistakes}"
        arrivals += sum(isinstance(told, dict) for told in host.told)
        if number % 1000 == 999 or number == first_input + INPUTS * 10 - 1:
            assert not list(root.rglob("*.part")), f"before input {seed}-{number}"
            assert [path.name for path in root.parent.iterdir()] == ["root"], f"before input {seed}-{number}"
            shutil.rmtree(root)
            root.mkdir()
    assert arrivals > INPUTS / 4, "hardly anything gets through: the inputs are too broken to test much"

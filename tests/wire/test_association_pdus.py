"""Association PDUs as peers really send them: what we make of them, beside what DCMTK and Orthanc make of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from association_kit import (
    CT,
    EXPLICIT,
    IMPLICIT,
    VARIANTS,
    Outcome,
    acceptance,
    ask,
    good,
    item,
    request,
    user_information,
    variants,
)
from dicomover.errors import AssociationRejected, ProtocolError
from dicomover.wire.association import Association
from dicomover.wire.association_pdus import encode_roles, parse_answer, parse_request
from dicomover.wire.connection import Connection
from peers import free_port, orthanc, retried, start
from peers import need as need_program
from receiver_kit import running
from wire_kit import SHORT, listening

PAIRS = 30
UNREADABLE = {"an item that is too long"}
"""What does not hold together as items."""

OTHER_KINDS = {
    "version 0": (1, 2, 2),
    "version 2": (1, 2, 2),
    "another application context": (1, 1, 2),
    "a private application context": (1, 1, 2),
}
OTHER_TITLES = {"another called title", "called in lower case", "called blank"}
"""Not ours: what we are called is how we know that the images are meant for us."""


def parsed(name: str) -> bytes:
    """Return the body of a variant."""
    return variants(0)[name][6:]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in UNREADABLE])
def test_a_request_is_read_for_what_it_means(name: str) -> None:
    """Whatever is odd about it, the contexts that are in order, the titles and the largest PDU are read."""
    seen = parse_request(parsed(name))
    assert seen.rejection == OTHER_KINDS.get(name)
    contexts = {each.id: each for each in seen.contexts}
    if name != "no presentation context":
        assert contexts[1].abstract_syntax == "1.2.840.10008.1.1"
    if name not in ("no presentation context", "one context alone"):
        assert contexts[3].transfer_syntaxes == (EXPLICIT.decode(), IMPLICIT.decode())
    if not name.startswith(("called", "another called")):
        assert seen.called_ae_title == "THERE"
    if not name.startswith("calling"):
        assert seen.calling_ae_title == "SCRIPTED"
    assert seen.max_pdu == MAXIMA.get(name, 16384)
    assert len(seen.titles) == 32


MAXIMA = {
    "no user information": 0,
    "empty user information": 0,
    "no maximum length": 0,
    "maximum length 0": 0,
    "maximum length 8192": 8192,
    "maximum length 4 GB": 0xFFFFFFFF,
    "a user sub-item that is too long": 0,
}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("calling padded with NUL", "SCRIPTED"),
        ("calling with leading blanks", "SCRIPTED"),
        ("calling ends in NUL and noise", "SCRIPTED"),
        ("calling not ASCII", "\xc4RCHIV"),
        ("calling with a backslash", "AR\\CH"),
        ("calling blank", ""),
        ("calling all NUL", ""),
        ("calling of sixteen letters", "ABCDEFGHIJKLMNOP"),
    ],
)
def test_titles_without_their_padding(name: str, title: str) -> None:
    """An AE title is read without blanks, NUL and what follows a NUL; its letters are its own."""
    assert parse_request(parsed(name)).calling_ae_title == title


@pytest.mark.parametrize(
    ("name", "abstract", "transfer"),
    [
        ("an abstract syntax padded with NUL", CT.decode(), (EXPLICIT.decode(), IMPLICIT.decode())),
        ("an abstract syntax that is no UID", "", (EXPLICIT.decode(), IMPLICIT.decode())),
        ("an abstract syntax in words", "", (EXPLICIT.decode(), IMPLICIT.decode())),
        ("an abstract syntax of 84 characters", "", (EXPLICIT.decode(), IMPLICIT.decode())),
        ("no abstract syntax", "", (EXPLICIT.decode(), IMPLICIT.decode())),
        ("no transfer syntax", CT.decode(), ()),
        ("a transfer syntax that is no UID", CT.decode(), ()),
        ("one transfer syntax of three is no UID", CT.decode(), (IMPLICIT.decode(),)),
        ("a transfer syntax of 84 characters", CT.decode(), (IMPLICIT.decode(),)),
        ("a transfer syntax padded with a blank", CT.decode(), (EXPLICIT.decode(),)),
        ("a context sub-item that is too long", "", ()),
        ("a context without sub-items", "", ()),
    ],
)
def test_what_is_no_uid_is_left_out_of_its_context(name: str, abstract: str, transfer: tuple[str, ...]) -> None:
    """A context whose syntaxes cannot be read has none, so that it is refused and no other."""
    (context,) = [each for each in parse_request(parsed(name)).contexts if each.id == 5]
    assert (context.abstract_syntax, context.transfer_syntaxes) == (abstract, transfer)


def test_an_id_has_one_meaning() -> None:
    """Of two contexts with one id the first one stands, whatever the second one is."""
    parts = good()
    VARIANTS["an even context id"](parts)
    parts["contexts"].append(item(0x20, bytes([4, 0, 0, 0]) + item(0x30, CT) + item(0x40, IMPLICIT)))
    seen = [each.abstract_syntax for each in parse_request(request(parts)[6:]).contexts if each.id == 4]
    assert seen == ["1.2.840.10008.5.1.4.1.1.4"]


@pytest.mark.parametrize(
    "body",
    [b"", bytes(67), parsed("an item that is too long"), parsed("as the Standard has it")[:-1]],
    ids=["nothing", "too short", "an item beyond the end", "cut off"],
)
def test_what_does_not_hold_together(body: bytes) -> None:
    """A request that is cut off, or claims more than there is, cannot be read."""
    with pytest.raises(ValueError, match=r"bytes"):
        parse_request(body)


# --- what others make of the same bytes


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Ask our own receiver for an association in every variant."""
    with running(tmp_path_factory.mktemp("ours"), False, ends_broken=True, ae_title=THERE_TITLE) as run:
        return ask_all(run.port)


THERE_TITLE = "THERE"


def ask_all(port: int, seconds: float = 10.0) -> dict[str, Outcome]:
    """Return what comes of every variant, several at a time."""
    requests = variants(PAIRS)
    with ThreadPoolExecutor(4) as pool:
        return dict(zip(requests, pool.map(lambda raw: ask(port, raw, seconds), requests.values()), strict=True))


def storescp(folder: Path) -> tuple[Callable[[], None], int]:
    """Run DCMTK's Storage SCP, a process for each association."""
    program, found = need_program("storescp"), [0]

    def choose() -> object:
        found[0] = free_port()
        command = [program, "--fork", "-aet", THERE_TITLE, "-od", str(folder), str(found[0])]
        return start(command, found[0], folder / "storescp.log")

    running_program = retried(choose)  # type: ignore[arg-type]
    return running_program.stop, found[0]


def orthanc_alone(folder: Path) -> tuple[Callable[[], None], int]:
    """Run Orthanc with nothing in it."""
    archive = orthanc(folder, [], DicomAet=THERE_TITLE)
    return archive.stop, archive.node.port


@pytest.mark.parametrize("peer", [storescp, orthanc_alone], ids=["storescp", "Orthanc"])
def test_whatever_others_accept_we_accept(
    peer: Callable[[Path], tuple[Callable[[], None], int]], ours: dict[str, Outcome], tmp_path: Path
) -> None:
    """No request, and no context of one, is refused by us that DCMTK or Orthanc takes; titles are another matter."""
    stop, port = peer(tmp_path)
    try:
        theirs = ask_all(port, 2.0)  # what they do not like they answer by silence
    finally:
        stop()
    assert len(theirs) >= 100
    stricter = {}
    for name, outcome in theirs.items():
        mine, ways = ours[name], set(name.split(" + "))
        if ways & OTHER_TITLES and mine[0] == "rejected":
            continue
        if outcome[0] == "accepted":
            lost = mine[0] != "accepted" or {id_ for id_, how in outcome[1].items() if how == 0 and mine[1].get(id_)}
            if lost or not mine[2]:
                stricter[name] = (outcome, mine)
    assert not stricter
    assert sum(outcome[0] == "accepted" for outcome in theirs.values()) >= 50, "nothing was compared"


def test_what_we_reject_is_said_in_the_right_numbers(ours: dict[str, Outcome]) -> None:
    """A foreign protocol version or application context has its own rejection; what is only odd is accepted."""
    for name in VARIANTS:
        if name in OTHER_KINDS:
            assert ours[name] == ("rejected", *OTHER_KINDS[name]), name
        elif name in OTHER_TITLES:
            assert ours[name] == ("rejected", 1, 1, 7), name
        elif name in UNREADABLE:
            assert ours[name] == ("ended",), name
        else:
            assert ours[name][0] == "accepted", name


# --- the other side: what accepts us

ECHO_ONLY = item(0x21, bytes([1, 0, 0, 0]) + item(0x40, EXPLICIT))
ACCEPTANCES = {
    "as the Standard has it": acceptance(ECHO_ONLY),
    "an unknown item": acceptance(ECHO_ONLY, tail=item(0x60, b"vendor")),
    "an unknown user sub-item": acceptance(ECHO_ONLY, user_information(more=item(0x5A, b"vendor"))),
    "an asynchronous window nobody asked for": acceptance(ECHO_ONLY, user_information(more=item(0x53, bytes(4)))),
    "roles that end early": acceptance(ECHO_ONLY, user_information(more=item(0x54, b"\0\x99"))),
    "roles of what is no UID": acceptance(ECHO_ONLY, user_information(more=item(0x54, b"\0\3abc\1\1"))),
    "roles without their second byte": acceptance(ECHO_ONLY, user_information(more=item(0x54, b"\0\0031.2\1"))),
    "no user information": acceptance(ECHO_ONLY, b""),
    "maximum length in 8 bytes": acceptance(ECHO_ONLY, user_information(length=struct.pack(">Q", 16384))),
    "a version name of 40 characters": acceptance(ECHO_ONLY, user_information(version=b"A" * 40)),
    "a version name not ASCII": acceptance(ECHO_ONLY, user_information(version=b"Gr\xf6\xdfe")),
    "an implementation class of 84 characters": acceptance(ECHO_ONLY, user_information(uid=b"1.2." + b"3" * 80)),
    "no application context": acceptance(ECHO_ONLY, application=b""),
    "another application context": acceptance(ECHO_ONLY, application=item(0x10, b"1.2.3")),
    "a refused context with bytes that are no UID": acceptance(
        ECHO_ONLY + item(0x21, bytes([3, 0, 3, 0]) + item(0x40, b"\xff\xfe\0"))
    ),
    "a refused context without a transfer syntax": acceptance(ECHO_ONLY + item(0x21, bytes([3, 0, 4, 0]))),
    "an accepted context with bytes that are no UID": acceptance(
        ECHO_ONLY + item(0x21, bytes([3, 0, 0, 0]) + item(0x40, b"\xff\xfe\0"))
    ),
    "an accepted context in a syntax that we did not propose": acceptance(
        ECHO_ONLY + item(0x21, bytes([3, 0, 0, 0]) + item(0x40, b"1.2.840.10008.1.2.4.50"))
    ),
    "a context that we did not propose": acceptance(
        ECHO_ONLY + item(0x21, bytes([99, 0, 0, 0]) + item(0x40, EXPLICIT))
    ),
    "a transfer syntax padded with NUL": acceptance(item(0x21, bytes([1, 0, 0, 0]) + item(0x40, EXPLICIT + b"\0"))),
    "a context with its reserved bytes set": acceptance(item(0x21, bytes([1, 7, 0, 7]) + item(0x40, EXPLICIT))),
    "two bytes more than its items": acceptance(ECHO_ONLY, tail=bytes(2)),
}


@pytest.mark.parametrize("name", ACCEPTANCES)
def test_an_acceptance_is_read_for_what_it_means(name: str) -> None:
    """Whatever is odd about it, what was accepted is known, a context that is not in order is refused alone."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(ACCEPTANCES[name])
        connection.read_pdu()

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        association.open()
        try:
            assert [each.abstract_syntax for each in association._wire.contexts.values()] == ["1.2.840.10008.1.1"]
            assert association._wire.contexts[1].transfer_syntaxes == (EXPLICIT.decode(),)
            assert association._wire.peer_max_pdu == 16384
        finally:
            association.release()


def test_a_peer_that_says_nothing_is_sent_small_pdus() -> None:
    """A peer without a maximum length is sent what everybody takes; one without limit more, but not without end."""
    said = parse_answer(acceptance(ECHO_ONLY, b"")[6:])
    assert said.max_pdu is None
    assert parse_answer(acceptance(ECHO_ONLY, user_information(length=bytes(4)))[6:]).max_pdu == 0


def test_roles_of_both_sides() -> None:
    """The roles for each SOP Class are read as they were written; what is cut, or names no UID, is none."""
    roles = {CT.decode(): (False, True), "1.2.840.10008.5.1.4.1.1.4": (True, True)}
    bad = item(0x54, b"\0\x03x.y\1\1") + item(0x54, b"\0\x031.2\1") + item(0x54, b"")
    user = user_information(more=bad + encode_roles(roles))
    assert parse_request(request({**good(), "user": user})[6:]).roles == roles
    assert parse_answer(acceptance(ECHO_ONLY, user)[6:]).roles == roles
    assert parse_request(request(good())[6:]).roles == parse_answer(acceptance(ECHO_ONLY)[6:]).roles == {}


@pytest.mark.parametrize(
    ("raw", "numbers"), [(b"\0\x02\x03\x02", (2, 3, 2)), (b"\0\x01", (1, 0, 0)), (bytes(9), (0, 0, 0))]
)
def test_a_rejection_of_any_length(raw: bytes, numbers: tuple[int, int, int]) -> None:
    """A rejection that is too short or too long is a rejection."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(struct.pack(">BxL", 3, len(raw)) + raw)

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        with pytest.raises(AssociationRejected) as caught:
            association.open()
        association.release()
    assert (caught.value.result, caught.value.source, caught.value.reason) == numbers


@settings(max_examples=300)
@given(st.data())
def test_any_damage_is_read_or_a_value_error(data: st.DataObject) -> None:
    """An acceptance with wrong bytes is another acceptance or a ValueError, and nothing else."""
    damaged = bytearray(ACCEPTANCES[data.draw(st.sampled_from(sorted(ACCEPTANCES)))][6:])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    try:
        answer = parse_answer(damaged)
    except ValueError:
        return
    assert all(0 <= id_ <= 255 for id_ in (*answer.accepted, *answer.refused))


def test_what_is_no_acceptance_is_aborted() -> None:
    """An acceptance that does not hold together is a protocol error that says what is wrong with it."""

    def serve(connection: Connection) -> None:
        connection.read_pdu()
        connection.send(acceptance(ECHO_ONLY, tail=struct.pack(">BxH", 0x60, 4000)))
        assert connection.read_pdu()[0] == 7

    with listening(serve) as node:
        association = Association(node, "TESTER", SHORT)
        with pytest.raises(ProtocolError, match="an item of type 0x60 and 4000 bytes"):
            association.open()
        association.release()

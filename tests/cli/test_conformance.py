"""The conformance statement says, line by line, what goes over the network."""

from __future__ import annotations

import inspect
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from cli_kit import Shell
from dicomover import TLS, AssociationRejected, Identity, Mover, Node, NodeError, Quirks, Timeouts
from dicomover.attributes.registry import REGISTERED
from dicomover.cli.conformance import ACTIVITIES, CALLING, STORED, make_statement, storage_classes, transfer_syntaxes
from dicomover.query.classes import pair_up
from dicomover.receiver import Receiver
from dicomover.receiver.scp import statuses
from dicomover.security.tls import client_context
from dicomover.wire import command_set as cs
from dicomover.wire.association_pdus import AssociationRequest
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Context, Message
from dicomover.wire.negotiation import encode_reject, parse_request
from peers import ONCE
from receiver_kit import CT, Run, data_set, running
from wire_kit import answer, counts, peer

PAGE = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
UID = re.compile(r"\d+(?:\.\d+){4,}")
IMPLICIT = "1.2.840.10008.1.2"


def table(heading: str, head: str) -> list[list[str]]:
    """Return the rows of the first table below a line that begins in one way, whose first column has a title."""
    after = PAGE[PAGE.index(heading) :]
    lines = after[after.index(f"| {head} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# --- what we ask for


def requested(activity: Callable[[Node], object]) -> tuple[AssociationRequest, bytes]:
    """Return the association request that an activity sends, which is rejected."""
    found: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def accept() -> None:
            sock, _ = server.accept()
            with sock:
                head = sock.recv(6, socket.MSG_WAITALL)
                found.append(sock.recv(struct.unpack(">BxL", head)[1], socket.MSG_WAITALL))
                sock.sendall(encode_reject(1, 1, 1))
                sock.recv(1)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        node = Node("127.0.0.1", server.getsockname()[1], ae_title="ARCHIVE")
        with pytest.raises(NodeError):
            activity(node)
        thread.join(20)
    return parse_request(memoryview(found[0])), found[0]


@pytest.mark.parametrize(
    ("activity", "act"),
    [
        ("echo", lambda mover: mover.echo()),
        ("find", lambda mover: mover.find({"PatientID": "1"})),
        ("move", lambda mover: mover.move({"StudyInstanceUID": "1.2.3"})),
        ("move, via C-GET", lambda mover: mover.move({"StudyInstanceUID": "1.2.3"})),
        (
            "move, headers only via C-GET",
            lambda mover: mover.move({"StudyInstanceUID": "1.2.3"}, headers_only=True),
        ),
    ],
)
def test_what_is_proposed(activity: str, act: Callable[[Mover], object], tmp_path: Path) -> None:
    """Each presentation context, its transfer syntaxes in their order, the roles, and who we say that we are."""
    how: dict[str, Any] = {"receive": tmp_path, "via": "get"} if "GET" in activity else {"destination": "WORKSTATION"}
    request, raw = requested(lambda node: act(Mover(node, progress="none", **how, **ONCE)))
    rows = table(f"Presentation contexts for `{activity}`", "id")
    proposed = [(str(item.id), item.abstract_syntax, list(item.transfer_syntaxes)) for item in request.contexts]
    assert proposed == [(row[0], UID.findall(row[1])[-1], UID.findall(row[2])) for row in rows]
    assert {row[3] for row in rows} == {"SCU"}
    assert request.roles == {}
    said = dict(table("### 5.1", "parameter"))
    assert said["maximum length of a P-DATA-TF PDU"] == f"{request.max_pdu:,} bytes"
    assert said["implementation version name"] == request.implementation
    for name in ("implementation class UID", "application context"):
        assert said[name].encode() in raw
    user = raw[raw.index(said["implementation class UID"].encode()) - 12 :]
    assert {0x53, 0x56, 0x57, 0x58} & {kind for kind, _ in _sub_items(user)} == set()
    assert CALLING.items() <= said.items()


def _sub_items(raw: bytes) -> Iterator[tuple[int, bytes]]:
    while len(raw) >= 4:
        kind, length = struct.unpack_from(">BxH", raw)
        yield kind, raw[4 : 4 + length]
        raw = raw[4 + length :]


@pytest.mark.parametrize("roles", ["scp", "both"])
def test_what_is_proposed_for_the_images_of_a_c_get(tmp_path: Path, roles: Any) -> None:
    """A context for each pair, after those of C-GET, and the role for each SOP Class."""
    groups = {row[0]: UID.findall(row[1]) for row in table("### 5.1", "group")}
    annex = {row[1]: row[2] for row in table("## 7. Annex", "SOP Class")}
    assert {uid: groups[group] for uid, group in annex.items()} == {
        uid: [syntax for _, syntax in pair_up([uid])] for uid in storage_classes()
    }
    classes = [next(uid for uid, its in annex.items() if its == group) for group in groups]
    pairs = [(uid, syntax) for uid in classes for syntax in groups[annex[uid]]]

    def get(node: Node) -> None:
        asking = replace(node, quirks=Quirks(roles=roles))
        retriever = receiver.retriever(asking, "MOVESCU", Timeouts(), pairs)
        try:
            retriever.open()
        finally:
            retriever.release()

    receiver = Receiver(tmp_path, ae_title="MOVESCU", on_event=lambda _: None, own_process=False, listens=False)
    receiver.start()
    try:
        request, _ = requested(get)
    finally:
        receiver.stop()
    services, images = request.contexts[:2], request.contexts[2:]
    assert [item.abstract_syntax for item in services] == [
        UID.findall(row[1])[-1] for row in table("contexts for `move, via C-GET`", "id") if "C-GET" in row[1]
    ]
    assert [(item.abstract_syntax, *item.transfer_syntaxes) for item in images] == pairs
    assert request.roles == dict.fromkeys(classes, (roles == "both", True))


def test_the_services_of_the_overview_are_those_that_are_proposed() -> None:
    """No more and no less: what any activity proposes, and C-STORE and C-ECHO as those that are accepted."""
    rows = table("### Network services", "service")
    asked = {uid for row in rows for uid in UID.findall(row[1])}
    proposed = {UID.findall(row[1])[-1] for name in ACTIVITIES for row in table(f"contexts for `{name}`", "id")}
    assert asked == proposed
    assert [row[0] for row in rows if row[3] == "yes"] == ["C-ECHO", "C-STORE"]


def code_of(words: str) -> int:
    """Return the status that a row is about, or one that stands for many."""
    code = words[2:6] if words.startswith("0x") else "0999"
    return int({"A7xx": "A7FE", "Cxxx": "C001"}.get(code, code), 16)


@pytest.mark.parametrize("moved", [0, 1])
def test_what_becomes_of_each_status(moved: int) -> None:
    """A row ends as the table of the final statuses says, whether something has moved or nothing."""
    rows = table("### 4.2", "final status of C-MOVE")
    codes = [code_of(row[0]) for row in rows]
    assert len(codes) == len(set(codes)) > 15
    left = list(codes)

    def script(connection: Connection, message: Message) -> None:
        if message.command["CommandField"] == cs.C_MOVE_RQ:
            answer(connection, message, left.pop(0), **counts(moved))

    with peer(script) as node:
        requests = [{"StudyInstanceUID": f"1.2.{number}"} for number in range(len(codes))]
        mover = Mover(node, destination="WORKSTATION", progress="none", retry="none", verify="none", associations=1)
        # One by one: a status that ends a batch says nothing of the others.
        statuses = [str(mover.move(request).status[0]) for request in requests]
    assert statuses == [row[1 + moved].strip("`") for row in rows]


# --- what we accept


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run a receiver that takes whatever comes."""
    with running(tmp_path_factory.mktemp("in"), False) as run:
        yield run


def accepted(receiver: Run, pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those pairs of abstract and transfer syntax of which the receiver accepts a context."""
    found = set()
    for start in range(0, len(pairs), 120):
        part = enumerate(pairs[start : start + 120])
        contexts = tuple(Context(2 * place + 1, uid, (syntax,)) for place, (uid, syntax) in part)
        with receiver.peer(contexts=contexts) as calling:
            taken = calling.connection.contexts.values()
            found |= {(item.abstract_syntax, item.transfer_syntaxes[0]) for item in taken}
            calling.release()
    return found


def test_the_transfer_syntaxes_that_are_accepted(receiver: Run) -> None:
    """Each of the overview, and no other that DICOM has."""
    known = [uid for uid, entry in REGISTERED.items() if entry[1] == "Transfer Syntax"]
    told = [row[1] for row in table("### Transfer syntaxes", "transfer syntax")]
    assert {syntax for _, syntax in accepted(receiver, [(CT, uid) for uid in known])} == set(told)
    assert told == transfer_syntaxes()


def test_the_storage_classes_that_are_accepted(receiver: Run) -> None:
    """Each of the annex, Verification and private ones; of the others that DICOM has, none."""
    known = [uid for uid, entry in REGISTERED.items() if "SOP Class" in entry[1]]
    private = ["1.2.3.4.5.6", "1.2.840.10008.5.1.4.1.1.9999"]
    told = {row[1] for row in table("## 7. Annex", "SOP Class")}
    taken = {uid for uid, _ in accepted(receiver, [(uid, IMPLICIT) for uid in [*known, *private]])}
    assert taken == told | {"1.2.840.10008.1.1", *private}
    assert told == set(storage_classes())


def test_what_an_acceptance_says(receiver: Run) -> None:
    """The largest PDU is that of the table."""
    said = dict(table("### 5.2", "parameter"))
    with receiver.peer() as calling:
        assert said["maximum length of a P-DATA-TF PDU"] == f"{calling.connection.peer_max_pdu:,} bytes"
        calling.release()
    assert said["associations at a time"] == str(inspect.signature(Receiver).parameters["max_associations"].default)


def test_rejections(tmp_path: Path) -> None:
    """Whoever is turned away gets the answer of the table."""
    told = [tuple(map(int, row[0].split()[0].split("/"))) for row in table("### 5.2", "A-ASSOCIATE-RJ")]
    got = []
    with running(tmp_path, False, calling_ae_titles=["YOU"], max_associations=1, ends_broken=True) as run:
        for how in ({"called": "OTHER"}, {"calling": "ELSE"}):
            with pytest.raises(AssociationRejected) as caught:
                run.peer(**how)
            got.append((caught.value.result, caught.value.source, caught.value.reason))
        with run.peer() as first:
            assert first.store("1.2.3.4") == 0
            with pytest.raises(AssociationRejected) as caught:
                run.peer()
            got.append((caught.value.result, caught.value.source, caught.value.reason))
            first.release()
    assert got == told


def test_statuses_of_our_storage(receiver: Run) -> None:
    """Those that the code has are all told, and come where the table says."""
    known = {value for name in statuses.__all__ if isinstance(value := getattr(statuses, name), int)}
    assert {int(row[0], 16) for row in table("### 4.3", "status")} == set(STORED) == known | {0x0211}
    with receiver.peer() as calling:
        assert calling.store("1.2.3.1") == statuses.SUCCESS
        assert calling.store("1.2.3.2", data_set("1.2.3.99")) == statuses.DOES_NOT_MATCH
        assert calling.store("1.2.3.3", data_set("1.2.3.3")[:-7]) == statuses.CANNOT_UNDERSTAND
        assert calling.store("1.2.3.4", CommandField=cs.C_FIND_RQ) == 0x0211
        calling.release()


# --- the rest


def test_security() -> None:
    """Versions of TLS and types of identity are those that the code has."""
    said = dict(table("### Security", "what"))
    assert said["TLS"].startswith("1.2 and 1.3")
    assert client_context(TLS()).minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(TLS()).verify_mode is ssl.CERT_REQUIRED
    types = get_args(get_type_hints(Identity)["kind"])
    assert re.findall(r"\d", said["user identity"]) == [str(each) for each in types]
    assert [int(each) for each in re.findall(r"\b(\d) \(", PAGE[PAGE.index("**User identity.**") :])] == list(types)


def test_it_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The command prints what the page has, or writes it to a file."""
    ran = Shell(capsys)("conformance")
    assert ran.code == 0
    assert Shell(capsys)("conformance", "--output", tmp_path / "it.md").out == ""
    assert (tmp_path / "it.md").read_text(encoding="utf-8") == ran.out
    assert make_statement() in ran.out
    assert make_statement() in PAGE

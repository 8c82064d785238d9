"""A scripted archive and Storage SCU on raw sockets, each PDU of which may be spoilt on its way to us.

Nothing of ours speaks for the peer: what it says is encoded here. A `Spoiler` stands between what it means to say on
one connection and what goes over it; all chance comes from one seed.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from receiver_kit import data_set

__all__ = ["CANARY", "FOREIGN_SOP", "Archive", "Chest", "Plan", "make_chest"]

CANARY = "CANARY^SECRET"
"""The patient of every image: it may stand in no row, and in no log."""

IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"
CT = b"1.2.840.10008.5.1.4.1.1.2"
SUCCESS, PENDING, PARTLY, CANCELLED = 0x0000, 0xFF00, 0xB000, 0xFE00
Elements = list[tuple[int, bytes]]

_ACCESSION, _LEVEL, _MODALITIES, _MODALITY = 0x00080050, 0x00080052, 0x00080061, 0x00080060
_PATIENT, _STUDY, _SERIES, _SOP = 0x00100020, 0x0020000D, 0x0020000E, 0x00080018
_SERIES_IN_STUDY, _IN_STUDY, _IN_SERIES = 0x00201206, 0x00201208, 0x00201209
_FAILED = 0x00080058


FOREIGN_SOP = "1.2.999.1.1.1"
FOREIGN = data_set(FOREIGN_SOP, study="1.2.999.1", series="1.2.999.1.1", patient="SOMEBODY^ELSE")


class Over(Exception):
    """The connection is over, for whatever reason."""


# --- what an archive has


@dataclass(frozen=True)
class Chest:
    """One study: its keys, and each image by its SOP Instance UID with its series and its bytes."""

    accession: str
    study: str
    images: dict[str, tuple[str, bytes]]

    def select(self, series: str, sops: list[str]) -> list[str]:
        """Return the images of a series, or those that are named; all if nothing is asked for."""
        inside = [sop for sop, (home, _) in self.images.items() if series in ("", home)]
        return [sop for sop in inside if not sops or sop in sops]


def make_chest(chance: Random, number: int) -> Chest:
    """Make a study of one to three series, each of a few images."""
    study = f"1.2.826.0.1.{number}.{chance.randrange(1, 9)}"
    images = {}
    for one in range(1, chance.choice([1, 1, 2, 3]) + 1):
        series = f"{study}.{one}"
        for each in range(1, chance.choice([1, 2, 3, 5]) + 1):
            sop, size = f"{series}.{each}", chance.choice([10, 400, 3000])
            pixels = chance.randbytes(2 * size)
            images[sop] = series, data_set(sop, study=study, series=series, patient=CANARY, pixels=pixels)
    return Chest(f"A{number}", study, images)


# --- what is spoilt


@dataclass
class Plan:
    """How much of one conversation is spoilt: of what the archive answers, and of what it sends to our receiver."""

    asked: float = 0.0
    stored: float = 0.0
    optional: float = 0.0  # the same of optional elements alone, which may cost nothing
    silence: float = 0.6  # seconds of the longest delay
    patience: float = 1.5  # seconds for which the archive waits for us


class Spoiler:
    """Stands between a peer and its socket, and now and then spoils what goes through.

    Attributes
    ----------
    touched
        Whether it has, on this connection.
    """

    def __init__(self, sock: socket.socket, chance: Random, rate: float, silence: float) -> None:
        self._sock, self.chance, self._rate, self._silence = sock, chance, rate, silence
        self._held: bytes = b""
        self._is_mute = False
        self.touched = False

    def choose_size(self) -> int:
        """Return how many bytes of a data set go into a PDU."""
        return self.chance.choice([1500, 1500, 16000, 100])

    def strikes(self, share: float = 1.0) -> bool:
        """Tell whether to spoil something now."""
        struck = self.chance.random() < self._rate * share
        self.touched = self.touched or struck
        return struck

    def send(self, raw: bytes) -> None:
        """Send one PDU, or what becomes of it."""
        pieces = self._spoil(raw) if self.strikes() else [raw]
        if self._held:
            pieces, self._held = [*pieces, self._held], b""
        if self._is_mute:
            return
        try:
            for piece in pieces:
                self._sock.sendall(piece)
        except OSError as error:
            raise Over from error

    def _spoil(self, raw: bytes) -> list[bytes]:
        chance = self.chance
        match chance.randrange(16):
            case 0 | 1 | 2 | 3:
                return [self.mutate(raw)]
            case 4:
                return [raw[: chance.randrange(len(raw))]]  # cut, and the next one follows
            case 5:
                with contextlib.suppress(OSError):
                    self._sock.sendall(raw[: chance.randrange(len(raw) + 1)])
                raise Over
            case 6:
                return []
            case 7:
                return [raw, raw]
            case 8 | 9:
                self._held = raw  # goes out behind the next one
                return []
            case 10:
                time.sleep(chance.uniform(0, self._silence / 4))
                return [raw]
            case 11:
                time.sleep(chance.uniform(0, self._silence))
                return [raw]
            case 12:
                self._is_mute = True
                return []
            case 13:
                kind = chance.choice([0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 255])
                body = chance.randbytes(chance.choice([0, 4, 4, 10, 80]))
                junk = struct.pack(">BxL", kind, len(body)) + body
                return chance.choice([[junk, raw], [raw, junk], [junk]])
            case 14:
                cut = chance.randrange(len(raw))
                with contextlib.suppress(OSError):
                    self._sock.sendall(raw[:cut])
                time.sleep(chance.uniform(0, self._silence / 4))
                return [raw[cut:]]
            case _:
                return [pdu(7, bytes((0, 0, chance.choice([0, 2]), chance.randrange(8))))]

    def mutate(self, raw: bytes) -> bytes:
        """Change, leave out or put in a few bytes."""
        chance, found = self.chance, bytearray(raw)
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            if not found:
                break
            at = chance.randrange(len(found))
            match chance.randrange(5):
                case 0:
                    found[at] = chance.randrange(256)
                case 1:
                    found[at] ^= 1 << chance.randrange(8)
                case 2:
                    del found[at : at + chance.randrange(1, 9)]
                case 3:
                    found[at:at] = chance.randbytes(chance.randrange(1, 9))
                case _:
                    found[at : at + 4] = chance.choice([b"\xff" * 4, bytes(4), b"\0\0\0\1", b"\x7f\xff\xff\xff"])
        return bytes(found)

    def encode(self, elements: Elements, group_length: bool = False) -> bytes:
        """Encode elements in Implicit VR Little Endian; one may be spoilt, and still ends where it says."""
        told = [(tag, value + b"\0" * (len(value) % 2)) for tag, value in elements]
        if told and self.strikes(0.7):
            at = self.chance.randrange(len(told))
            tag, value = told[at]
            match self.chance.randrange(6):
                case 0:
                    del told[at]
                case 1:
                    told.insert(at, told[at])
                case 2:
                    told[at] = tag, self._other_value(value)
                case 3:
                    told[at] = tag, self._other_value(value)
                case 4:
                    told.insert(self.chance.randrange(len(told) + 1), (self.chance.choice(_STRANGE), b"\1\0"))
                case _:
                    self.chance.shuffle(told)
        raw = b"".join(struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value for tag, value in told)
        return struct.pack("<HHLL", 0, 0, 4, len(raw)) + raw if group_length else raw

    def spoil_optional(self, elements: Elements) -> Elements:
        """Replace the values of elements that nobody needs, leave some out, and put some in."""
        strange = [(tag, self._other_value(b"\1\0")) for tag in _STRANGE if tag >> 16 == 0 and tag & 0xFF00 != 0x1000]
        told = [*elements, *self.chance.sample(strange, self.chance.randrange(len(strange)))]
        found = [(tag, self._other_value(value) if self.chance.random() < 0.5 else value) for tag, value in told]
        return sorted(each for each in found if self.chance.random() < 0.8)

    def encode_items(self, items: list[tuple[int, bytes]]) -> bytes:
        """Encode the items of an association PDU; one of them may be spoilt, and still ends where it says."""
        told = list(items)
        if self.strikes(0.7):
            at = self.chance.randrange(len(told))
            kind, body = told[at]
            match self.chance.randrange(5):
                case 0:
                    del told[at]
                case 1:
                    told.insert(at, told[at])
                case 2:
                    told[at] = kind, self.mutate(body)
                case 3:
                    strange = self.chance.choice([0, 0x10, 0x20, 0x21, 0x50, 0x5A, 0xFF]), self.chance.randbytes(9)
                    told.insert(self.chance.randrange(len(told) + 1), strange)
                case _:
                    self.chance.shuffle(told)
        return b"".join(item(kind, body) for kind, body in told)

    def _other_value(self, value: bytes) -> bytes:
        chance = self.chance
        return chance.choice(
            [
                b"",
                b"\0\0",
                b"\xff\xff",
                bytes(4),
                chance.randbytes(2),
                chance.randbytes(2 * chance.randrange(40)),
                value + b"\\" + value + b"\\"[: 1 - len(value) * 2 % 2],
                value * 2,
                b"\xe9\xff\xfe\\ \\",
                b"9" * chance.choice([64, 66, 70000]),
                b"1.2.840.10008.5.1.4.1.2.2.2\0",
                b"../../../../tmp/x ",
            ]
        )


_STATUSES = (
    0,
    1,
    0x0107,
    0x0110,
    0x0122,
    0x0211,
    0xA700,
    0xA702,
    0xA801,
    0xA900,
    0xB000,
    0xC000,
    0xFE00,
    0xFF00,
    0xFF01,
)
_STRANGE = (0x00000901, 0x00000902, 0x00000903, 0x00001021, 0x00001023, 0x00080005, 0x00080058, 0x00091010, 0xFFFEE000)


# --- PDUs and messages


def pdu(kind: int, body: bytes) -> bytes:
    """Encode a PDU."""
    return struct.pack(">BxL", kind, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """Encode an item of an association PDU."""
    return struct.pack(">BxH", kind, len(body)) + body


def text(value: str) -> bytes:
    """Encode a text value."""
    return value.encode("ascii")


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    found = bytearray()
    while len(found) < size:
        try:
            piece = sock.recv(size - len(found))
        except OSError as error:
            raise Over from error
        if not piece:
            raise Over
        found += piece
    return bytes(found)


def read_pdu(sock: socket.socket) -> tuple[int, bytes]:
    """Read a PDU."""
    kind, size = struct.unpack(">BxL", read_exactly(sock, 6))
    if size > 1 << 20:
        raise Over
    return kind, read_exactly(sock, size)


def split_items(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the items of an association PDU."""
    while len(raw) >= 4:
        kind, size = struct.unpack_from(">BxH", raw)
        yield kind, raw[4 : 4 + size]
        raw = raw[4 + size :]


def split_elements(raw: bytes) -> dict[int, bytes]:
    """Return the elements of an Implicit VR Little Endian data set without sequences."""
    found = {}
    while len(raw) >= 8:
        group, element, size = struct.unpack_from("<HHL", raw)
        found[group << 16 | element] = raw[8 : 8 + size]
        raw = raw[8 + size :]
    return found


def number_of(command: dict[int, bytes], tag: int) -> int:
    """Return a number of a command set, 0 where there is none."""
    return int.from_bytes(command.get(tag, b""), "little")


@dataclass
class Message:
    """What we were asked: the presentation context, the command set and the identifier."""

    context: int
    command: dict[int, bytes] = field(default_factory=dict)
    identifier: dict[int, bytes] = field(default_factory=dict)

    def named(self, tag: int) -> str:
        """Return a text of the identifier."""
        return self.identifier.get(tag, b"").decode("ascii", "replace").strip("\0 ")


def read_message(sock: socket.socket) -> Message | None:
    """Read a message; None when the association is released."""
    parts: dict[int, bytearray] = {1: bytearray(), 0: bytearray()}
    context, expects = 0, 1
    while True:
        kind, body = read_pdu(sock)
        if kind == 5:
            return None
        if kind != 4:
            raise Over
        while body:
            size, context, flags = struct.unpack_from(">LBB", body)
            parts[flags & 1] += body[6 : 4 + size]
            body = body[4 + size :]
            if not flags & 2:
                continue
            command = split_elements(bytes(parts[1]))
            if flags & 1 and number_of(command, 0x00000800) != 0x0101:
                expects = 0
            elif flags & 1 == (expects & 1):
                return Message(context, command, split_elements(bytes(parts[0])))


# --- the archive


class Archive:
    """Answers C-ECHO, C-FIND and C-MOVE over raw sockets, and sends what is asked for to a port.

    Attributes
    ----------
    chests
        What it has.
    destination
        The port to which it sends; None if a third party receives, which it only claims.
    altered
        The SOP Instance UIDs of which something was spoilt while they were sent.
    answers_altered
        Whether something was spoilt of what it said on our associations.
    refused
        The studies of which it was refused an image, an association or a connection.
    """

    def __init__(self, seed: str, chests: list[Chest], plan: Plan) -> None:
        self._seed, self.chests, self.plan = seed, chests, plan
        self.destination: int | None = None
        self.refused: set[str] = set()
        self.altered: set[str] = set()
        self.answers_altered = plan.optional > 0
        self.accepted = 0
        self._number = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self._begin(self._listen)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for sock in left:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive(), "the archive of the test hangs"

    def _begin(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="scripted archive")
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._begin(self._serve, self._listener.accept()[0])

    @contextlib.contextmanager
    def _kept(self, sock: socket.socket) -> Iterator[None]:
        sock.settimeout(self.plan.patience * 4)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    def _spoiler(self, sock: socket.socket, rate: float) -> Spoiler:
        with self._lock:
            self._number += 1
            chance = Random(f"{self._seed}-{self._number}")
        return Spoiler(sock, chance, rate, self.plan.silence)

    def _serve(self, sock: socket.socket) -> None:
        with self._kept(sock), contextlib.suppress(Over, struct.error):
            spoiler = self._spoiler(sock, self.plan.asked)
            try:
                self._answer(sock, spoiler)
            finally:
                self.answers_altered = self.answers_altered or spoiler.touched

    def _answer(self, sock: socket.socket, spoiler: Spoiler) -> None:
        _, request = read_pdu(sock)
        self._say(spoiler, pdu(2, accept(request, spoiler)))
        self.accepted += 1
        while (message := read_message(sock)) is not None:
            match number_of(message.command, 0x00000100):
                case 0x0030:
                    self._respond(spoiler, message, SUCCESS)
                case 0x0020:
                    self._find(spoiler, message)
                case 0x0021:
                    self._move(sock, spoiler, message)
        self._say(spoiler, pdu(6, bytes(4)))
        with contextlib.suppress(Over):
            read_exactly(sock, 1)

    def _say(self, spoiler: Spoiler, raw: bytes) -> None:
        try:
            spoiler.send(raw)
        finally:
            self.answers_altered = self.answers_altered or spoiler.touched

    def _respond(
        self,
        spoiler: Spoiler,
        message: Message,
        status: int,
        data: Elements | None = None,
        counts: Elements | None = None,
    ) -> None:
        announced = data is not None
        if spoiler.strikes(0.3):
            chance = spoiler.chance
            match chance.randrange(7):
                case 0:
                    announced = not announced
                case 1:
                    status = chance.choice(_STATUSES)
                case 2:
                    counts = []
                case 3:
                    counts = [
                        (
                            tag,
                            chance.choice([struct.pack("<H", chance.choice([0, 1, 3, 0xFFFF])), bytes(4), b"\1\0\0\0"]),
                        )
                        for tag in (0x00001020, 0x00001021, 0x00001022, 0x00001023)
                    ]
                case 4:
                    data = [(_FAILED, b"\\".join([text(self.chests[0].study)] * chance.choice([1, 2, 10_000])))]
                case 5:
                    self._respond(spoiler, message, status, data, counts)
                case _:
                    data = [(_LEVEL, b""), (_STUDY, text(f"1.2.{chance.randrange(9)}")), (_IN_STUDY, b"1 ")]
        counts, sop_class = counts or [], [(0x00000002, message.command.get(0x00000002, b""))]
        if spoiler.chance.random() < self.plan.optional:
            sop_class = spoiler.spoil_optional(sop_class)
            counts = spoiler.spoil_optional([*counts, (0x00000901, b"\x08\0\x50\0"), (0x00000902, b"why")])
        command: Elements = [
            *sop_class,
            (0x00000100, struct.pack("<H", number_of(message.command, 0x00000100) | 0x8000)),
            (0x00000120, message.command.get(0x00000110, b"")),
            (0x00000800, struct.pack("<H", 1 if announced else 0x0101)),
            (0x00000900, struct.pack("<H", status)),
            *counts,
        ]
        parts = [(1, spoiler.encode(command, group_length=True))]
        if data is not None:
            parts.append((0, spoiler.encode(data)))
        size = spoiler.choose_size()
        values = []
        for flag, raw in parts:
            pieces = [raw[start : start + size] for start in range(0, len(raw), size)] or [b""]
            for at, piece in enumerate(pieces):
                last = 2 if at == len(pieces) - 1 else 0
                values.append(struct.pack(">LBB", len(piece) + 2, message.context, flag | last) + piece)
        for raw in [b"".join(values)] if spoiler.chance.random() < 0.3 and len(values) < 9 else values:
            self._say(spoiler, pdu(4, raw))

    # --- C-FIND

    def _find(self, spoiler: Spoiler, message: Message) -> None:
        level = message.named(_LEVEL)
        for chest in self.chests:
            if message.named(_ACCESSION) not in ("", chest.accession):
                continue
            if message.named(_STUDY) and chest.study not in message.named(_STUDY).split("\\"):
                continue
            sops = message.named(_SOP).split("\\") if message.named(_SOP) else []
            there = chest.select(message.named(_SERIES), sops)
            for found in self._matches(level, chest, there):
                asked = {tag: found.get(tag, b"") for tag in message.identifier}
                self._respond(spoiler, message, PENDING, sorted({**asked, _LEVEL: text(level)}.items()))
        self._respond(spoiler, message, SUCCESS)

    def _matches(self, level: str, chest: Chest, there: list[str]) -> Iterator[dict[int, bytes]]:
        homes = {sop: chest.images[sop][0] for sop in there}
        series = list(dict.fromkeys(homes.values()))
        known = {_PATIENT: text(CANARY), _STUDY: text(chest.study), _ACCESSION: text(chest.accession)}
        known |= {_MODALITIES: b"CT", _MODALITY: b"CT"}
        match level:
            case "STUDY" if there:
                counts = {_IN_STUDY: text(str(len(there))), _SERIES_IN_STUDY: text(str(len(series)))}
                yield {**known, **counts}
            case "SERIES":
                for uid in series:
                    count = sum(home == uid for home in homes.values())
                    yield {**known, _SERIES: text(uid), _IN_SERIES: text(str(count))}
            case "IMAGE":
                for sop, uid in homes.items():
                    yield {**known, _SERIES: text(uid), _SOP: text(sop)}

    # --- C-MOVE

    def _move(self, sock: socket.socket, spoiler: Spoiler, message: Message) -> None:
        sops = message.named(_SOP).split("\\") if message.named(_SOP) else []
        studies = message.named(_STUDY).split("\\")
        queue = [
            (chest, sop)
            for chest in self.chests
            if chest.study in studies
            for sop in chest.select(message.named(_SERIES), sops)
        ]
        done, failed = 0, []
        origin = message.command.get(0x00000110, b"")
        for at, worked in enumerate(self._send_all(queue, origin)):
            done, failed = done + worked, failed if worked else [*failed, queue[at][1]]
            counts = counters(len(queue) - at - 1, done, len(failed))
            self._respond(spoiler, message, PENDING, counts=counts)
        status = SUCCESS if not failed else PARTLY if done else 0xA702
        listed = [(_FAILED, text("\\".join(failed)))] if failed else None
        self._respond(spoiler, message, status, listed, counters(None, done, len(failed)))

    def _send_all(self, queue: list[tuple[Chest, str]], origin: bytes) -> Iterator[bool]:
        """Send images to the destination, or only claim it; yield for each whether it was taken."""
        if self.destination is None or not queue:
            yield from (True for _ in queue)
            return
        sent = 0
        try:
            sock = socket.create_connection(("127.0.0.1", self.destination), timeout=self.plan.patience)
        except OSError:
            yield from (False for _ in queue)
            return
        with self._kept(sock):
            sock.settimeout(self.plan.patience)
            spoiler = self._spoiler(sock, self.plan.stored)
            with contextlib.suppress(Over, struct.error):
                spoiler.send(pdu(1, ask(spoiler)))
                if self._hear(sock, queue[0][0].study)[0] == 2:
                    for chest, sop in queue:
                        if spoiler.strikes(0.2):  # says that it has sent it, and has not
                            sent += 1
                            yield True
                            continue
                        if spoiler.strikes(0.2):  # sends what belongs to another patient, in answer to the same C-MOVE
                            self._store(sock, spoiler, FOREIGN, FOREIGN_SOP, chest.study, origin)
                        if spoiler.strikes(0.2):  # sends it twice
                            self._store(sock, spoiler, chest.images[sop][1], sop, chest.study, origin)
                        worked = self._store(sock, spoiler, chest.images[sop][1], sop, chest.study, origin)
                        sent += 1
                        yield worked
                    spoiler.send(pdu(5, bytes(4)))
                    read_pdu(sock)
            if spoiler.touched:
                self.altered |= {sop for _, sop in queue[max(0, sent - 1) :]}
        yield from (False for _ in queue[sent:])

    def _hear(self, sock: socket.socket, study: str) -> tuple[int, bytes]:
        """Read what the destination answers, and remember if it refuses."""
        kind, body = read_pdu(sock)
        if kind in (3, 7):
            self.refused.add(study)
        return kind, body

    def _store(self, sock: socket.socket, spoiler: Spoiler, data: bytes, sop: str, study: str, origin: bytes) -> bool:
        command: Elements = [
            (0x00000002, CT),
            (0x00000100, b"\1\0"),
            (0x00000110, b"\1\0"),
            (0x00000700, b"\0\0"),
            (0x00000800, b"\1\0"),
            (0x00001000, text(sop)),
            (0x00001030, b"ARCHIVE "),
            (0x00001031, origin),
        ]
        try:
            raw = spoiler.encode(command, group_length=True)
            spoiler.send(pdu(4, struct.pack(">LBB", len(raw) + 2, 1, 3) + raw))
            size = spoiler.choose_size()
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                flags = 2 if start + size >= len(data) else 0
                spoiler.send(pdu(4, struct.pack(">LBB", len(piece) + 2, 1, flags) + piece))
            while True:
                kind, body = self._hear(sock, study)
                if kind != 4:
                    raise Over
                told = split_elements(body[6:])
                if number_of(told, 0x00000100) == 0x8001:
                    if number_of(told, 0x00000900) != SUCCESS:
                        self.refused.add(study)
                    return number_of(told, 0x00000900) == SUCCESS
        finally:
            if spoiler.touched:
                self.altered.add(sop)


def accept(request: bytes, spoiler: Spoiler) -> bytes:
    """Accept every context of an association request, in Implicit VR Little Endian."""
    found = [body for kind, body in split_items(request[68:]) if kind == 0x20]
    contexts = [(0x21, bytes((body[0], 0, 0, 0)) + item(0x40, IMPLICIT)) for body in found]
    user = spoiler.encode_items([(0x51, struct.pack(">L", 16384)), (0x52, b"1.2.3"), (0x55, b"SCRIPTED")])
    return request[:68] + spoiler.encode_items([(0x10, b"1.2.840.10008.3.1.1.1"), *contexts, (0x50, user)])


def ask(spoiler: Spoiler) -> bytes:
    """Ask for an association to store CT images."""
    head = struct.pack(">HH", 1, 0) + b"MOVESCU".ljust(16) + b"ARCHIVE".ljust(16) + bytes(32)
    context = b"\1\0\0\0" + spoiler.encode_items([(0x30, CT), (0x40, EXPLICIT)])
    user = spoiler.encode_items([(0x51, struct.pack(">L", 16384)), (0x52, b"1.2.3")])
    return head + spoiler.encode_items([(0x10, b"1.2.840.10008.3.1.1.1"), (0x20, context), (0x50, user)])


def counters(remaining: int | None, done: int, failed: int) -> Elements:
    """Return the numbers of sub-operations."""
    numbers = [(0x00001020, remaining), (0x00001021, done), (0x00001022, failed), (0x00001023, 0)]
    return [(tag, struct.pack("<H", number)) for tag, number in numbers if number is not None]

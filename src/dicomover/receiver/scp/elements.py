"""The elements of a data set, walked as its bytes pass, to see that it ends where its last element does.

Only headers are looked at, and nothing is kept but a header that comes in two pieces. A value that is longer than
what has come is a number to count down, so that a piece in the middle of pixel data costs a comparison.
"""

from __future__ import annotations

from dicomover.attributes.registry import is_known_otherwise
from dicomover.dicomfile import (
    BIG_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    LITTLE_ENDIAN,
    NATIVE,
    HeadError,
    has_plain_elements,
)
from dicomover.receiver.scp.codestreams import BEGINNING, find_syntax, name_other
from dicomover.receiver.scp.contexts import name_of

__all__ = ["ElementWalk", "HeaderWalk", "Mislabelled"]

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = 0x7FE00010
_FIRST_PIXELS = 0x7FE00008  # Float Pixel Data; behind it stand pixels, private bulk data, signatures and padding
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_ITEM_BEGINS = b"\xfe\xff\x00\xe0"
_COMPRESSED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")  # all of JPEG and video, and RLE
_HEADER = 12  # bytes of the longest header
_DEEPEST = 1_000_000  # sequences and items in one another
_WAITED_FOR = 1 << 14  # bytes of an item that are waited for, to look into it

Piece = bytes | bytearray | memoryview


class Mislabelled(HeadError):
    """The pixel data are compressed otherwise than was agreed on, in `syntax`, as far as that shows."""

    def __init__(self, why: str, syntax: str = "") -> None:
        super().__init__(why)
        self.syntax = syntax


class ElementWalk:
    """Goes from element to element, behind the head of a data set.

    `ambiguous` is set once something was passed over that other readers pass over in another way: what stands behind
    it may be another data set for them.
    """

    __slots__ = (
        "_compressed",
        "_encoding",
        "_frames_in",
        "_implicit",
        "_native",
        "_offset",
        "_read",
        "_read_groups",
        "_rest",
        "_stack",
        "_syntax",
        "_until",
        "ambiguous",
        "cut",
    )

    def __init__(
        self,
        transfer_syntax: str,  # of the data set; a deflated one is walked as it is when inflated
        offset: int = 0,  # where, in the first piece, a top-level element begins
        # tags that were read before and may not come again: readers differ in which of two they take
        read: frozenset[int] = frozenset(),
    ) -> None:
        self._encoding = BIG_ENDIAN if transfer_syntax == EXPLICIT_BIG_ENDIAN else LITTLE_ENDIAN
        self._implicit = transfer_syntax == IMPLICIT_LITTLE_ENDIAN
        self._read = read
        self._read_groups = max(read, default=0) >> 16  # none of them is in a higher one
        self._syntax = transfer_syntax
        self._native = NATIVE.get(transfer_syntax, "")
        self._compressed = transfer_syntax.startswith(_COMPRESSED)
        # Where the next header begins: counted from the beginning of `_rest` if there is one, of the next piece if not.
        self._offset = offset
        self._rest = b""
        self.ambiguous = False
        self._until = 0xFFFE  # the group at and behind which each element is looked at
        self.cut: int | None = None  # where the pixels begin, as `_offset` is counted; see `HeaderWalk`
        self._frames_in = 0  # items until the first frame begins: the first one is a table; 0 once it has been seen
        # One entry for each open sequence or item of undefined length: whether it is implicit, whether an item.
        self._stack: list[tuple[bool, bool]] = []

    def take(self, piece: Piece, last: bool) -> None:
        """Walk over the next bytes.

        Raises HeadError if they cannot go on a data set, or the last of them do not end one.
        """
        size = len(piece)
        if self._offset < size or self._rest:
            data = self._rest + piece if self._rest else piece
            size = len(data)
            offset = self._walk(data, size)
            self._rest = bytes(data[offset:])  # less than a header, or a short item
            self._offset = max(offset - size, 0)
        else:
            self._offset -= size
        # A few zeros are the padding of a sender that makes everything even; no header begins so.
        if last and (self._offset or self._stack or self._rest.strip(b"\0")):
            raise HeadError("the data set ends inside an element")

    def _walk(self, data: Piece, size: int) -> int:
        """Go on from `_offset` and return where the next header begins, or will."""
        offset, stack, encoding, implicit = self._offset, self._stack, self._encoding, self._implicit
        unpack, short_vrs, last = encoding.explicit.unpack_from, encoding.short_vrs, size - 8
        read, read_groups, last_explicit = self._read, self._read_groups, -1 if implicit else last
        until = self._until
        while offset <= last:
            if stack:
                step = self._step_inside(data, offset, size)
                if not step:
                    break
                offset += step
                continue
            # Nine of ten elements: the loop that an image's speed depends on.
            while offset <= last_explicit:
                group, element, vr, length = unpack(data, offset)
                if vr not in short_vrs or (
                    not read_groups < group < until and (group >= until or group << 16 | element in read)
                ):
                    break
                offset += 8 + length
            if offset > last:
                break
            group, element = encoding.tag.unpack_from(data, offset)
            if group >= until:
                if group == 0xFFFE:  # readers end there, or not
                    raise HeadError(f"delimiter ({group:04X},{element:04X}) stands where it cannot")
                if self.cut is None and group << 16 | element >= _FIRST_PIXELS:
                    self.cut = offset
            if group << 16 | element in read:
                raise HeadError(f"element ({group:04X},{element:04X}) stands behind its place, where another may be")
            header = self._read_header(data, offset, size, implicit)
            if header is None:
                break
            vr, length, start = header
            if length == _UNDEFINED:
                self._open(data, offset, vr)
                length = 0
            elif self._compressed and length and group << 16 | element == _PIXEL_DATA:
                begin = bytes(data[offset + start : offset + start + 4])
                if len(begin) < 4:
                    break
                if begin != _ITEM_BEGINS:
                    raise HeadError("its pixel data are not compressed, though that was agreed on")
            offset += start + length
        return offset

    def _read_header(self, data: Piece, offset: int, size: int, implicit: bool) -> tuple[int, int, int] | None:
        """Return the VR of an element (0 in Implicit VR), its length and that of its header; None if more is needed.

        Two capital letters that we do not know are a VR that is newer than we are, and has a long header (PS3.5
        section 7.1.2). Anything else is no VR; senders that write it mean a short header.
        """
        if implicit:
            return 0, self._encoding.length.unpack_from(data, offset + 4)[0], 8
        vr, length = self._encoding.vr_and_length.unpack_from(data, offset)
        if vr in self._encoding.short_vrs:
            return vr, length, 8
        if vr not in self._encoding.long_vrs:
            self.ambiguous = True
            letters = bytes(data[offset + 4 : offset + 6])
            if not (letters.isalpha() and letters.isupper()):
                return vr, length, 8
        if size - offset < _HEADER:
            return None
        return vr, self._encoding.length.unpack_from(data, offset + 8)[0], _HEADER

    def _open(self, data: Piece, offset: int, vr: int) -> None:
        """Enter what has no length: a sequence, or encapsulated pixel data."""
        group, element = self._encoding.tag.unpack_from(data, offset)
        tag, encoding = group << 16 | element, self._encoding
        if tag == _PIXEL_DATA and vr != encoding.sequence:
            self._frames_in = 2
        elif vr and vr not in (encoding.sequence, encoding.unknown):
            raise HeadError(f"element ({group:04X},{element:04X}) has no length")
        self._enter(tag, vr, self._implicit)

    def _enter(self, tag: int, vr: int, implicit: bool) -> None:
        if vr == self._encoding.unknown or (implicit and is_known_otherwise(tag)):
            self.ambiguous = True
        # An undefined length of VR UN is a sequence in Implicit VR (PS3.5 section 6.2.2). What is encapsulated goes as
        # one, too: nothing is in its items.
        self._stack.append((True, False) if implicit or vr != self._encoding.sequence else (False, False))

    def _step_inside(self, data: Piece, offset: int, size: int) -> int:
        """Return the length of one step inside what has no length; 0 if more bytes are needed."""
        implicit, is_item = self._stack[-1]
        group, element, length = self._encoding.implicit.unpack_from(data, offset)
        if group == 0xFFFE:
            tag = group << 16 | element
            if self._frames_in and not self._look_at_frame(data, offset, size, tag, length):
                return 0
            if tag == _ITEM and not is_item and length != _UNDEFINED and implicit == self._implicit:
                begin = offset + 8
                is_here = begin + length <= size
                if not is_here and length <= _WAITED_FOR:
                    return 0
                if not is_here or not has_plain_elements(data, begin, begin + length, implicit, self._encoding):
                    self.ambiguous = True
            return 8 + self._delimit(tag, length, implicit, is_item)
        if not is_item:
            raise HeadError(f"element ({group:04X},{element:04X}) stands where an item is due")
        header = self._read_header(data, offset, size, implicit)
        if header is None:
            return 0
        vr, length, start = header
        if length == _UNDEFINED:
            self._enter(group << 16 | element, vr, implicit)
            length = 0
        return int(start + length)

    def _look_at_frame(self, data: Piece, offset: int, size: int, tag: int, length: int) -> bool:
        """Pass an item of encapsulated pixel data, or their end; False if more bytes are needed to see what they are.

        Raises Mislabelled if it begins a frame of another compression than was agreed on, or than none.
        """
        if tag == _ITEM and self._frames_in > 1:
            self._frames_in = 1
            return True
        begin, wanted = offset + 8, min(length, BEGINNING)
        there = size - begin
        if there < wanted:
            return False
        other = self._native or name_other(bytes(data[begin : begin + wanted]), self._syntax)
        self._frames_in = 0
        if not other:
            return True
        wanted = min(length, _WAITED_FOR)
        if there < wanted:
            self._frames_in = 1
            return False
        syntax = find_syntax(bytes(data[begin : begin + wanted]))
        if self._native:
            raise Mislabelled(f"its pixel data are compressed, though {self._native} was agreed on", syntax)
        raise Mislabelled(f"its pixel data are {other}, though {name_of(self._syntax)} was agreed on", syntax)

    def _delimit(self, tag: int, length: int, implicit: bool, is_item: bool) -> int:
        """Open or pass over an item, or close an item or a sequence; return the length of what is passed over."""
        if tag == _ITEM and not is_item:
            if length != _UNDEFINED:
                return length
            if len(self._stack) > _DEEPEST:
                raise HeadError(f"sequences are nested {_DEEPEST:,} deep")
            if implicit and not self._implicit:  # in what is encapsulated, where readers do not look for it
                self.ambiguous = True
            self._stack.append((True, True) if implicit else (False, True))
        elif length or tag != (_ITEM_END if is_item else _SEQUENCE_END):
            raise HeadError(f"delimiter ({tag >> 16:04X},{tag & 0xFFFF:04X}) stands where it cannot")
        else:
            self._stack.pop()
        return 0


class HeaderWalk(ElementWalk):
    """Walks over all of a data set, and says what of it stands before the pixels.

    What is kept is a beginning of the data set, cut between two top-level elements, and so a data set itself.
    """

    __slots__ = ("kept", "left_out")

    def __init__(self, transfer_syntax: str, offset: int = 0, read: frozenset[int] = frozenset()) -> None:
        super().__init__(transfer_syntax, offset, read)
        self._until = _FIRST_PIXELS >> 16
        self.kept: list[Piece] = []  # of the latest bytes, and of those before that it was not known of
        self.left_out = 0  # bytes so far

    def take(self, piece: Piece, last: bool) -> None:
        """Walk over the next bytes, and keep of them what stands before the pixels; see `ElementWalk.take`."""
        before, was_cut = self._rest, self.cut is not None
        super().take(piece, last)
        if was_cut:
            self.kept = []
            self.left_out += len(piece)
            return
        # The beginning of an element is kept once it is known which one it is.
        size = len(before) + len(piece) - (0 if last else len(self._rest)) if self.cut is None else self.cut
        if self.cut is not None:
            self.left_out = len(before) + len(piece) - size
        head = before[:size]
        self.kept = [part for part in (head, piece[: size - len(head)]) if len(part)]

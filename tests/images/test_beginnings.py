"""What of a file is read by readers that know no bound."""

from __future__ import annotations

import io
import zlib

import pytest

from dicomover.dicomfile import DEFLATED, EXPLICIT_LITTLE_ENDIAN, HeadError, encode_file_meta, read_file_meta
from dicomover.images.beginnings import Beginning, inflate_file


def test_no_more_is_read_than_was_said() -> None:
    """Reading goes on below the bound, also after a step back; at the bound, and all at once, it ends."""
    file = Beginning(io.BytesIO(bytes(100)), 50)
    assert len(file.read(40)) == 40
    file.seek(10)
    assert (len(file.read(39)), file.tell()) == (39, 49)
    for size in (1, 1 << 40, -1):
        with pytest.raises(HeadError, match="too much"):
            file.read(size)


def test_a_deflated_file_is_read_as_another_is() -> None:
    """What it inflates to follows a file meta information that is true, up to the bound; others are as they were."""
    plain = b"\x08\x00\x60\x00CS\x02\x00CT" + bytes(1000)
    deflated = io.BytesIO(encode_file_meta("1.2", "1.3", DEFLATED) + zlib.compress(plain, wbits=-zlib.MAX_WBITS))
    whole = inflate_file(deflated, 1 << 20).read(1 << 16)
    syntax, start = read_file_meta(whole)
    assert (syntax, whole[start:]) == (EXPLICIT_LITTLE_ENDIAN, plain)
    deflated.seek(0)
    with pytest.raises(HeadError, match="too much"):
        inflate_file(deflated, 500).read(1 << 16)
    other = io.BytesIO(encode_file_meta("1.2", "1.3", EXPLICIT_LITTLE_ENDIAN) + plain)
    assert inflate_file(other, 500) is other
    assert other.tell() == 0


def test_a_file_of_tiny_elements_is_not_read_to_its_end() -> None:
    """What a few bytes inflate to may be millions of elements, each of which costs a read: so many are not read."""
    file = Beginning(io.BytesIO(bytes(1000)), 900, reads=10)
    for _ in range(10):
        assert file.read(8)
    with pytest.raises(HeadError, match="too much"):
        file.read(8)

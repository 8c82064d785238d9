"""The short PDUs, byte by byte as PS3.8 section 9.3 has them."""

from __future__ import annotations

import pytest

from dicomover.wire.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    P_DATA,
    PDU_HEAD,
    RELEASE_RP,
    RELEASE_RQ,
    encode_abort,
    encode_release,
)


def test_types_of_pdus() -> None:
    """The types have the numbers of the Standard."""
    kinds = (ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT)
    assert kinds == (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (encode_release(RELEASE_RQ), "05000000000400000000"),
        (encode_release(RELEASE_RP), "06000000000400000000"),
        (encode_abort(0, 0), "07000000000400000000"),
        (encode_abort(2, 6), "07000000000400000206"),
    ],
)
def test_the_short_ones(raw: bytes, expected: str) -> None:
    """A release and an abort are ten bytes each, and their head says so."""
    assert raw.hex() == expected
    assert PDU_HEAD.unpack_from(raw) == (raw[0], 4)

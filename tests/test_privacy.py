"""What is sealed is opened by its secret alone, by a cipher that is not ours."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover import ConfigurationError, Journal
from dicomover.privacy import DamagedRecord, Hashed, check_privacy, make_keeper, open_keeper

SECRET = "a long and good secret"
KEEPER = Hashed(SECRET, bytes(16))
OTHER = Hashed("another one, just as long", bytes(16))


@given(st.binary(max_size=100), st.booleans())
def test_what_is_sealed_is_opened_by_its_secret_alone(content: bytes, steady: bool) -> None:
    """Any content comes back, and another secret opens nothing."""
    sealed = KEEPER.seal(content, steady=steady)
    assert KEEPER.open(sealed) == content
    with pytest.raises(DamagedRecord):
        OTHER.open(sealed)


@pytest.mark.parametrize("at", [0, 11, 12, 15, -1])
def test_one_bit_changed_opens_nothing(at: int) -> None:
    """The nonce, the content and the tag are all protected."""
    sealed = bytearray(KEEPER.seal(b"4711"))
    sealed[at] ^= 1
    with pytest.raises(DamagedRecord):
        KEEPER.open(bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", bytes(12), bytes(27), bytes(64)])
def test_what_was_never_sealed_is_damage(sealed: bytes) -> None:
    """Whatever stands there instead, of any length, is named as damage."""
    with pytest.raises(DamagedRecord):
        KEEPER.open(sealed)


def test_only_what_is_to_be_compared_is_sealed_alike() -> None:
    """The same content is sealed in two ways, unless it is to show that it is the same."""
    assert KEEPER.seal(b"4711") != KEEPER.seal(b"4711")
    assert KEEPER.seal(b"4711", steady=True) == KEEPER.seal(b"4711", steady=True) != KEEPER.seal(b"4712", steady=True)


def test_the_keeper_of_a_file_is_found_again() -> None:
    """What a file keeps of the choice gives the same keeper, if the secret is the same."""
    keeper, kept = make_keeper("hashed", SECRET)
    again = open_keeper("hashed", SECRET, kept, "it")
    assert again.open(keeper.seal(b"4711")) == b"4711"
    with pytest.raises(ConfigurationError, match="another secret"):
        open_keeper("hashed", SECRET + "!", kept, "it")


def test_without_the_cipher_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where cryptography is not installed, hashed keys are refused before anything is asked or written."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'dicomover\[privacy\]'"):
        Journal("unused.db", privacy="hashed", secret=SECRET)
    check_privacy("plain", None)


def test_a_journal_that_was_sealed_in_another_way_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A journal from before this cipher is refused when it is opened, not at its first record, and stays as it is."""
    path = tmp_path / "old.db"
    Journal(path, privacy="hashed", secret=SECRET).open().close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM about WHERE name = 'cipher'")
    with pytest.raises(ConfigurationError, match=r"sealed in the way of another dicomover.*; begin another file"):
        Journal(path, privacy="hashed", secret=SECRET).open()


@pytest.mark.parametrize("value", ["4711", "CANARY-4711", "1.2.3\\CANARY", "", "1.2.3 CANARY"])
def test_what_is_no_uid_is_hashed_whatever_column_it_stands_in(value: str) -> None:
    """A patient's number that went astray into a column of UIDs is not kept as it is; UIDs and lists of them are."""
    assert KEEPER.value("StudyInstanceUID", value) != value
    for uids in ("1.2.840.113619", "1.2.3\\1.2.4"):
        assert KEEPER.value("StudyInstanceUID", uids) == uids
    assert KEEPER.value("PatientID", "1.2.3") != "1.2.3"

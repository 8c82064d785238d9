"""Character sets as archives name them, and what bytes may mean."""

from __future__ import annotations

import pytest

from dicomover.attributes.charset import decode, read_character_sets, read_every_way


@pytest.mark.parametrize(
    ("named", "codecs"),
    [
        (b"", ()),
        (b"ISO_IR 6", ()),
        (b"ISO-IR 6", ()),
        (b"ISO 2022 IR 6", ()),
        (b"ISO_IR 100 ", ("latin_1",)),
        (b"ISO-IR 100\0", ("latin_1",)),
        (b"iso_ir_100", ("latin_1",)),
        (b"ISO 2022 IR 100", ("latin_1",)),
        (b"ISO8859-1", ("latin_1",)),
        (b"ISO_IR 192", ("UTF8",)),
        (b"ISO 2022 IR 192", ("UTF8",)),
        (b"UTF-8", ("UTF8",)),
        (b"GB18030", ("GB18030",)),
        (b"GBK", ("GBK",)),
        (b"\\ISO 2022 IR 87", ("ascii", "iso2022_jp")),
        (b"ISO 2022 IR 13\\ISO 2022 IR 87", ("shift_jis", "iso2022_jp")),
        (b"nonsense", ()),
        (b"\xff\xfe", ()),
        (b"ISO_IR 9999", ()),
        (b"nonsense\\ISO_IR 100", ("latin_1",)),
    ],
)
def test_names_of_character_sets(named: bytes, codecs: tuple[str, ...]) -> None:
    """A set is known however it is written; ASCII, an unknown one and none at all declare nothing."""
    assert read_character_sets(named) == codecs


@pytest.mark.parametrize(
    ("raw", "declared", "text"),
    [
        ("Müller".encode(), b"", "Müller"),
        ("Müller".encode("latin-1"), b"", "Müller"),
        ("Müller".encode("latin-1"), b"ISO_IR 192", "Müller"),
        ("Müller".encode("latin-1"), b"ISO_IR 100", "Müller"),
        ("Люксембург".encode("iso8859_5"), b"ISO_IR 144", "Люксембург"),
        ("Łódź".encode("iso8859_2"), b"ISO 2022 IR 101", "Łódź"),
        ("王".encode("gb18030"), b"GB18030", "王"),
        (b"\\", b"GB18030", "\\"),
        (b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
        (b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", b"\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞"),
        (
            b"Dionysios=\x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2",
            b"ISO 2022 IR 100\\ISO 2022 IR 126",
            "Dionysios=Διονυσιος",
        ),
        (b"\x1b-F\xc4\xe9=\xe9t\xe9", b"ISO 2022 IR 100\\ISO 2022 IR 126", "Δι=été"),
        (b"\x1b[31m", b"", "\x1b[31m"),
        (b"\x1b$B\xff", b"\\ISO 2022 IR 87", "\x1b$Bÿ"),
    ],
)
def test_text_is_read_as_it_is_declared(raw: bytes, declared: bytes, text: str) -> None:
    """A declared set is followed where the bytes allow it; else UTF-8, else Latin-1, and nothing is ever lost."""
    assert decode(raw, read_character_sets(declared)) == text


@pytest.mark.parametrize("codec", ["utf-8", "latin-1", "iso8859_2", "iso8859_15", "cp1252"])
def test_every_way_holds_what_was_meant(codec: str) -> None:
    """Whatever set an archive means by its bytes, one of the readings is what it meant."""
    assert "Jörg Groß" in set(read_every_way("Jörg Groß".encode(codec), ("iso_ir_144",)))


def test_ascii_is_read_in_one_way() -> None:
    """Bytes that mean the same in every set are read once."""
    assert list(read_every_way(b"Smith", ("UTF8",))) == ["Smith"]

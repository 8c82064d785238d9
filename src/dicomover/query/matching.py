"""Filter again what an archive should have filtered: does an answer match the keys? (PS3.4 section C.2.2.2)."""

from __future__ import annotations

import contextlib
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from pydicom import Dataset

from dicomover.attributes.attribute import FLOATS, INTEGERS, attribute_of
from dicomover.attributes.charset import read_character_sets
from dicomover.attributes.moments import MOMENTS, read_stretch
from dicomover.attributes.reading import list_elements, list_readings, read_text
from dicomover.errors import QueryRefused

__all__ = ["agrees", "explain_letters", "is_of_patient", "is_round", "select"]

_NOT_COMPARED = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})
_NUMBERS = frozenset({"DS", "IS", *FLOATS, *INTEGERS})


def agrees(answer: Dataset, keyword: str, wanted: str) -> bool | None:
    r"""Tell whether an answer agrees with one key; None if it does not say.

    The key may be one value, a range of dates or times, a text with wildcards, or several joined by a backslash.

    Examples
    --------
    >>> answer = Dataset()
    >>> answer.StudyDate = "20240229"
    >>> agrees(answer, "StudyDate", "20240101-20241231"), agrees(answer, "AccessionNumber", "1")
    (True, None)
    """
    attribute = attribute_of(keyword)
    if list_elements(answer, attribute) is None:
        return None
    if not wanted or wanted == "*" or attribute.vr in _NOT_COMPARED:
        return True
    patterns = wanted.split("\\")
    return any(
        _agrees(attribute.vr, value, one)
        for values in list_readings(answer, keyword)
        for value in values
        for one in patterns
    )


def _agrees(vr: str, value: str, wanted: str) -> bool:
    if not value:
        return False
    if value == wanted:
        return True
    if vr == "UI":
        return False
    if vr in MOMENTS:
        said, meant = read_stretch(vr, value), read_stretch(vr, wanted)
        return said is not None and meant is not None and said.meets(meant)
    if vr in _NUMBERS:
        return _are_equal(value, wanted, 1e-6 if vr == "FL" else 0)
    if vr == "AT":
        return _plain_tag(value) == _plain_tag(wanted)
    if vr == "PN":
        names = [_plain_name(group) for group in value.split("=")]
        groups = [_plain_name(group) for group in wanted.split("=")]
        return all(any(_pattern(group).fullmatch(name) for name in names) for group in groups if group)
    return bool(_pattern(wanted).fullmatch(value))


def _are_equal(value: str, wanted: str, tolerance: float) -> bool:
    try:
        return math.isclose(float(value), float(wanted), rel_tol=tolerance)
    except ValueError:
        return False


def _plain_tag(text: str) -> str:
    return re.sub(r"[(), ]", "", text).upper()


def _plain_name(name: str) -> str:
    """Forget case and accents, as an archive may when it matches names."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).rstrip("^ ")


@lru_cache(maxsize=1024)
def _pattern(wanted: str) -> re.Pattern[str]:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", wanted))
    return re.compile("".join(parts), re.DOTALL)


def select(answers: Iterable[Dataset], keys: Mapping[str, str], archive: object) -> tuple[list[Dataset], int]:
    """Return the answers that match all keys, and the number of those that do not.

    An answer that does not say counts as one that does not match, since some archives ignore a key that they do not
    know and return everything. Raises QueryRefused if no answer carries one of the keys: then nothing can be told.
    """
    answers = list(answers)
    keys = {keyword: wanted for keyword, wanted in keys.items() if not attribute_of(keyword).is_creator}
    verdicts = [{keyword: agrees(answer, keyword, wanted) for keyword, wanted in keys.items()} for answer in answers]
    for keyword in keys:
        if verdicts and all(verdict[keyword] is None for verdict in verdicts):
            raise QueryRefused(
                f"{archive} answered {len(answers)} times without {keyword}: it seems to ignore that key, "
                "so its answers cannot be trusted",
                mend="ask by another key",
            )
    kept = [answer for answer, verdict in zip(answers, verdicts, strict=True) if all(verdict.values())]
    return kept, len(answers) - len(kept)


def explain_letters(keys: Mapping[str, str], stray: Iterable[Dataset]) -> str:
    """Say what became of letters beyond ASCII in a key that nothing matches; empty if there are none.

    Stray answers do not match: an archive that cannot write a key in its own character set looks for another one.
    """
    asked = "".join(wanted for wanted in keys.values() if not wanted.isascii())
    if not asked:
        return ""
    names = {read_text(answer, "SpecificCharacterSet") for answer in stray}
    short = sorted(name for name in names if name and not _can_carry(name, asked))
    if short:
        return (
            f"it answers in {' and '.join(short)}, which cannot carry letters that were asked for; ask by another key"
        )
    return "letters beyond ASCII were sent as UTF-8 (ISO_IR 192), which not every archive reads; try another key"


def _can_carry(name: str, text: str) -> bool:
    """Tell whether a text can be written in the character sets of this name, as far as they are known."""
    codecs = read_character_sets(name.encode())
    for codec in codecs:
        with contextlib.suppress(UnicodeError, LookupError):
            text.encode(codec)
            return True
    return not codecs


def is_round(count: int) -> bool:
    """Tell whether a number of answers looks like one that somebody has configured as the most that come.

    Examples
    --------
    >>> is_round(99), is_round(100), is_round(512)
    (False, True, True)
    """
    return count >= 100 and (count % 50 == 0 or count & (count - 1) == 0)


def is_of_patient(patient: str, whose: Collection[str]) -> bool:
    """Tell whether the PatientID of an image or an answer is one of these.

    Blanks around it, its case, and an issuer that only one of the two names (`4711^^^HOSP`) make no difference, nor
    does UTF-8 that one of the two calls ISO 8859-1: the bytes are the same.

    Examples
    --------
    >>> is_of_patient("ab1^^^HOSP", ["AB1"]), is_of_patient("AB1 ", ["ab1"]), is_of_patient("1", ["01"])
    (True, True, False)
    >>> is_of_patient("1^^^A", ["1^^^B"]), is_of_patient("", ["1"])
    (False, False)
    >>> is_of_patient("Ö1", ["Ö1".encode().decode("latin-1")])
    True
    """
    said = _spell(patient)
    return bool(said[0][0]) and any(_agree(one, other) for name in whose for other in _spell(name) for one in said)


def _spell(patient: str) -> list[tuple[str, str]]:
    """Return how a PatientID is written: as it is, and as it is read where its UTF-8 is called ISO 8859-1."""
    mistaken = [] if patient.isascii() else [patient.encode("utf-8", "surrogatepass").decode("latin-1")]
    return [_tidy(each) for each in (patient, *mistaken)]


def _tidy(patient: str) -> tuple[str, str]:
    own, _, issuer = patient.strip(" \0").lower().partition("^")  # casefold would make one of ss and ß
    return own.rstrip(), issuer.strip("^ ")


def _agree(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return one[0] == other[0] and (one[1] == other[1] or not one[1] or not other[1])

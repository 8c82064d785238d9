r"""What the attributes of an answer say: texts, a count, a UID; whatever VR, number and bytes they came in.

Nothing here raises for what a peer has sent, and nothing of it goes into a log. A data set that came over the network
has its elements as bytes; one that was made by pydicom has them as values: both are read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from dicomover.attributes.attribute import FLOATS, INTEGERS, TEXTS, Attribute, attribute_of
from dicomover.attributes.charset import decode, read_character_sets, read_every_way
from dicomover.attributes.framing import read_items
from dicomover.attributes.uid import is_named, remember_uid

__all__ = [
    "Element",
    "Unreadable",
    "convert",
    "list_elements",
    "list_items",
    "list_readings",
    "read_count",
    "read_text",
    "read_texts",
    "read_uid",
]

Element = DataElement | RawDataElement

_CHARACTER_SET = 0x00080005
_LOCAL = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UN", "UT"})  # by the data set's SpecificCharacterSet
_ONE = frozenset({"LT", "ST", "UR", "UT"})
_COUNT = re.compile(r"\+?([0-9]{1,10})(?:\.0*)?")
_MOST = 2**31 - 1  # that an IS can say


class Unreadable(ValueError):
    """Bytes that are no value of their VR."""


def read_texts(dataset: Dataset, name: str) -> list[str] | None:
    r"""Return the values of an attribute as texts, without their padding; None if it is not there.

    Examples
    --------
    >>> answer = Dataset()
    >>> answer.ModalitiesInStudy = ["CT", "SR"]
    >>> read_texts(answer, "ModalitiesInStudy"), read_texts(answer, "StudyID")
    (['CT', 'SR'], None)
    """
    elements = list_elements(dataset, attribute_of(name))
    if elements is None:
        return None
    found: list[str] = []
    for owner, element in elements:
        try:
            found += convert(element, attribute_of(name).vr, owner)
        except Unreadable:
            continue
    return found


def read_text(dataset: Dataset, name: str) -> str:
    """Return the values of an attribute as one text, joined by backslashes; empty if there is none."""
    return "\\".join(read_texts(dataset, name) or ())


def read_count(dataset: Dataset, name: str) -> int | None:
    """Return a number of things, None where an archive does not say: blanks, zero, words, and more than there can be.

    Examples
    --------
    >>> answer = Dataset()
    >>> answer.NumberOfStudyRelatedInstances = "12"
    >>> read_count(answer, "NumberOfStudyRelatedInstances"), read_count(answer, "NumberOfStudyRelatedSeries")
    (12, None)
    """
    match = _COUNT.fullmatch(read_text(dataset, name))
    number = int(match[1]) if match else 0
    return number if 0 < number <= _MOST else None


def read_uid(dataset: Dataset, name: str) -> str:
    """Return the one UID that an archive names there; empty if it names none, several, or what can be no UID."""
    values = [value for value in read_texts(dataset, name) or () if value]
    return remember_uid(values[0]) if len(set(values)) == 1 and is_named(values[0]) else ""


def list_readings(dataset: Dataset, name: str) -> Iterator[list[str]]:
    """Yield the values of an attribute in every way that their bytes can be read, as the data set says first."""
    attribute = attribute_of(name)
    elements = list_elements(dataset, attribute) or []
    yield read_texts(dataset, name) or []
    for _, element in elements:
        if isinstance(element, RawDataElement) and element.value and element.VR != "SQ":
            is_text = element.VR in TEXTS or element.VR is None
            if not is_text or (_is_local(element, attribute.vr) and not element.value.isascii()):
                for text in read_every_way(element.value, ()):
                    yield _split(text, attribute.vr)


def list_elements(dataset: Dataset, attribute: Attribute) -> list[tuple[list[Dataset], Element]] | None:
    """Return each element that has the attribute, in all items on the way, with the data sets around it.

    None if the attribute is nowhere.
    """
    owners: list[list[Dataset]] = [[dataset]]
    for tag in attribute.path[:-1]:
        owners = [
            [item, *around] for around in owners if tag in around[0] for item in list_items(around[0].get_item(tag))
        ]
    tag = attribute.path[-1]  # `get_item` converts nothing, as `[]` would
    found: list[tuple[list[Dataset], Element]]
    found = [(around, element) for around in owners if (element := around[0].get_item(tag)) is not None]
    return found or None


def list_items(element: Element) -> list[Dataset]:
    """Return the items of a sequence, none if its bytes are not one."""
    value: Any = element.value
    if not isinstance(element, RawDataElement):
        return list(value) if element.VR == "SQ" and value else []
    return read_items(value or b"", implicit=element.is_implicit_VR or element.VR == "UN")


def convert(element: Element, vr: str, around: Iterable[Dataset]) -> list[str]:
    """Return the values of one element as texts, none if it is empty.

    `vr` is what the attribute's should be, `around` the data sets that it lies in, the innermost first. Raises
    Unreadable if its bytes are none of their VR, or a sequence.
    """
    value = element.value
    if not isinstance(element, RawDataElement):
        if element.VR == "SQ":
            raise Unreadable
        if isinstance(value, bytes):
            return _split(decode(value, ()), vr) if value else []
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        texts = ["" if one is None else str(one).strip(" \0") for one in values]
        return texts if any(texts) else []
    if not value:
        return []
    sent = element.VR or (dictionary_VR(element.tag) if dictionary_has_tag(element.tag) else vr)
    if sent == "SQ":
        raise Unreadable
    if sent == "AT" and len(value) % 4 == 0:
        numbers = struct.unpack(f"<{len(value) // 2}H", value)
        return [f"{numbers[n]:04X}{numbers[n + 1]:04X}" for n in range(0, len(numbers), 2)]
    number = sent if sent in INTEGERS or sent in FLOATS else vr if sent not in TEXTS else ""
    if number in INTEGERS or number in FLOATS:
        try:
            return _read_numbers(value, number)
        except struct.error:
            if vr not in TEXTS:
                raise Unreadable from None
    codecs = _codecs(around) if _is_local(element, vr) else ()
    texts = _split(decode(value, codecs), vr if vr in TEXTS else sent)
    return texts if any(texts) else []


def _is_local(element: RawDataElement, vr: str) -> bool:
    return (element.VR if element.VR in TEXTS else vr) in _LOCAL


def _codecs(around: Iterable[Dataset]) -> tuple[str, ...]:
    for dataset in around:
        if _CHARACTER_SET in dataset:
            value = dataset.get_item(_CHARACTER_SET).value
            parts = value if isinstance(value, MultiValue | list) else [value]
            raw = value if isinstance(value, bytes) else "\\".join(map(str, parts)).encode()
            return read_character_sets(raw or b"")
    return ()


def _split(text: str, vr: str) -> list[str]:
    return [part.strip(" \0") for part in ([text] if vr in _ONE else text.split("\\"))]


def _read_numbers(raw: bytes, vr: str) -> list[str]:
    code = INTEGERS.get(vr) or FLOATS[vr]
    size = struct.calcsize("<" + code)
    return list(map(str, struct.unpack(f"<{len(raw) // size}{code}", raw)))

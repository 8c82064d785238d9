"""Whatever an archive answers, it is read without an exception, and nothing of it but a UID goes into an identifier."""

from __future__ import annotations

import re
import struct
import warnings

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from dicomover.attributes.attribute import TEXTS
from dicomover.attributes.framing import read_elements
from dicomover.errors import AnswerWarning, QueryRefused
from dicomover.identifier import Level, Model
from dicomover.query.answers import answers_table, dtype_of, returned_keys
from dicomover.query.instances import instances_of
from dicomover.query.matching import select
from dicomover.query.resolve import Resolver
from dicomover.query.splitting import find_all
from dicomover.query.targets import TooManyMatches
from dicomover.requests.parse import parse_requests

LONG = ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
VRS = [*LONG, *sorted(TEXTS), "AT", "FL", "FD", "SL", "SS", "UL", "US", "ZZ"]
TAGS = {
    0x00080005: [b"", b"ISO_IR 100", b"ISO-IR 6", b"\\ISO 2022 IR 87", b"ISO_IR 192", b"nonsense", b"\xff\xfe"],
    0x00080018: [b"1.2.3.1", b"1.02", b"1.2\\1.3", b"*"],
    0x00080050: [b"A1", b"a1 ", b"\xc3\x84", b"A1\\A2"],
    0x00080052: [b"STUDY", b"SERIES"],
    0x00080060: [b"CT", b"CT\\SR"],
    0x00080061: [b"CT\\SR", b""],
    0x00081110: [b"\xfe\xff\x00\xe0\x00\x00\x00\x00", b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00"],
    0x00100010: [b"M\xfcller^J", "Müller^J".encode(), b"\x1b$B;3ED\x1b(B^x"],
    0x00100020: [b"P1", b"*", b"P1\\P2", b"\xd0\x9f"],
    0x0020000D: [b"1.2.3", b"1.2.3\0", b"1.2.3\\1.2.4", b"1.02.3", b"*", b"1.2." + b"9" * 62, b"1.A.3"],
    0x0020000E: [b"1.2.3.4", b""],
    0x00201206: [b"3", b"99999999999999999999", b"-1", b"1e3", b"3\\4", b"\xb2"],
    0x00201208: [b"3", b"99999999999999999999", b" ", b"3.0", b"many", b"\xd9\xa3"],
    0x00201209: [b"2", b"0"],
    0x00091001: [b"x"],
}
ELEMENTS = st.sampled_from(sorted(TAGS)).flatmap(
    lambda tag: st.tuples(
        st.just(tag),
        st.sampled_from(VRS) | st.just(""),
        st.sampled_from(TAGS[tag])
        | st.binary(max_size=40)
        | st.binary(min_size=1, max_size=4).map(lambda b: b * 17_000),
    )
)
NESTED = "RequestAttributesSequence.ScheduledProcedureStepID"
REQUESTS = [
    {"AccessionNumber": "A1"},
    {"AccessionNumber": "Ä"},
    {"PatientID": "P1"},
    {"PatientName": "Müller*"},
    {"StudyInstanceUID": "1.2.3"},
    {"StudyInstanceUID": "1.2.3", "Modality": "CT"},
    {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"},
    {NESTED: "7", "StudyInstanceUID": "1.2.3"},
    {"0009,1001": "x"},
]
NAMED = re.compile(r"[0-9A-Za-z._-]+(\\[0-9A-Za-z._-]+)*")


def write(elements: list[tuple[int, str, bytes]], *, implicit: bool) -> bytes:
    """Return the bytes of elements of any VR, in the order of their tags."""
    raw = b""
    for tag, vr, value in sorted(elements, key=lambda element: element[0]):
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if implicit:
            raw += head + struct.pack("<L", len(value)) + value
        elif (vr or "LO") in LONG or vr == "ZZ":
            raw += head + (vr or "LO").encode() + b"\0\0" + struct.pack("<L", len(value)) + value
        else:
            raw += head + (vr or "LO").encode() + struct.pack("<H", len(value) & 0xFFFF) + value[: len(value) & 0xFFFF]
    return raw


ANSWERS = st.builds(
    lambda elements, implicit, cut: (write(elements, implicit=implicit)[:cut], implicit),
    st.lists(ELEMENTS, max_size=10, unique_by=lambda element: element[0]),
    st.booleans(),
    st.none() | st.integers(0, 60),
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(
    raw=st.lists(ANSWERS, max_size=3), asked=st.sampled_from(REQUESTS), verify=st.sampled_from(["counts", "instances"])
)
def test_a_request_comes_to_uids_or_a_refusal(
    raw: list[tuple[bytes, bool]], asked: dict[str, str], verify: str
) -> None:
    """Whatever is answered, a request comes to identifiers of UIDs and to counts that fit a table, or is refused."""
    answers = [read_elements(data, implicit=implicit) for data, implicit in raw]
    level = "series" if {"Modality", NESTED} & set(asked) else "auto"
    (request,) = parse_requests(asked, level=level, model="patient" if "PatientID" in asked else "auto").requests

    def find(level: Level, model: Model, keys: object, returned: object, limit: int | None) -> list[Dataset]:
        return answers[:limit]

    try:
        resolution = Resolver("ARCHIVE", verify, 100)(request, find)  # type: ignore[arg-type]
        for target in resolution.targets:
            for keyword, value in target.identifier.keys().items():
                assert keyword == "PatientID" or NAMED.fullmatch(value), (keyword, value)
                assert not set("*?") & set(value)
            target.identifier.dataset()
            assert target.expected is None or 0 <= target.expected <= 3 * 2**31
            instances_of(target.identifier, find)  # type: ignore[arg-type]
    except (QueryRefused, TooManyMatches):
        return  # which is a row


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(raw=st.lists(ANSWERS, max_size=3), asked=st.sampled_from(REQUESTS), level=st.sampled_from(list(Level)))
def test_a_find_is_a_table(raw: list[tuple[bytes, bool]], asked: dict[str, str], level: Level) -> None:
    """Whatever is answered, a find returns its columns with their dtypes, and warns with AnswerWarning alone."""
    answers = [read_elements(data, implicit=implicit) for data, implicit in raw]
    columns = returned_keys(
        level, asked, ["ReferencedStudySequence", "SpecificCharacterSet", "ReferencedSeriesSequence"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AnswerWarning)
        table = answers_table(answers, columns)
        try:
            found = find_all(lambda keys, limit: answers[:limit], asked, level)
            select(answers, asked, "ARCHIVE")
        except QueryRefused:
            found = []
        answers_table(found, columns)
    assert len(table) == len(answers)
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {name: dtype_of(name) for name in columns}

"""What the value of a key can be, and what is said of one that cannot."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import keyword_dict
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomover.errors import RequestError, RequestWarning
from dicomover.identifier import query_dataset
from dicomover.requests.parse import parse_query, parse_requests, read_requests
from dicomover.wire.identifiers import encode_identifier
from requests_kit import UID64, keys_of, parsed, refused


@pytest.mark.parametrize(
    ("keyword", "value", "says"),
    [
        ("AccessionNumber", 123, "is not text but int"),
        ("AccessionNumber", 123.0, "is not text but float"),
        ("AccessionNumber", np.int64(123), "is not text but int64"),
        ("AccessionNumber", True, "is not text but bool"),
        ("AccessionNumber", b"123", "is not text but bytes"),
        ("AccessionNumber", None, "is missing"),
        ("AccessionNumber", float("nan"), "is missing"),
        ("AccessionNumber", np.nan, "is missing"),
        ("AccessionNumber", pd.NA, "is missing"),
        ("AccessionNumber", pd.NaT, "is missing"),
        ("AccessionNumber", "123.0", "a program has rewritten"),
        ("AccessionNumber", "123.00", "a program has rewritten"),
        ("AccessionNumber", "1e5", "a program has rewritten"),
        ("AccessionNumber", "1.23E+11", "a program has rewritten"),
        ("AccessionNumber", "1,23457E+11", "a program has rewritten"),
        ("PatientID", "4711.0", "a program has rewritten"),
        ("AccessionNumber", "", "is blank"),
        ("AccessionNumber", "   ", "is blank"),
        ("AccessionNumber", " 1", "begins or ends with a space"),
        ("AccessionNumber", "1\u00a0", "begins or ends with a space"),
        ("AccessionNumber", "1\n", "begins or ends with a space"),
        ("AccessionNumber", "1\n2", "control character"),
        ("AccessionNumber", "1\x002", "control character"),
        ("AccessionNumber", "1\x7f2", "control character"),
        ("AccessionNumber", "\u200b12", "invisible character"),
        ("AccessionNumber", "\ufeff12", "invisible character"),
        ("AccessionNumber", "1\u00a02", "invisible character"),
        ("AccessionNumber", "1\\2", "has a backslash"),
        ("AccessionNumber", ["1", "2"], "is a list"),
        ("PatientID", ["1", "2"], "is a list"),
        ("PatientID", "1\\2", "has a backslash"),
        ("PatientID", "47*", "has a wildcard"),
        ("PatientID", "47?1", "has a wildcard"),
        ("PatientID", "x" * 65, "has 65 characters, DICOM allows 64"),
        ("StudyID", "x" * 17, "has 17 characters, DICOM allows 16"),
        ("StudyInstanceUID", "1.2.*", "has a wildcard"),
        ("StudyInstanceUID", "1.2.", "is no valid UID"),
        ("StudyInstanceUID", ".1.2", "is no valid UID"),
        ("StudyInstanceUID", "1..2", "is no valid UID"),
        ("StudyInstanceUID", "1.2x", "is no valid UID"),
        ("StudyInstanceUID", "A123", "is no valid UID"),
        ("StudyInstanceUID", "1.2E25", "is no valid UID"),
        ("StudyInstanceUID", "..", "is no valid UID"),
        ("StudyInstanceUID", "1.2\\", "is no valid UID"),
        ("StudyInstanceUID", "١.٢", "has U+0661 (ARABIC-INDIC DIGIT ONE), which a UI cannot have; write 1"),
        ("StudyInstanceUID", UID64 * 2 + "2", "is no valid UID"),
        ("StudyInstanceUID", ["1.2", "1.x"], "is no valid UID"),
        ("StudyInstanceUID", ["1.2", None], "is missing"),
        ("StudyInstanceUID", ["1.2", 3], "is not text but int"),
        ("StudyInstanceUID", [], "is an empty list"),
        ("RequestAttributesSequence", "1", "cannot be a key"),
        ("StudyDate", "2023-12-31", "is not how DICOM writes a date; write 20240101, or 20240101-20241231"),
        ("StudyDate", "12-31-2023", "is not how DICOM writes a date"),
        ("StudyDate", "31.12.2023", "is not how DICOM writes a date"),
        ("StudyDate", "12/31/2023", "is not how DICOM writes a date"),
        ("StudyDate", "01.01.2023-31.12.2023", "is not how DICOM writes a date"),
        ("StudyDate", "20230101 - 20231231", "is not how DICOM writes a date"),
        ("StudyDate", "2023", "is not how DICOM writes a date"),
        ("StudyDate", "20231231 00:00", "is not how DICOM writes a date"),
        ("StudyDate", "45291", "looks like a spreadsheet's number of a day"),
        ("StudyDate", "45291.5", "looks like a spreadsheet's number of a day"),
        ("StudyDate", "-", "is a range without a date"),
        ("StudyDate", "00000000", "names a day that does not exist"),
        ("StudyDate", "20230230-20230301", "names a day that does not exist"),
        ("StudyDate", "20230301-20230201", "is a range that ends before it begins"),
        ("StudyDate", "2023*", "is not how DICOM writes a date"),
        ("StudyDate", "20230101\u201320231231", "has U+2013 (EN DASH), which a DA cannot have; write - in its place"),
        ("StudyDate", "\uff12\uff10231231", "has U+FF12 (FULLWIDTH DIGIT TWO), which a DA cannot have; write 2"),
        ("StudyDate", pd.Timestamp("2023-12-31"), "is not text but Timestamp; write it as text, such as 20240101"),
        ("StudyTime", "10:15", "is not how DICOM writes a time"),
        ("StudyTime", "2500", "is not how DICOM writes a time"),
        ("StudyTime", "1200-1100", "is a range that ends before it begins"),
        ("StudyTime", "10\uff1a00", "has U+FF1A (FULLWIDTH COLON), which a TM cannot have"),
        ("AcquisitionDateTime", "2023-12-31", "is not how DICOM writes a date and time"),
        ("AcquisitionDateTime", "20230230", "names a day that does not exist"),
        ("AcquisitionDateTime", "2024-2023", "is a range that ends before it begins"),
        ("ModalitiesInStudy", "\u0421T", "has U+0421 (CYRILLIC CAPITAL LETTER ES), which a CS cannot have"),
        ("ModalitiesInStudy", "ct", "has characters that a CS cannot have; write capital letters"),
        ("PatientSex", "\uff2d", "has U+FF2D (FULLWIDTH LATIN CAPITAL LETTER M), which a CS cannot have; write M"),
        ("PatientAge", "31", "is not how DICOM writes an age; write 031Y"),
        ("PatientAge", "031y", "is not how DICOM writes an age"),
        ("SeriesNumber", "1.5", "cannot be written as IS"),
        ("NumberOfStudyRelatedSeries", "9999999999", "cannot be written as IS"),
        ("SeriesNumber", "\u0661", "has U+0661 (ARABIC-INDIC DIGIT ONE), which an IS cannot have"),
        ("PatientWeight", "7,5", "cannot be written as DS"),
        ("PatientWeight", "nan", "cannot be written as DS"),
        ("Rows", "\uff15", "has U+FF15 (FULLWIDTH DIGIT FIVE), which a US cannot have"),
        ("0009,1001:US", "5_0", "cannot be written as US"),
        ("RetrieveAETitle", "x" * 17, "has 17 characters, DICOM allows 16"),
        ("RetrieveURL", "http://a b", "is no URI"),
        ("PatientName", "x" * 65, "is longer than a name can be"),
        ("PatientName", "M\u200bller", "has an invisible character, U+200B (ZERO WIDTH SPACE)"),
        ("StudyDescription", "CT\u00a0Thorax", "has an invisible character, U+00A0 (NO-BREAK SPACE)"),
        ("StudyDescription", "Sch\ufffddel", "has U+FFFD (REPLACEMENT CHARACTER), which stands for a lost"),
        ("StudyDescription", "\ud800", "has an invisible character, U+D800"),
        ("AccessionNumber", "1\u00a0", "begins or ends with a space, U+00A0 (NO-BREAK SPACE)"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_meant(keyword: str, value: object, says: str) -> None:
    """A value that cannot be what the archive knows is an error, and it names the key."""
    message = str(refused({keyword: value}))
    assert says in message
    assert f"row 0, {keyword}: " in message


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [
        ("AccessionNumber", "00123", "00123"),
        ("AccessionNumber", "A 12/3-ü", "A 12/3-ü"),
        ("AccessionNumber", "NA", "NA"),
        ("AccessionNumber", "12E34", "12E34"),
        ("AccessionNumber", "1.2", "1.2"),
        ("AccessionNumber", np.str_("00123"), "00123"),
        ("PatientID", "x" * 64, "x" * 64),
        ("StudyInstanceUID", UID64, UID64),
        ("StudyInstanceUID", "1.2.0", "1.2.0"),
        ("StudyInstanceUID", ["1.2", "1.3"], "1.2\\1.3"),
        ("StudyInstanceUID", ("1.2",), "1.2"),
        ("StudyInstanceUID", "1.2\\1.3", "1.2\\1.3"),
        ("StudyDate", "20240101-20241231", "20240101-20241231"),
        ("StudyDescription", "*thorax*", "*thorax*"),
        ("PatientName", "Müller^Jörg", "Müller^Jörg"),
        ("PatientName", "山田　太郎", "山田　太郎"),
        ("PatientName", "علی\u200cرضا", "علی\u200cرضا"),
        ("StudyDate", "*", "*"),
        ("StudyDate", "-20241231", "-20241231"),
        ("StudyTime", "1000-1159", "1000-1159"),
        ("AcquisitionDateTime", "20240101120000.5-0500", "20240101120000.5-0500"),
        ("AcquisitionDateTime", "2023-2024", "2023-2024"),
        ("ModalitiesInStudy", "C?", "C?"),
        ("PatientAge", "031Y", "031Y"),
        ("NumberOfStudyRelatedSeries", "+7", "+7"),
        ("PatientWeight", "7.5e1", "7.5e1"),
    ],
)  # fmt: skip
def test_values_that_can_be_meant(keyword: str, value: object, text: str) -> None:
    """A value that can be meant goes on as it is, as plain text."""
    request = parsed({keyword: value})
    assert dict(request.keys) == {keyword: text}
    assert type(request.keys[keyword]) is str


def test_a_long_accession_number_is_warned_of() -> None:
    """An AccessionNumber over 16 characters exists in the field: it is sent, with a warning that shows no value."""
    with pytest.warns(RequestWarning, match="17 characters") as caught:
        request = parsed({"AccessionNumber": "SECRET" + "1" * 11})
    assert request.keys["AccessionNumber"] == "SECRET" + "1" * 11
    assert "SECRET" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("uid", "says"),
    [
        ("1.2.840.2004.01.05", "is no UID by the Standard, which has digits and dots without leading zeros"),
        ("05fa52f0e599f17b8186ff18fcdf2b55", "is no UID by the Standard"),
        ("1.2.3." + "9" * 60, "has 66 characters, a UID at most 64"),
    ],
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_a_uid_as_archives_have_them_is_sent(keyword: str, uid: str, says: str) -> None:
    """Leading zeros, a hash, too many characters: archives do name such UIDs, also in files of another day."""
    above = {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"}
    order = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    keys = {**{key: above[key] for key in order[: order.index(keyword)]}, keyword: uid}
    for requests in (keys, pd.DataFrame([keys])):
        with pytest.warns(RequestWarning, match=f"row 0, {keyword}: {says}.*; sent as it is"):
            assert parsed(requests).keys[keyword] == uid
    assert parse_query({"StudyInstanceUID": uid}).keys == {"StudyInstanceUID": uid}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\uff0a12", "has U+FF0A (FULLWIDTH ASTERISK), which looks like *; take it away"),
        ("12\uff1f", "has U+FF1F (FULLWIDTH QUESTION MARK), which looks like ?; take it away"),
        ("A\u20131", "has U+2013 (EN DASH), which looks like -; write - in its place"),
        ("\uff11\uff12", "has U+FF11 (FULLWIDTH DIGIT ONE), which looks like 1"),
        ("\u0410T12", "has U+0410 (CYRILLIC CAPITAL LETTER A) among Latin letters"),
    ],
)
def test_look_alikes_in_a_table(text: str, says: str) -> None:
    """What a number or code of a table has that only looks plain is named; a dict says that it is meant."""
    assert says in str(refused(pd.DataFrame({"AccessionNumber": [text]})))
    assert keys_of({"PatientID": text}) == [{"PatientID": text}]
    assert keys_of(pd.DataFrame({"PatientID": ["\u0410\u0411-12", "É1"]})) == [
        {"PatientID": "\u0410\u0411-12"},
        {"PatientID": "É1"},
    ]


TYPED = [None, float("nan"), pd.NA, pd.NaT, b"1", Decimal("1.5"), np.int64(1), np.float32(1), True, object(), 1j, {}]
TYPED += [pd.Timestamp("2024-01-01"), dt.date(2024, 1, 1), dt.time(1), ["1"], ("1", None), {"1"}, np.array(["1"])]
ANYTHING = st.one_of(
    st.text(max_size=20),
    st.text("0123456789-:.*?\\ ATYeE+_\u2013\uff11\u0421\u200b", max_size=20),
    st.sampled_from(TYPED),
)
KEYWORDS = st.sampled_from(sorted(filter(None, keyword_dict)))
ONE_OF_EACH_VR = st.sampled_from([
    "StudyDate", "StudyTime", "AcquisitionDateTime", "ModalitiesInStudy", "PatientAge", "SeriesNumber", "Rows",
    "PatientWeight", "SliceLocation", "PixelAspectRatio", "StudyInstanceUID", "PatientName", "StudyDescription",
    "RetrieveURL", "RetrieveAETitle", "OffendingElement", "PixelData", "PatientComments", "LabelText",
    "RequestAttributesSequence", "RequestAttributesSequence.StudyInstanceUID", "0009,1001:FL", "0009,1001:FD",
    "0009,1001:AT", "0009,1001:UV", "0009,1001:OB", "0009,1001",
])  # fmt: skip


def encode(identifier: Dataset) -> None:
    """Write an identifier as it goes onto the wire."""
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        encode_identifier(identifier, syntax)


@settings(max_examples=400)
@given(st.one_of(ONE_OF_EACH_VR, KEYWORDS), ANYTHING)
@pytest.mark.filterwarnings("ignore::dicomover.RequestWarning")
def test_anything_is_written_or_named(keyword: str, value: object) -> None:
    """Whatever stands for a key, in a dict, a table or a find: it goes onto the wire or ends in a RequestError."""
    table = pd.DataFrame({"PatientID": ["1"], f"key:{keyword}": pd.Series([value], dtype=object)})
    category = table.astype({f"key:{keyword}": "category"}) if isinstance(value, str) else table
    for given_requests in ({"PatientID": "1", keyword: value}, table, category):
        with contextlib.suppress(RequestError):
            for request in parse_requests(given_requests, level="image", wildcards=True).requests:
                encode(query_dataset(request.level, request.keys))
    with contextlib.suppress(RequestError):
        query = parse_query(
            {"PatientID": "1", "StudyInstanceUID": "1", "SeriesInstanceUID": "1", keyword: value}, level="image"
        )
        encode(query_dataset(query.level, query.keys))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=3))
@pytest.mark.filterwarnings("ignore::dicomover.RequestWarning")
def test_any_csv_is_read_or_named(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    """Whatever texts a CSV holds, it is read or named."""
    path = tmp_path_factory.mktemp("csv") / "cohort.csv"
    table = pd.DataFrame(rows, columns=["AccessionNumber", "key:StudyDate"])
    path.write_bytes(table.to_csv(index=False).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(RequestError):
        parse_requests(read_requests(path))


@given(
    st.dictionaries(
        st.sampled_from(["PatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate"]), st.text(), min_size=1
    )
)
def test_any_text_is_sent_or_named(keys: dict[str, str]) -> None:
    """Whatever the texts are, they go on unchanged or end in a RequestError, and nothing else."""
    try:
        request = parsed({key: value[:16] for key, value in keys.items()})
    except RequestError:
        pass
    else:
        assert dict(request.keys) == {key: value[:16] for key, value in keys.items()}
        assert all(value and value == value.strip() for value in request.keys.values())

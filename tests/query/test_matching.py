"""Filtering on the client: whether an answer matches the keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, config

from dicomover.errors import QueryRefused
from dicomover.query.matching import agrees, select


def answer(**values: object) -> Dataset:
    """Return the identifier of a C-FIND response, as odd as archives make them."""
    dataset = Dataset()
    mode, config.settings.reading_validation_mode = config.settings.reading_validation_mode, config.IGNORE
    writing, config.settings.writing_validation_mode = config.settings.writing_validation_mode, config.IGNORE
    try:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = mode, writing
    return dataset


@pytest.mark.parametrize(
    ("keyword", "value", "wanted", "verdict"),
    [
        # single values
        ("AccessionNumber", "00123", "00123", True),
        ("AccessionNumber", "123", "00123", False),
        ("AccessionNumber", "00123 ", "00123", True),
        ("AccessionNumber", "00123X", "00123", False),
        ("AccessionNumber", "abc", "ABC", False),
        ("AccessionNumber", "a.c", "abc", False),
        ("AccessionNumber", "abc", "a.c", False),
        ("PatientID", "4711", "4711", True),
        # empty, absent, universal
        ("AccessionNumber", "", "1", False),
        ("AccessionNumber", None, "1", False),
        ("AccessionNumber", "", "", True),
        ("AccessionNumber", "x", "", True),
        ("AccessionNumber", "x", "*", True),
        ("AccessionNumber", ..., "1", None),
        # lists of UIDs
        ("StudyInstanceUID", "1.2", "1.2", True),
        ("StudyInstanceUID", "1.2", "1.3\\1.2", True),
        ("StudyInstanceUID", "1.2", "1.3\\1.22", False),
        ("StudyInstanceUID", "1.2", "1.*", False),
        # wildcards
        ("StudyDescription", "CT Thorax", "CT*", True),
        ("StudyDescription", "CT Thorax", "*thorax*", False),
        ("StudyDescription", "CT Thorax", "CT?Thorax", True),
        ("StudyDescription", "CT Thorax", "CT??Thorax", False),
        ("StudyDescription", "a+b (c)", "a+b (?)", True),
        # ranges
        ("StudyDate", "20240229", "20240229", True),
        ("StudyDate", "20240228", "20240229", False),
        ("StudyDate", "20240229", "20240101-20240229", True),
        ("StudyDate", "20240101", "20240101-20240229", True),
        ("StudyDate", "20240301", "20240101-20240229", False),
        ("StudyDate", "20231231", "20240101-20240229", False),
        ("StudyDate", "20240229", "20240101-", True),
        ("StudyDate", "20231231", "20240101-", False),
        ("StudyDate", "20240229", "-20240229", True),
        ("StudyDate", "20240301", "-20240229", False),
        ("StudyDate", "", "20240101-", False),
        ("StudyTime", "101530.5", "1000-1015", True),
        ("StudyTime", "1016", "1000-1015", False),
        ("StudyTime", "101530", "10:15:30", True),
        ("StudyTime", "1015", "101530", True),
        ("StudyDate", "2024.02.29", "20240229", True),
        ("StudyDate", "2024-02-29", "20240101-", True),
        ("StudyDate", "20240231", "20240101-20241231", False),
        ("StudyDate", "20191015", "12-31-2023", False),
        ("StudyDate", "20191015", "45291", False),
        ("StudyDate", "20241231", "01.01.2023-31.12.2023", False),
        ("StudyDate", "20241231", "-", False),
        ("StudyDate", "2", "20240229", False),
        ("AcquisitionDateTime", "20240229101530", "20240229", True),
        ("AcquisitionDateTime", "20240229101530", "20240301-", False),
        ("AcquisitionDateTime", "20240229101530+0100", "20240229091530+0000", True),
        # names
        ("PatientName", "MULLER^JORG", "Müller^Jörg", True),
        ("PatientName", "Müller^Jörg", "muller^jorg", True),
        ("PatientName", "Müller^Jörg^^^", "Müller^Jörg", True),
        ("PatientName", "Müller^Jörg", "Müller*", True),
        ("PatientName", "Müller^Jörg", "Müller", False),
        ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田*", True),
        ("PatientName", "Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太郎", True),
        ("PatientName", "Yamada^Tarou=山田^太郎", "Yamada^Tarou=山田^太朗", False),
        ("PatientName", "Yamada^Tarou=山田^太郎", "Yamada^Tarou", True),
        # several values
        ("ModalitiesInStudy", ["CT", "SR"], "SR", True),
        ("ModalitiesInStudy", ["CT", "SR"], "MR", False),
        ("ModalitiesInStudy", ["CT", "SR"], "CT\\SR", True),
        ("ModalitiesInStudy", "MR", "CT\\MR", True),
        ("ModalitiesInStudy", "US", "CT\\MR", False),
        # numbers
        ("SeriesNumber", "7", "7", True),
        ("SeriesNumber", "7", "07", True),
        ("SeriesNumber", "7", "8", False),
        ("SeriesNumber", "7", "x", False),
        ("PatientSize", "1.750", "1.75", True),
        ("PatientSize", "1.75", "1.7", False),
        ("Rows", 512, "512", True),
        ("Rows", 512, "513", False),
        ("RecommendedDisplayFrameRateInFloat", 0.1, "0.1", True),
        ("OffendingElement", 0x00100010, "0010,0010", True),
        ("OffendingElement", 0x00100010, "00100020", False),
    ],
)  # fmt: skip
def test_matching(keyword: str, value: object, wanted: str, verdict: bool | None) -> None:
    """An answer agrees with a key as PS3.4 section C.2.2.2 has it."""
    given_answer = answer(StudyID="1") if value is ... else answer(**{keyword: value})
    assert agrees(given_answer, keyword, wanted) is verdict


texts = st.text(st.characters(exclude_characters="\\=", exclude_categories=["C", "Z"]), min_size=1, max_size=16)
names = st.lists(texts, min_size=1, max_size=3).map("=".join)
VALUES = st.one_of(
    st.tuples(st.sampled_from(["AccessionNumber", "PatientID", "StudyDescription", "Modality"]), texts),
    st.tuples(st.just("PatientName"), names),
    st.tuples(st.just("StudyInstanceUID"), st.from_regex(r"1(\.[1-9][0-9]{0,5}){1,8}", fullmatch=True)),
    st.tuples(st.just("StudyDate"), st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8))),
    st.tuples(st.just("StudyTime"), st.times().map(lambda time: f"{time:%H%M%S.%f}")),
    st.tuples(st.just("SeriesNumber"), st.integers(-(2**31), 2**31 - 1).map(str)),
    st.tuples(st.just("PatientSize"), st.floats(0, 3, allow_nan=False).map(lambda size: f"{size:.6f}")),
    st.tuples(st.just("ModalitiesInStudy"), st.lists(texts, min_size=2, max_size=3).map("\\".join)),
)


@given(VALUES)
def test_a_value_agrees_with_itself(item: tuple[str, str]) -> None:
    """Whatever an archive holds is found by asking for exactly that."""
    keyword, value = item
    held = value.split("\\") if "\\" in value else value
    assert agrees(answer(**{keyword: held}), keyword, value) is True


def test_select_keeps_what_matches() -> None:
    """Answers that do not match, or do not say, are left out and counted."""
    answers = [answer(AccessionNumber=text) for text in ("1", "2", "1", "")] + [answer(StudyID="1")]
    kept, dropped = select(answers, {"AccessionNumber": "1"}, "archive")
    assert [item.AccessionNumber for item in kept] == ["1", "1"]
    assert dropped == 3


def test_select_without_keys_or_answers() -> None:
    """Nothing asked for is agreed with by all; no answer is no problem."""
    assert select([answer(StudyID="1")], {}, "archive")[1] == 0
    assert select([], {"AccessionNumber": "1"}, "archive") == ([], 0)


def test_an_archive_that_ignores_a_key() -> None:
    """If no answer carries a key nothing can be told, and that is an error, never an empty or a full table."""
    with pytest.raises(
        QueryRefused, match=r"archive answered 2 times without AccessionNumber.*ask by another key"
    ) as caught:
        select([answer(StudyID="1"), answer(StudyID="2")], {"AccessionNumber": "SECRET", "StudyID": "1"}, "archive")
    assert "SECRET" not in str(caught.value)

"""Requests and lockfiles made by hypothesis, for the tests of cohorts."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from dicomover import Node
from dicomover.cohort import LockState
from dicomover.cohort.content import Digest, LockedRequest, LockedSeries, LockedStudy
from dicomover.cohort.document import Document
from dicomover.cohort.frame import Frame
from dicomover.identifier import Level, Model

uids = st.from_regex(r"[1-9][0-9]{0,3}(\.[1-9][0-9]{0,3}){1,4}", fullmatch=True)
texts = st.text(max_size=12)
cells = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts
labels = st.integers() | texts | st.tuples(texts, st.integers())
series = st.builds(LockedSeries, uids, st.sampled_from(["", "CT", "MR"]), st.lists(uids, unique=True).map(tuple))
studies = st.builds(LockedStudy, uids, st.lists(series, max_size=3).map(tuple))
requests = st.builds(
    LockedRequest,
    labels,
    st.sampled_from(Level),
    st.sampled_from(Model),
    st.dictionaries(st.sampled_from(["AccessionNumber", "PatientID", "StudyInstanceUID"]), texts),
    st.dictionaries(texts, cells.filter(lambda cell: cell not in (float("inf"), float("-inf"))), max_size=3),
    st.sampled_from(LockState),
    st.lists(studies, max_size=2).map(tuple),
    st.none() | st.integers(1, 100),
    texts,
)
digests = st.dictionaries(uids, st.builds(Digest, st.integers(0), texts, uids), max_size=3)
documents = st.builds(
    Document,
    st.lists(requests, max_size=4).map(tuple),
    st.builds(Frame, st.dictionaries(texts, st.just("string")), st.just((None,))),
    st.just(Node("pacs.example.org", 104, ae_title="ARCHIVE")),
    st.just({"level": "auto", "model": "auto", "max_matches": None}),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.just({"dicomover": "0.1.0"}),
    st.just({"privacy": "plain"}),
    digests,
)

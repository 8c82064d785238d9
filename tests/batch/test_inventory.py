"""Files as a table: of what a request came to, and else of the UIDs that it names."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dicomover.batch.inventory import Held, list_files, sum_up_series, tabulate_files
from dicomover.journal import Journal
from dicomover.node import Node
from dicomover.requests.parse import parse_requests
from journal_kit import files

ARCHIVE = Node("10.0.0.1", 104, ae_title="ARCHIVE")


def test_keys_that_only_an_archive_can_look_up_have_nothing(tmp_path: Path) -> None:
    """A study is here by its UID, and not by a key that nothing was moved by; another archive has nothing of it."""
    for file in files("1", "2"):
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).touch()
    batch = parse_requests(
        [
            {"StudyInstanceUID": "1"},
            {"AccessionNumber": "A"},
            {"StudyInstanceUID": "1", "SeriesInstanceUID": "1.2", "SOPInstanceUID": "1.2.1\\1.2.9"},
            {"StudyInstanceUID": "1", "StudyDate": "20240101"},
        ]
    )
    with Journal(tmp_path / "journal.db") as journal:
        asked = journal.asked(batch.requests[0], archive="ANOTHER")
        journal.record(asked, None, place=journal.places(ARCHIVE)[0], brought={"P": files("1", "2")})
        held = list(list_files(batch, journal, ARCHIVE, tmp_path))
        assert not list(list_files(batch, journal, Node("10.0.0.2", 104, ae_title="ARCHIVE"), tmp_path))
    assert [(row.position, row.file.sop, row.intact) for row in held] == [
        (0, "1.2.1", False),
        (0, "1.2.2", False),
        (2, "1.2.1", False),
    ]


def test_no_files_make_a_table_of_the_same_columns(tmp_path: Path) -> None:
    """At both levels an empty table has the columns and dtypes of a full one."""
    full = [Held(0, file, True) for file in files("1", "2")]
    for level in ("IMAGE", "SERIES"):
        some, none = (tabulate_files(held, tmp_path, None, level) for held in (full, []))  # type: ignore[arg-type]
        assert some.dtypes.to_dict() == none.dtypes.to_dict()


def test_the_series_of_images_are_those_of_the_folder(tmp_path: Path) -> None:
    """A table of images comes to the table of series that the folder would: nothing is looked at twice."""
    keys = {"StudyInstanceUID": ["1", "1"], "split": ["train", None], "fold": [1, 2]}
    requests = pd.DataFrame(keys, index=["a", "b"])
    batch = parse_requests(requests)
    held = [Held(position, file, position == 0) for position in (0, 1) for file in files("1", "2")]
    images, series = (tabulate_files(held, tmp_path, batch, level) for level in ("IMAGE", "SERIES"))  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(sum_up_series(images), series)
    assert series["intact"].tolist() == [True, False]

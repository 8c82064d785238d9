"""The table that is kept beside the files."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from pathlib import Path

import pandas as pd
import pytest

from dicomover.images import cache
from dicomover.images.cache import read_cache, write_cache

TABLE = pd.DataFrame(
    {
        "path": pd.Series(["a", "b"], dtype="string"),
        "size": pd.Series([1, 2], dtype="int64"),
        "changed": pd.Series([2**62, 5], dtype="int64"),
        "Rows": pd.Series([None, 7], dtype="Int64"),
        "SliceThickness": pd.Series([2.5, None], dtype="Float64"),
        "Modality": pd.Series(["CT", None], dtype="string"),
    }
)


@pytest.fixture(params=["parquet", "sqlite"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Keep it in either form."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(cache, "_has_pyarrow", lambda: request.param == "parquet")
    return str(request.param)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    """Values, dtypes and what is missing survive; the file is for its owner alone, and nothing else is left."""
    write_cache(tmp_path, TABLE)
    found = read_cache(tmp_path, ["Rows", "Modality"])
    assert found is not None
    pd.testing.assert_frame_equal(found, TABLE)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_that_lacks_a_column_or_is_damaged_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A table without what is asked for, and a file that is none, are as if nothing were there; the latter is told."""
    write_cache(tmp_path, TABLE)
    assert read_cache(tmp_path, ["Rows", "KVP"]) is None
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"nonsense")
    assert read_cache(tmp_path, ["Rows"]) is None
    assert "cannot be read" in caplog.text


@pytest.mark.timeout(20)
def test_a_pipe_by_its_name_is_not_waited_for(tmp_path: Path) -> None:
    """Under either name it is as if nothing were there, and it is not replaced."""
    for name in (cache._PARQUET, cache._SQLITE):
        os.mkfifo(tmp_path / name)
    assert read_cache(tmp_path, []) is None
    write_cache(tmp_path, TABLE)
    assert all(path.is_fifo() for path in tmp_path.iterdir())


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "forgery",
    [
        "ALTER TABLE headers RENAME TO old; CREATE VIEW headers AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT old.* FROM old, n",
        "ALTER TABLE dtypes RENAME TO old; CREATE VIEW dtypes AS WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT old.* FROM old, n",
        "ALTER TABLE headers ADD COLUMN more AS (hex(zeroblob(100000000)))",
    ],
)
def test_what_is_no_plain_table_is_not_read(tmp_path: Path, kind: str, forgery: str) -> None:
    """A view may go on for ever, and so may a column that is computed; it is read anew."""
    if kind != "sqlite":
        pytest.skip("Parquet has neither")
    write_cache(tmp_path, TABLE)
    with contextlib.closing(sqlite3.connect(tmp_path / cache._SQLITE)) as database:
        database.executescript(forgery)
    assert read_cache(tmp_path, []) is None


@pytest.mark.parametrize("how", [{}, {"use_dictionary": False, "compression": "zstd"}], ids=["dictionary", "zstd"])
def test_what_unpacks_to_far_more_than_it_takes_is_not_unpacked(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, how: dict[str, object]
) -> None:
    """A long text that a Parquet file has once for all rows, or packed to nothing: it is read anew, without a look."""
    if kind != "parquet":
        pytest.skip("SQLite packs nothing")
    long = pd.concat([TABLE.iloc[:1].assign(Modality="A" * 10_000)] * 3_000)
    long.to_parquet(tmp_path / cache._PARQUET, index=False, **how)  # type: ignore[call-overload]
    assert (tmp_path / cache._PARQUET).stat().st_size < 100_000
    monkeypatch.setattr(pd, "read_parquet", lambda _: pytest.fail("it was unpacked"))
    assert read_cache(tmp_path, []) is None


def test_rows_without_a_value_are_bounded_too(tmp_path: Path, kind: str) -> None:
    """A million rows of nothing take no room in a file, and do in memory."""
    if kind != "parquet":
        pytest.skip("SQLite has a bound of its own")
    pd.DataFrame(index=range(1_000_000), columns=[f"column {n}" for n in range(20)], dtype="Int64").to_parquet(
        tmp_path / cache._PARQUET, index=False, use_dictionary=False
    )
    assert read_cache(tmp_path, []) is None


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Nothing is kept, and nothing raised."""
    write_cache(tmp_path / "nowhere", TABLE)
    assert read_cache(tmp_path / "nowhere", []) is None

"""The summaries of shards become the one of one machine, or are named for what they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from dicomover import merge, missing, report
from dicomover.errors import ConfigurationError, NoSuchFileError
from dicomover.requests.parse import parse_requests
from dicomover.requests.shards import Shard, take_shard
from dicomover.summary import Result, build, exit_code
from reporting_kit import NIGHT, moved

COUNT = 3
NAMES = [*"abcdefghij"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell tables apart in no time."""
    monkeypatch.setattr("dicomover.requests.shards._ROUNDS", 1)


def cohort(rows: int = len(NIGHT), index: Sequence[object] | None = None) -> pd.DataFrame:
    """Return a table whose keys are canaries, with columns of several kinds."""
    table = pd.DataFrame({"AccessionNumber": [f"CANARY{n}" for n in range(rows)]}, index=index, dtype="string")
    table["note"] = pd.Series(["=1+1", 'say "x", y', "", "ä"] * rows, dtype="string")[:rows].set_axis(table.index)
    table["age"] = pd.Series(range(rows), dtype="Int64").mask(lambda ages: ages == 1).set_axis(table.index)
    return table


def split(table: pd.DataFrame, results: Sequence[Result] = NIGHT, count: int = COUNT) -> list[pd.DataFrame]:
    """Return the summary of each shard."""
    batch = parse_requests(table)
    parts = [take_shard(batch, Shard(number, count)) for number in range(1, count + 1)]
    return [build([results[row] for row in rows], part.given) for part, rows in parts]


def refused(parts: Sequence[object]) -> str:
    """Return what is said of parts that are not one whole table; nothing of a patient."""
    with pytest.raises(ConfigurationError) as caught:
        merge(parts)  # type: ignore[arg-type]
    assert "CANARY" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("index", [None, NAMES, [*range(10, 20)], pd.Index([*NAMES[:9], "a"], name="who")])
def test_shards_come_to_the_whole(index: Sequence[object] | None) -> None:
    """Columns, dtypes, index, statuses, exit code and report are those of one machine, in whatever order they come."""
    table = cohort(index=index)
    whole, parts = build(NIGHT, table), split(table)
    merged = merge(reversed(parts))
    pd.testing.assert_frame_equal(merged, whole)
    assert type(merged.index) is type(whole.index)
    assert merged.attrs == {}
    assert exit_code(merged) == exit_code(whole) == 1
    assert str(report(merged)) == str(report(whole))
    assert missing(merged).equals(missing(whole))
    assert len(parse_requests(merged)) == len(whole)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_come_to_the_whole(tmp_path: Path, kind: str) -> None:
    """What a command has written comes back as if one had written it, by the last digit of the seconds."""
    table = cohort()
    results = [moved(3, seconds=seconds) for seconds in (0.1 + 0.2, 1 / 3, 1e-7, 123456.789012345, 0.0, *[2.0] * 5)]
    results[3].started = datetime(2024, 2, 29, 19, 0, 0, 1, tzinfo=UTC)
    whole, paths = build(results, table), []
    for number, part in enumerate(split(table, results)):
        paths.append(tmp_path / f"{number}.{kind}")
        part.to_csv(paths[-1], index=False) if kind == "csv" else part.to_parquet(paths[-1], index=False)
    merged = merge(map(str, paths))
    if kind == "csv":
        whole = whole.assign(age=["0", "", *map(str, range(2, 10))]).astype({"age": "string"})
    pd.testing.assert_frame_equal(merged, whole)


def test_a_shard_without_rows_is_no_missing_one(tmp_path: Path) -> None:
    """More shards than rows: those without any may be there, as a file or a table, or not."""
    table = cohort(2)
    parts = split(table, NIGHT, 40)
    pd.testing.assert_frame_equal(merge(parts), build(NIGHT[:2], table))
    pd.testing.assert_frame_equal(merge([part for part in parts if len(part)]), build(NIGHT[:2], table))
    (empty, *_), (full, *_) = [part for part in parts if not len(part)], [part for part in parts if len(part)]
    empty.to_csv(tmp_path / "empty.csv", index=False)
    names = [str(tmp_path / "empty.csv"), full]
    said = refused(names)
    assert "no summary is here of shard=" in said
    assert empty.columns[-16].split(":")[0].removeprefix("shard ") not in said.split("; ")[0]
    nothing = split(cohort(0), NIGHT)
    pd.testing.assert_frame_equal(merge(nothing), build([], cohort(0)))


def test_what_is_missing_is_named() -> None:
    """A shard that is missing, or rows of one, never goes unnoticed."""
    parts = split(cohort())
    assert "no summary is here of shard='2/3';" in refused([parts[0], parts[2]])
    assert "of shard='1/3' and shard='3/3'" in refused(parts[1])  # type: ignore[arg-type]
    assert f"shard 3/3 has {len(parts[2]) - 1} of its {len(parts[2])} rows" in refused([*parts[:2], parts[2][1:]])
    assert "nothing to merge" in refused([])


def test_a_number_of_shards_is_not_believed() -> None:
    """A file may name a thousand million shards: what is missing is said at once, and as much as one reads."""
    part = split(cohort())[0]
    mark = next(name for name in part.columns if str(name).startswith("shard "))
    told = refused([part.rename(columns={mark: mark.replace("shard 1/3", "shard 1/999999999")})])
    assert "shard='2/999999999'" in told
    assert "and 999,999,988 more" in told
    for none in ("1/" + "9" * 5000, "0/0", "4/3"):
        assert "none of its columns" in refused([part.rename(columns={mark: mark.replace("1/3", none)})])


def test_what_is_there_twice_is_named() -> None:
    """A shard that ran twice into two files, or a row that was copied, is not counted twice."""
    parts = split(cohort())
    assert f"part 1 and part 4 both have {len(parts[0])} rows (" in refused([*parts, parts[0]])
    assert "part 3 has row " in refused([*parts[:2], pd.concat([parts[2], parts[2][:1]])])


def test_shards_of_different_tables_are_refused() -> None:
    """A table that was sorted, or has other rows or columns, and another number of shards, do not mix."""
    parts = split(cohort())
    for other in (cohort()[::-1], cohort(9), cohort().assign(note="other")):
        assert "different tables: part 1 and part 2 of table" in refused([*parts[:2], split(other)[2]])
    assert "(10 rows in 4 shards)" in refused([*parts[:2], split(cohort(), count=4)[2]])
    assert "with other columns" in refused([*parts[:2], parts[2].drop(columns="note")])


def test_what_is_no_shard_is_named(tmp_path: Path) -> None:
    """The whole, another table, places that are none and files of another kind are told by their names."""
    parts = split(cohort())
    mark = parts[0].columns[-16]
    merge(parts).to_csv(tmp_path / "all.csv", index=False)
    assert "all.csv is no summary of one shard: none of its columns" in refused([str(tmp_path / "all.csv"), *parts])
    assert "part 1 is no summary of one shard: 3 of its" in refused([pd.concat(parts)])
    assert "has no column status" in refused([parts[0].drop(columns="status")])
    for wrong in (99, -1, 0.5, None, "CANARY"):
        assert "part 1 has rows without their place" in refused([parts[0].assign(**{mark: wrong})])
    (tmp_path / "one.json").write_text("[]")
    assert "one.json ends in .json; give a .csv or .parquet" in refused([tmp_path / "one.json"])
    (tmp_path / "torn.parquet").write_bytes(b"PAR1CANARY")
    assert "torn.parquet is no Parquet file" in refused([tmp_path / "torn.parquet"])
    for name in ("gone.csv", "gone.parquet"):
        with pytest.raises(NoSuchFileError):
            merge([tmp_path / name])

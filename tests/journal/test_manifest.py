"""Which files a request brought, and whether they still lie there as they came."""

from __future__ import annotations

import contextlib
import json
import os
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomover.events import Arrival
from dicomover.journal import Decision, File, FileCheck, Manifest, check_files, decide
from dicomover.journal.manifest import pack_files, unpack_files
from dicomover.outcome import Status
from dicomover.privacy import DamagedRecord
from dicomover.summary import Result
from journal_kit import files


def _lay(folder: Path, names: str) -> Manifest:
    """Put files into a folder, and take them down as arrivals."""
    kept = []
    for name in names:
        path = folder / "P" / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"DICM" + name.encode())
        arrival = Arrival(path, "1.2.840.10008.5.1.4.1.1.2", f"1.2.{name}", "1", "1.2", "P", "1.2", 1, "A")
        kept.append(File.of(arrival, folder))
    return Manifest(tuple(kept))


def test_files_that_are_untouched_are_intact(tmp_path: Path) -> None:
    """An arrival is taken down relative to the folder, with the size of the file, and found again."""
    manifest = _lay(tmp_path, "abc")
    assert manifest.files[0][:5] == ("P/a.dcm", "1.2.a", "1.2", "1", 5)
    assert manifest.bytes == 15
    assert check_files(manifest, tmp_path) == FileCheck(manifest)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert check_files(manifest, moved) == FileCheck(manifest)


def test_deleted_and_changed_files_are_noticed(tmp_path: Path) -> None:
    """Gone, another size, another time, or a folder in its place: each is seen."""
    manifest = _lay(tmp_path, "abcde")
    (tmp_path / "P" / "a.dcm").unlink()
    (tmp_path / "P" / "b.dcm").write_bytes(b"longer than before")
    os.utime(tmp_path / "P" / "c.dcm", ns=(0, manifest.files[2].mtime_ns + 1))
    (tmp_path / "P" / "d.dcm").unlink()
    (tmp_path / "P" / "d.dcm").mkdir()
    check = check_files(manifest, tmp_path)
    assert [file.sop for file in check.missing] == ["1.2.a"]
    assert [file.sop for file in check.changed] == ["1.2.b", "1.2.c", "1.2.d"]
    assert check.intact.instances == {"1.2.e"}


def test_a_folder_that_is_a_file_now_has_lost_its_files(tmp_path: Path) -> None:
    """A path through something that is no folder is missing, not an error."""
    manifest = _lay(tmp_path, "a")
    (tmp_path / "P" / "a.dcm").unlink()
    (tmp_path / "P").rmdir()
    (tmp_path / "P").touch()
    assert check_files(manifest, tmp_path).missing == manifest.files


def test_a_file_outside_of_the_folder_is_not_taken_down(tmp_path: Path) -> None:
    """A path that is not below the folder could not be found again."""
    (tmp_path / "a.dcm").touch()
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="is not in the subpath"):
        File.of(Arrival(tmp_path / "a.dcm", "", "", "", "", "", "", 1, "A"), tmp_path / "in")


def test_later_files_replace_those_with_their_path_or_instance() -> None:
    """A manifest that takes in a retry has each instance where it lies now."""
    first = Manifest(files("1", "2", "3"))
    moved = files("2")[0]._replace(path="elsewhere/2.dcm")
    overwritten = files("4")[0]._replace(path="P/1/3.dcm")
    merged = first.merge([moved, overwritten])
    assert merged.files == (*files("1"), moved, overwritten)
    assert first.merge([]) == first


def test_one_uid_in_two_series_is_two_instances() -> None:
    """Both count, and neither replaces the other; other bytes in the same series do."""
    here = Manifest((File("A/1.dcm", "1", "A", "0", 10, 5), File("B/1.dcm", "1", "B", "0", 10, 5)))
    assert (here.count, sorted(here.instances)) == (2, ["1"])
    again = here.merge([File("B/1~1.dcm", "1", "B", "0", 12, 6)])
    assert [file.path for file in again.files] == ["A/1.dcm", "B/1~1.dcm"]
    twice = Manifest((*here.files, File("B/1~1.dcm", "1", "B", "0", 12, 6)))
    assert twice.count == 2, "the same instance twice is one"
    done = Result(Status.SUCCESS, 0, expected=2, received=2)
    assert decide(done, FileCheck(here)) is Decision.SKIP
    assert decide(done, FileCheck(Manifest(here.files[:1]))) is Decision.RETRY


@pytest.mark.parametrize(
    "path",
    ["../victim", "P/../../victim", "/etc/passwd", "P//a.dcm", "./P/a.dcm", "", "P/", "link/victim", "P/link", "P/\0"],
)
def test_a_path_that_leads_elsewhere_leads_to_nothing(tmp_path: Path, path: str) -> None:
    """What a journal says is checked: nothing outside the folder is intact, through no link, whatever its size."""
    root = tmp_path / "in"
    root.mkdir()
    (manifest,) = _lay(root, "a").files
    (tmp_path / "victim").write_bytes(b"DICMa")
    (root / "link").symlink_to(tmp_path)
    (root / "P" / "link").symlink_to(tmp_path / "victim")
    seen = (tmp_path / "victim").stat()
    tampered = Manifest((manifest._replace(path=path, size=seen.st_size, mtime_ns=seen.st_mtime_ns), manifest))
    check = check_files(tampered, root)
    assert check.intact.files == (manifest,)
    (tmp_path / "reached").symlink_to(root)
    assert check_files(Manifest((manifest,)), tmp_path / "reached").intact.files == (manifest,)


def test_a_pipe_in_the_place_of_a_file_is_changed_and_not_opened(tmp_path: Path) -> None:
    """What is no file is not as it came, and nobody waits for it."""
    manifest = _lay(tmp_path, "a")
    (tmp_path / "P" / "a.dcm").unlink()
    os.mkfifo(tmp_path / "P" / "a.dcm")
    assert check_files(manifest, tmp_path).changed == manifest.files


WHOLE = json.loads(zlib.decompress(pack_files(files("1", "22"), "P")))


@pytest.mark.parametrize("column", range(len(WHOLE)))
@pytest.mark.parametrize("value", [7, None, [], [["1"]], [1.5, True], {}, [7, None], "text", -1, ["a", "b", "c"]])
def test_files_of_other_types_are_damaged(column: int, value: object) -> None:
    """A value of another type than was written is our error, and never a TypeError later."""
    assert unpack_files(zlib.compress(json.dumps(WHOLE).encode()), "P", "1", "1.2") == files("1", "22")
    content = [*WHOLE]
    content[column] = value
    with contextlib.suppress(DamagedRecord):
        for file in unpack_files(zlib.compress(json.dumps(content).encode()), "P", "1", "1.2"):
            assert [type(each) for each in file] == [str] * 4 + [int] * 2 + [str] * 2 + [bool]


@pytest.mark.parametrize(
    "packed", [zlib.compress(b"[" * 200_000), b"", zlib.compress(b"{}")[:-3], b"\0", zlib.compress(bytes(1 << 26), 9)]
)
def test_files_that_are_none_are_damaged(packed: bytes) -> None:
    """Deep, empty, cut short, no compressed content at all, or a bomb: of that no more is inflated than of ours."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedRecord):
            unpack_files(packed, "P", "1", "1.2")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@given(
    st.lists(
        st.builds(
            File, st.text(min_size=1), st.text("0123.*"), st.just("S"), st.just("T"), st.integers(), st.integers(),
            st.text(), st.text(),
        )
    )
)  # fmt: skip
def test_any_files_come_back(kept: list[File]) -> None:
    """Whatever their names and UIDs are, and whatever a name has in common with its UID."""
    kept = [*kept, *(file._replace(path=f"*/{file.sop}/{file.sop}*.dcm") for file in kept)]
    assert unpack_files(pack_files(kept, "P"), "P", "T", "S") == tuple(kept)


def test_a_file_takes_few_bytes() -> None:
    """A series of 100 images with UIDs as random as they come takes less than 40 bytes for each."""
    rng = random.Random(7)
    sops = [f"2.25.{rng.getrandbits(127)}" for _ in range(100)]
    times = [1_700_000_000_000_000_000 + n * 7_000_000 + rng.randrange(10**6) for n in range(100)]
    many = [
        File(f"P/1/1.2/{sop}.dcm", sop, "1.2", "1", 524_288, time, "1.2.840.10008.1.2.1", "0" * 32)
        for sop, time in zip(sops, times, strict=True)
    ]
    assert len(pack_files(many, "P")) < 40 * 100

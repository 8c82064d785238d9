"""What we write is whole or not there, and for whom it is meant."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from dicomover.cohort.folder import index_folder
from dicomover.disk import create_file, list_files, make_folders, modes_in, replace_file
from dicomover.errors import ConfigurationError
from dicomover.images.table import index
from dicomover.receiver import Receiver


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The old file is there until the new one is whole; afterwards there is one file, the new one."""
    target = tmp_path / "cohort.csv"
    target.write_text("old")
    with replace_file(target) as part:
        part.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("trouble", [OSError, KeyboardInterrupt])
def test_trouble_leaves_the_old_file_and_nothing_else(tmp_path: Path, trouble: type[BaseException]) -> None:
    """An error or an interrupt while the new file is written changes nothing."""
    target = tmp_path / "cohort.csv"
    target.write_text("old")

    def write_half() -> None:
        with replace_file(target) as part:
            part.write_text("ne")
            raise trouble

    with pytest.raises(trouble):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_new_file_is_for_its_owner_alone_unless_shared(tmp_path: Path) -> None:
    """0600 from its first byte; the group or all may read it if that is said, whatever the umask."""
    before = os.umask(0o022)
    try:
        for share, mode in (("owner", 0o600), ("group", 0o660), ("all", 0o664)):
            with replace_file(tmp_path / share, share) as part:  # type: ignore[arg-type]
                assert stat.S_IMODE(part.stat().st_mode) == mode
            assert stat.S_IMODE((tmp_path / share).stat().st_mode) == mode
    finally:
        os.umask(before)


def test_nothing_is_written_through_a_link_that_lies_in_wait(tmp_path: Path) -> None:
    """A file is created where nothing lies, and a link is something."""
    (tmp_path / "trap").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "trap", "owner")
    with replace_file(tmp_path / "trap") as part:
        part.write_text("ours")
    assert not (tmp_path / "trap").is_symlink()
    assert not (tmp_path / "victim").exists()


def test_a_default_acl_decides_for_what_comes_into_its_folder(tmp_path: Path) -> None:
    """Whom a folder's default ACL lets read, can read what we write there."""
    entries = ((1, 7, -1), (2, 5, 65534), (4, 0, -1), (16, 5, -1), (32, 0, -1))  # user:65534:r-x among them
    raw = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", raw)
    except (OSError, AttributeError):
        pytest.skip("no ACLs here")
    with replace_file(tmp_path / "read by 65534") as part:
        assert stat.S_IMODE(part.stat().st_mode) & 0o070 == 0o040  # of a file with an ACL that is its mask
    assert modes_in(tmp_path, "owner") == (0o666, 0o777, False)


def test_folders_that_are_missing_are_made_for_their_owner(tmp_path: Path) -> None:
    """Each folder that had to be made is 0700; one that was there stays as it was."""
    tmp_path.chmod(0o755)
    make_folders(tmp_path / "a" / "b", "owner")
    make_folders(tmp_path, "owner")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]


def test_an_unknown_share_is_refused(tmp_path: Path) -> None:
    """Who may read is said in one of three words."""
    with pytest.raises(ConfigurationError, match="'owner', 'group' or 'all'"):
        Receiver(tmp_path, ae_title="ME", on_event=print, share="everybody")  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_read_is_named_by_the_one_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own name may be a patient's; what was asked for is what whoever asked knows."""
    (tmp_path / "XYZZY").mkdir()
    look = os.scandir

    def refuse(path: str) -> object:
        if "XYZZY" in path:
            raise PermissionError(13, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    for read in (lambda: list(list_files(tmp_path)), lambda: index(tmp_path), lambda: index_folder(tmp_path)):
        with pytest.raises(PermissionError, match="Permission denied, of what is below") as caught:
            read()
        assert "XYZZY" not in str(caught.value)
        assert caught.value.filename == str(tmp_path)

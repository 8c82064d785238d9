"""Folders below the receive folder are held as they were: no link, no other disk, nobody else's file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from dicomover.disk import make_folders
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp import folders
from dicomover.receiver.scp.filing import Filing
from dicomover.receiver.scp.folders import Folder, Root
from receiver_kit import running


@pytest.fixture(params=["nameless", "named"], autouse=True)
def _files_have_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try all of this where a file needs no name until it is whole, and where it does."""
    if request.param == "named":
        monkeypatch.setattr(folders, "_NAMELESS", 0)


def test_what_is_filed_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Files get 0600 and folders 0700 whatever the umask; `share` widens that, and no umask takes it back."""
    before = os.umask(0)
    try:
        for umask, share, file, folder in (
            (0o022, "owner", 0o600, 0o700),
            (0o000, "owner", 0o600, 0o700),
            (0o002, "group", 0o660, 0o770),
            (0o077, "group", 0o660, 0o770),
            (0o077, "all", 0o664, 0o775),
        ):
            os.umask(umask)
            root = tmp_path / f"{share}-{umask}"
            make_folders(root, share)
            filing = Filing(str(root), Layout("a/b/{SOPInstanceUID}.dcm"), share=share)
            part, final = filing.begin({"SOPInstanceUID": "1.2"})
            part.write([b"whole"])
            filing.publish(part, final)
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "a", root / "a" / "b", Path(final))]
            assert modes == [folder, folder, folder, file]
    finally:
        os.umask(before)


def test_who_has_shared_a_folder_has_shared_what_comes_into_it(tmp_path: Path) -> None:
    """In a set-group-id folder the group reads what the umask leaves it, also in the folders made below."""
    root = tmp_path / "lab"
    root.mkdir()
    root.chmod(0o2750)
    before = os.umask(0o022)
    try:
        filing = Filing(str(root), Layout("a/{SOPInstanceUID}.dcm"))
        part, final = filing.begin({"SOPInstanceUID": "1.2"})
        filing.publish(part, final)
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(final).stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "a").stat().st_mode) == 0o2750


@pytest.mark.parametrize("kind", ["link to a file", "broken link", "pipe", "folder"])
def test_what_is_no_file_refuses_the_image(tmp_path: Path, kind: str) -> None:
    """A link, a pipe or a folder under an image's name is neither followed nor waited for nor replaced."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    with running(tmp_path, False, layout="{SOPInstanceUID}.dcm", existing="replace") as run:
        place = run.folder / "1.2.dcm"
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "folder":
            place.mkdir()
        else:
            place.symlink_to(victim if kind == "link to a file" else tmp_path / "nowhere")
        with run.peer() as peer:
            assert peer.store("1.2") == 0x0110
            peer.release()
        run.wait(1)
        assert "is no file but a link" in run.refusals[0].why
        assert victim.read_text() == "precious"
        assert not (tmp_path / "nowhere").exists()
        assert [path.name for path in run.folder.iterdir()] == ["1.2.dcm"]


def test_a_folder_that_is_a_link_refuses_the_image(tmp_path: Path) -> None:
    """Where a link lies in the place of a patient's folder nothing is filed through it; the reason is told."""
    (tmp_path / "elsewhere").mkdir()
    with running(tmp_path, False) as run, run.peer() as peer:
        (run.folder / "4711").symlink_to(tmp_path / "elsewhere")
        assert peer.store("1.2") == 0x0110
        peer.release()
        run.wait(1)
        assert "a link or a file lies where its folder should be" in run.refusals[0].why
        assert list((tmp_path / "elsewhere").iterdir()) == []


def file_one(filing: Filing, uid: str = "1.2", patient: str = "4711") -> Path:
    """File something, and return where it lies."""
    part, final = filing.begin({"PatientID": patient, "SOPInstanceUID": uid})
    part.write([b"whole"])
    try:
        return Path(filing.publish(part, final).path)
    finally:
        part.abandon()


def test_the_receive_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    """Whoever names a link means where it leads."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cohort").symlink_to(tmp_path / "disk")
    filing = Filing(str(tmp_path / "cohort"), Layout("{SOPInstanceUID}.dcm"))
    assert file_one(filing) == tmp_path / "disk" / "1.2.dcm"
    filing.sync()


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("trouble", ["renamed", "removed", "replaced"])
def test_a_receive_folder_that_is_another_one_now_is_noticed(tmp_path: Path, trouble: str, begun: bool) -> None:
    """Renamed, removed or replaced meanwhile, also within an image: nothing is filed elsewhere, and sync() fails."""
    root = tmp_path / "cohort"
    root.mkdir()
    filing = Filing(str(root), Layout("a/{SOPInstanceUID}.dcm"))
    file_one(filing)
    part, final = filing.begin({"SOPInstanceUID": "1.3"}) if begun else (None, "")
    if trouble == "removed":
        shutil.rmtree(root)
    else:
        root.rename(tmp_path / "away")
    if trouble == "replaced":
        root.mkdir()
    with pytest.raises(OSError, match="gone or another one|No such file" if begun else "gone or another one"):
        file_one(filing) if part is None else filing.publish(part, final)
    with pytest.raises(OSError, match="gone or another one"):
        filing.sync()
    assert not root.exists() or not list(root.iterdir())


def test_a_folder_that_was_renamed_meanwhile_takes_nothing_under_its_old_name(tmp_path: Path) -> None:
    """What was begun in it is refused, since its path would lead nowhere; the next image makes the folder anew."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(OSError, match="renamed or removed"):
        filing.publish(part, final)
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    assert Path(filing.publish(part, final).path).exists()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("linked", ["folder", "above", "file", "gone", "a-file", "pipe", "socket", "a-folder"])
def test_what_its_owner_has_moved_away_holds_up_no_sync(tmp_path: Path, linked: str) -> None:
    """A folder or file that was moved, with a link back or something else in its place, ends or stops no sync."""
    root = tmp_path / "cohort"
    root.mkdir()
    filing = Filing(str(root), Layout("{PatientID}/a/{SOPInstanceUID}.dcm"))
    there = file_one(filing)
    file_one(filing, patient="4712")
    alone = dict.fromkeys(("file", "pipe", "socket", "a-folder"), there)
    moved = {"above": there.parent.parent, **alone}.get(linked, there.parent)
    moved.rename(tmp_path / "elsewhere")
    if linked == "a-file":
        moved.touch()
    elif linked == "pipe":
        os.mkfifo(moved)
    elif linked == "socket":
        os.mknod(moved, stat.S_IFSOCK | 0o600)
    elif linked == "a-folder":
        moved.mkdir()
    elif linked != "gone":
        moved.symlink_to(tmp_path / "elsewhere")
    filing.sync()


def test_a_folder_that_was_renamed_is_made_anew_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it has another name than the layout gives it, since a file system takes that for another's."""
    monkeypatch.setattr(folders, "_is_spelled_otherwise", lambda _, name: name == "a")
    (tmp_path / "a").mkdir()
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    Path(part.folder.path).rename(tmp_path / "b")
    with pytest.raises(OSError, match="renamed or removed"):
        filing.publish(part, final)
    assert file_one(filing).exists()


def test_no_link_is_given_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is widened is the folder that was made, whatever lies under its name by then."""
    victim = tmp_path / "victim"
    victim.mkdir(0o700)
    enter = Root._enter

    def swap(root: Root, above: Folder, name: str) -> Folder:
        folder = enter(root, above, name)
        Path(folder.path).rmdir()
        Path(folder.path).symlink_to(victim)
        return folder

    monkeypatch.setattr(Root, "_enter", swap)
    before = os.umask(0o077)
    try:
        with contextlib.suppress(OSError):
            Root(str(tmp_path), "all").open(f"{tmp_path}{os.sep}new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o700


def test_a_file_system_that_cannot_sync_folders_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where fsync of a folder is EINVAL or not supported, sync() succeeds and one warning says what that means."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    for uid in ("1.2", "1.3"):
        part, final = filing.begin({"SOPInstanceUID": uid})
        filing.publish(part, final)
        filing.sync()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the file system of the receive folder cannot make files and folders durable, so that a power cut may take "
        "the last of them"
    ]


def test_folders_that_a_file_system_takes_for_one_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where case is nothing, an ID that differs only in case gets a folder of its own, the same one on every run."""
    real_mkdir, real_stat = os.mkdir, os.stat

    def on_disk(path: str) -> str:
        where, name = os.path.split(path)
        return f"{where}{os.sep}ab12" if where and name == "AB12" else "ab12" if name == "AB12" else path

    monkeypatch.setattr(os, "mkdir", lambda path, *args, **named: real_mkdir(on_disk(path), *args, **named))
    monkeypatch.setattr(
        os, "stat", lambda path, **named: real_stat(on_disk(path) if isinstance(path, str) else path, **named)
    )
    for uid in ("1.2", "1.3"):
        filing = Filing(str(tmp_path), Layout("{PatientID}/{SOPInstanceUID}.dcm"))
        places = [file_one(filing, uid, patient).parent.name for patient in ("ab12", "AB12")]
        assert places == ["ab12", f"AB12~{hashlib.sha256(b'AB12').hexdigest()[:16]}"]
    assert [len(list(path.iterdir())) for path in tmp_path.iterdir()] == [2, 2]

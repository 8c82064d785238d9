"""Files get their names without taking another's, are made durable, and leave nothing behind when the disk is full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from dicomover.dicomfile import encode_file_meta
from dicomover.errors import ReceiverError
from dicomover.events import Arrival
from dicomover.receiver.layout import Layout
from dicomover.receiver.scp import folders
from dicomover.receiver.scp.filing import Filing
from receiver_kit import (
    SERIES,
    STUDY,
    Start,
    body_of,
    data_set,
    running,
)


@pytest.fixture(params=["nameless", "named"], autouse=True)
def _files_have_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try all of this where a file needs no name until it is whole, and where it does."""
    if request.param == "named":
        monkeypatch.setattr(folders, "_NAMELESS", 0)


def test_two_associations_with_one_uid_at_once(start_one: Start) -> None:
    """Duplicates and conflicts from several associations at the same time: one file for each data set, no more."""
    versions = [data_set("1.2", pixels=bytes([n]) * 200_000) for n in range(3)]
    with start_one() as run:
        statuses: list[int] = []

        def send(number: int) -> None:
            with run.peer() as peer:
                statuses.extend(peer.store("1.2", versions[(number + i) % 3], chunk=50_000) for i in range(9))
                peer.release()

        senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        assert statuses == [0] * 36
        run.wait(36)
        assert sorted(body_of(path) for path in run.files()) == sorted(versions)
        assert sum(not arrival.duplicate for arrival in run.arrivals) == 3
        assert sum(arrival.conflict and not arrival.duplicate for arrival in run.arrivals) == 2


def test_below_the_free_space_floor_nothing_is_taken(tmp_path: Path) -> None:
    """Under the floor the answer is 0xA700, with a refusal and without a half file."""
    with running(tmp_path, False) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        filing = run.receiver._engine._service.storage.filing  # type: ignore[union-attr]
        filing._floor, filing._space_until = 1 << 62, 0.0
        assert peer.store("1.3") == 0xA700
        filing._floor = 0
        assert peer.store("1.3") == 0
        peer.release()
        run.wait(3)
        assert run.refusals[0].status == 0xA700
        assert "MiB are free on the disk, and 4398046511104 MiB are to stay free" in run.refusals[0].why


def test_a_full_disk_is_answered_and_a_rerun_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC and EDQUOT in the middle of a file, on creating it and on naming it give 0xA700, and no half file."""
    with running(tmp_path, False) as run, run.peer() as peer:
        for code, function in ((errno.ENOSPC, "writev"), (errno.EDQUOT, "writev"), (errno.ENOSPC, "link")):

            def full(*_: object, code: int = code, **__: object) -> int:
                raise OSError(code, os.strerror(code))

            with monkeypatch.context() as patch:
                patch.setattr(os, function, full)
                assert peer.store("1.2", data_set("1.2", pixels=bytes(900_000))) == 0xA700
            assert not list(run.folder.rglob("*.*"))[3:]
        assert peer.store("1.2") == 0
        peer.release()
        assert [refusal.status for refusal in run.wait(4) if refusal in run.refusals] == [0xA700] * 3


def test_a_file_size_limit_is_answered(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in the receiver's own process: 0xA700 for what is too large, success for what is not."""
    resource = pytest.importorskip("resource")
    with running(tmp_path, True) as run, run.peer() as peer:
        process = run.receiver._engine._process  # type: ignore[union-attr]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        assert peer.store("1.2", data_set("1.2", pixels=bytes(900_000))) == 0xA700
        assert peer.store("1.3", data_set("1.3", pixels=bytes(9_000))) == 0
        peer.release()
        run.wait(2)
        assert [path.name for path in run.files()] == ["1.3.dcm"]


def test_a_small_file_system_fills_up_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """On a real file system of 1 MB: 0xA700 when it is full, and success again when there is room."""
    mount = tmp_path / "cohort"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with running(tmp_path, True, free_space_floor=0) as run, run.peer() as peer:
            large = data_set("1.2", pixels=bytes(600_000))
            assert peer.store("1.2", large) == 0
            other = data_set("1.3", pixels=bytes(600_000))
            assert peer.store("1.3", other) == 0xA700
            run.files()[0].unlink()
            assert peer.store("1.3", other) == 0
            peer.release()
            assert body_of(run.files()[0]) == other
    finally:
        subprocess.run(["umount", mount], check=True)


def test_half_files_of_a_killed_receiver_are_swept_up_later(tmp_path: Path) -> None:
    """A `.part` of ours that nobody has written to for a while goes; a fresh one and those of others stay."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    (tmp_path / "a").mkdir()
    ours = [f"dicomover-{'0' * 12}-{number:016x}.part" for number in (1, 2)]
    theirs = ["thesis.7z.part", "0123456789ab-1-2.part", f"dicomover-{'0' * 12}-1.part", f"{ours[0]}.part"]
    for name in (*ours, *theirs):
        (tmp_path / "a" / name).write_bytes(b"half")
        if name != ours[1]:
            os.utime(tmp_path / "a" / name, (time.time() - 5000,) * 2)
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    part.write([b"whole"])
    filing.publish(part, final)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {ours[1], *theirs, "1.2.dcm"}


def test_files_that_were_there_before_are_left_alone(tmp_path: Path) -> None:
    """A file under our name that is no DICOM file is another one's: ours is kept beside it."""
    with running(tmp_path, False, layout="{SOPInstanceUID}.dcm") as run:
        run.folder.mkdir(exist_ok=True)
        (run.folder / "1.2.dcm").write_text("my notes")
        with run.peer() as peer:
            assert peer.store("1.2") == 0
            peer.release()
        assert (run.folder / "1.2.dcm").read_text() == "my notes"
        assert body_of(run.folder / "1.2.conflict-1.dcm") == data_set("1.2")


def test_without_hard_links_files_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system that has no hard links, nothing is overwritten either."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with running(tmp_path, False) as run:
        with run.peer() as peer:
            for n in (1, 2, 1, 2):
                assert peer.store("1.2", data_set("1.2", pixels=bytes([n]) * 100)) == 0
            peer.release()
        assert len(run.files()) == 2
        run.wait(4)
        assert [arrival.duplicate for arrival in run.arrivals] == [False, False, True, True]


def test_the_same_again_is_a_success_and_others_are_kept_beside(start: Start) -> None:
    """The same bytes again are a duplicate; other bytes under the same UID lie beside the first."""
    first, second = data_set("1.2"), data_set("1.2", pixels=b"\1" * 2000)
    with start() as run:
        with run.peer() as peer:
            assert [peer.store("1.2", data) for data in (first, first, second, second)] == [0, 0, 0, 0]
            peer.release()
        told = run.wait(4)
        assert [(event.duplicate, event.conflict) for event in told if isinstance(event, Arrival)] == [
            (False, False),
            (True, False),
            (False, True),
            (True, True),
        ]
        assert [path.name for path in run.files()] == ["1.2.conflict-1.dcm", "1.2.dcm"]
        assert body_of(run.arrivals[0].path) == first
        assert body_of(run.arrivals[2].path) == second


@pytest.mark.parametrize(("existing", "status", "survivor"), [("replace", 0, 1), ("error", 0x0111, 0)])
def test_existing_says_what_happens_to_other_bytes(start: Start, existing: str, status: int, survivor: int) -> None:
    """With `replace` the new bytes win, with `error` the old ones do; there is one file either way."""
    versions = data_set("1.2"), data_set("1.2", pixels=b"\1" * 2000)
    with start(existing=existing) as run:
        with run.peer() as peer:
            assert peer.store("1.2", versions[0]) == 0
            assert peer.store("1.2", versions[1]) == status
            assert peer.store("1.2", versions[survivor]) == 0
            peer.release()
        (path,) = run.files()
        assert body_of(path) == versions[survivor]
        run.wait(3)
        assert run.events[-1].duplicate  # type: ignore[union-attr]


def test_sync_flushes_files_and_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sync() flushes each new file and every folder up to the root, once."""
    flushed: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    with running(tmp_path, False) as run, run.peer() as peer:
        monkeypatch.setattr(os, "fsync", fsync)
        assert [peer.store("1.2"), peer.store("1.3")] == [0, 0]
        assert flushed == [], "not per image"
        run.receiver.sync()
        peer.release()
        patient = run.folder / "4711"
        expected = [*run.files(), run.folder, patient, patient / STUDY, patient / STUDY / SERIES]
        assert sorted(flushed) == sorted(map(str, expected))
        flushed.clear()
        run.receiver.sync()
        assert flushed == []


def test_the_first_copy_of_a_duplicate_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lay here when the same came again may never have been synced: it is now, before anybody counts on it."""
    where = Filing(str(tmp_path), Layout("{SOPInstanceUID}.dcm"))
    for again in (False, True):
        filing = where if not again else Filing(str(tmp_path), Layout("{SOPInstanceUID}.dcm"))
        part, final = filing.begin({"SOPInstanceUID": "1.2"})
        part.write([encode_file_meta("1", "1.2", "1.2.3"), b"whole"])
        assert filing.publish(part, final).duplicate is again
    done: list[int] = []
    monkeypatch.setattr(os, "fsync", done.append)
    filing.sync()
    assert len(done) == 2, "the file and its folder"


def test_a_sync_that_fails_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk does not take it sync() raises without naming a patient, and the next one tries all again."""
    with running(tmp_path, False) as run, run.peer() as peer:
        assert peer.store("1.2") == 0
        with monkeypatch.context() as patch:

            def fail(_: int) -> None:
                raise OSError(5, "Input/output error")

            patch.setattr(os, "fsync", fail)
            with pytest.raises(ReceiverError, match="could not be made durable") as caught:
                run.receiver.sync()
            assert "4711" not in str(caught.value)
        done: list[int] = []
        monkeypatch.setattr(os, "fsync", done.append)
        run.receiver.sync()
        assert len(done) == 5
        peer.release()


def test_versions_of_one_uid_have_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are kept beside one another; the next one is refused, said, and leaves nothing."""
    monkeypatch.setattr("dicomover.receiver.scp.filing._MOST_VERSIONS", 3)
    with running(tmp_path, False) as run, run.peer() as peer:
        versions = [data_set("1.2", pixels=bytes([number]) * 100) for number in range(5)]
        assert [peer.store("1.2", version) for version in versions] == [0, 0, 0, 0, 0x0111]
        assert [peer.store("1.2", version) for version in versions] == [0, 0, 0, 0, 0x0111]
        assert sorted(body_of(path) for path in run.files()) == sorted(versions[:4])
        run.wait(10)
        assert "4 versions lie under this SOP Instance UID already" in run.refusals[0].why
        assert run.refusals[0].mend
        peer.release()


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux alone has files without a name")
def test_nothing_is_seen_of_a_file_before_it_is_whole(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It has no name until it gets its own; where the file system of its folder has no such files, it is a `.part`."""
    is_nameless = "[nameless]" in request.node.name
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    part.write([b"who", b"le"])
    assert [path.suffix for path in (tmp_path / "a").iterdir()] == ([] if is_nameless else [".part"])
    filing.publish(part, final)
    part.close()
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()] == [("1.2.dcm", b"whole")]


def test_a_folder_that_is_removed_while_a_file_is_written(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A file without a name gets it in a new folder; one with a name went with the old one, and is told as lost."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    part.write([b"whole"])
    shutil.rmtree(tmp_path / "a")
    if "[nameless]" in request.node.name:
        assert Path(filing.publish(part, final).path).read_bytes() == b"whole"
    else:
        with pytest.raises(FileNotFoundError):
            filing.publish(part, final)
    part.close()


def test_a_file_that_is_ready_is_taken_only_where_it_belongs(tmp_path: Path) -> None:
    """What was opened for the next image serves one of the same folder; for another folder it is given back."""
    filing = Filing(str(tmp_path), Layout("{PatientID}/{SOPInstanceUID}.dcm"))
    part, _ = filing.begin({"PatientID": "A", "SOPInstanceUID": "1.2"})
    ready = filing.prepare(part.folder)
    if ready is not None:
        assert filing.begin({"PatientID": "A", "SOPInstanceUID": "1.3"}, ready)[0] is ready
        other, final = filing.begin({"PatientID": "B", "SOPInstanceUID": "1.4"}, ready)
        assert other is not ready
        assert ready.fd < 0
        assert filing.publish(other, final).path == str(tmp_path / "B" / "1.4.dcm")
        other.close()
    part.abandon()
    assert not [path for path in (tmp_path / "A").iterdir() if path.is_file()]


def test_files_without_a_name_are_not_tried_where_the_folder_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file system may lie below the receive folder, or /proc may be missing: then it is a `.part`, too."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    monkeypatch.setattr(folders.Folder, "create_nameless", lambda _: None)
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    assert part.name.endswith(".part")
    assert filing.publish(part, final).path == str(tmp_path / "a" / "1.2.dcm")

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.undo()
    monkeypatch.setattr(os, "link", refuse)
    assert not folders.Root(str(tmp_path)).has_nameless


def test_a_disk_that_says_no_at_the_close_has_filed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some disks tell at the close alone that they have not all of it: then nothing has the name, and it is told."""
    filing = Filing(str(tmp_path), Layout("a/{SOPInstanceUID}.dcm"))
    part, final = filing.begin({"SOPInstanceUID": "1.2"})
    part.write([b"whole"])

    def refuse(fd: int) -> None:
        close(fd)
        if fd == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    close, number = os.close, part.fd
    monkeypatch.setattr(os, "close", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        filing.publish(part, final)
    part.abandon()
    assert not list((tmp_path / "a").iterdir())


def test_a_file_that_is_ready_outlives_an_image_that_has_no_folder(tmp_path: Path) -> None:
    """An image that cannot be filed leaves what was opened for it to the next one: descriptors do not pile up."""
    filing = Filing(str(tmp_path), Layout("{PatientID}/{SOPInstanceUID}.dcm"))
    part, _ = filing.begin({"PatientID": "A", "SOPInstanceUID": "1.2"})
    ready = filing.prepare(part.folder)
    (tmp_path / "B").symlink_to(tmp_path / "A")
    with pytest.raises(OSError, match="a link or a file lies where"):
        filing.begin({"PatientID": "B", "SOPInstanceUID": "1.3"}, ready)
    if ready is not None:
        assert filing.begin({"PatientID": "A", "SOPInstanceUID": "1.4"}, ready)[0] is ready
        assert ready.fd >= 0
        ready.abandon()
    part.abandon()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors")
def test_images_that_cannot_be_filed_leave_no_descriptor(tmp_path: Path) -> None:
    """Images that are filed and images whose folder is a link, in turn: nothing stays open of either."""
    with running(tmp_path, False) as run, run.peer() as peer:
        (run.folder / "4712").symlink_to(tmp_path)
        counts = []
        for number in range(0, 60, 3):
            assert [peer.store(f"1.2.{number + n}", data_set(f"1.2.{number + n}")) for n in range(2)] == [0, 0]
            refused = f"1.2.{number + 2}"
            assert peer.store(refused, data_set(refused, patient="4712")) == 0x0110
            counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        assert max(counts[5:]) <= counts[4] + 1
        peer.release()

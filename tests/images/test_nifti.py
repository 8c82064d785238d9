"""A series as NIfTI, by dcm2niix."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomover import ConfigurationError, SeriesError, index, to_nifti, volume
from images_kit import make_slice, save

dcm2niix = pytest.importorskip("dcm2niix", reason="dcm2niix is not installed: pip install 'dicomover[nifti]'")
PATIENT = {"PatientID": "XYZZY-1", "PatientName": "XYZZY^Jane", "AccessionNumber": "XYZZY-2", "ImageComments": "XYZZY"}


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Return the values of a NIfTI-1 file by (x, y, z), and its affine."""
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    (kind,), (start,) = struct.unpack_from("<h", data, 70), struct.unpack_from("<f", data, 108)
    slope, intercept = struct.unpack_from("<2f", data, 112)
    values = np.frombuffer(data, {4: "<i2", 512: "<u2"}[kind], offset=int(start)).reshape(shape, order="F")
    return values * slope + intercept, np.array(struct.unpack_from("<12f", data, 280)).reshape(3, 4)


def test_it_is_the_volume_that_we_read(tmp_path: Path) -> None:
    """Each voxel has the value and the place in the patient that `volume` gives it: NIfTI's x and y are negated."""
    save(tmp_path / "s", (make_slice(n, (-10, -20, 2.5 * n), StudyDate="20240101", **PATIENT) for n in range(4)))
    (path,) = to_nifti(tmp_path / "s", tmp_path / "out")
    values, affine = read(path)
    ours = volume(tmp_path / "s")
    lps = ours.affine @ np.array([2, 1, 3, 1])
    x, y, z = np.rint(np.linalg.solve(affine[:, :3], lps[:3] * [-1, -1, 1] - affine[:, 3])).astype(int)
    assert values[x, y, z] == ours.array[2, 1, 3]
    assert sorted(np.unique(values)) == sorted(np.unique(ours.array))


def test_nothing_of_a_patient_is_written(tmp_path: Path) -> None:
    """Neither a name of a file nor a file tells who it is; they are for their owner alone, and nothing else is left."""
    save(tmp_path / "XYZZY", (make_slice(n, (0, 0, n), **PATIENT) for n in range(3)))
    (path,) = to_nifti(index(tmp_path / "XYZZY", cache=False), tmp_path / "out")
    found = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in found] == ["2.25.7.json", "2.25.7.nii.gz"]
    assert path == found[1]
    assert b"XYZZY" not in found[0].read_bytes() + gzip.decompress(path.read_bytes()) + path.read_bytes()
    assert {file.stat().st_mode & 0o777 for file in found} == {0o600}


def test_two_series_are_two_files_and_are_replaced(tmp_path: Path) -> None:
    """Each series has its own; a second run puts the same in their places."""
    for series in ("2.25.7", "2.25.8"):
        save(tmp_path / series, (make_slice(n, (0, 0, n), series=series) for n in range(3)))
    images = index(tmp_path, cache=False)
    for _ in range(2):
        assert [path.name for path in to_nifti(images, tmp_path / "out")] == ["2.25.7.nii.gz", "2.25.8.nii.gz"]
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("raise SystemExit(2)", r"no image that it can convert \(exit code 2\)"),
        ("raise SystemExit(8)", r"not all \(exit code 8\)"),
        ("raise SystemExit(77)", r"it failed \(exit code 77\)"),
        ("pass", "made no image"),
        ("import time; time.sleep(60)", "not done in 0.5 seconds"),
    ],
)
def test_its_exit_code_is_told(does: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong is said in words and by its number, in bounded time, and leaves nothing behind."""
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{does}\n")
    program.chmod(0o700)
    monkeypatch.setattr(dcm2niix, "bin", str(program))
    save(tmp_path / "s", [make_slice(1, (0, 0, 0))])
    timeout = 0.5 if "sleep" in does else 60
    with pytest.raises(SeriesError, match=why):
        to_nifti(tmp_path / "s", tmp_path / "out", timeout=timeout)
    assert not list((tmp_path / "out").iterdir())


def test_what_is_no_image_is_told_by_the_program_itself(tmp_path: Path) -> None:
    """The real one says of a file without pixels that there is nothing to convert."""
    made = make_slice(1, (0, 0, 0))
    del made.PixelData
    save(tmp_path / "s", [made])
    with pytest.raises(SeriesError, match=r"exit code \d+\)"):
        to_nifti(tmp_path / "s", tmp_path / "out")


def test_what_cannot_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere, a file that is gone, and no dcm2niix are told before anything is written."""
    paths = save(tmp_path / "s", [make_slice(1, (0, 0, 0))])
    with pytest.raises(ConfigurationError, match="name="):
        to_nifti(paths, tmp_path / "out", name="../%s")
    with pytest.raises(FileNotFoundError):
        to_nifti([tmp_path / "gone.dcm"], tmp_path / "out")
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    with pytest.raises(ConfigurationError, match=r"dicomover\[nifti\]"):
        to_nifti(paths, tmp_path / "out")


@pytest.mark.parametrize(
    ("keyword", "what"),
    [("PatientID", "patients"), ("StudyInstanceUID", "studies"), ("FrameOfReferenceUID", "frames of reference")],
)
def test_of_two_patients_nothing_is_made(keyword: str, what: str, tmp_path: Path) -> None:
    """What several have under one Series Instance UID becomes no file, by folder or by rows; each has one."""
    for series in ("2.25.7", "2.25.8"):
        made = [make_slice(n, (0, 0, n), series=series) for n in range(4)]
        for number, dataset in enumerate(made):
            setattr(dataset, keyword, f"1.2.{number % 2}")
        save(tmp_path / series, made)
    images = index(tmp_path, cache=False)
    for given in (tmp_path / "2.25.8", images):
        with pytest.raises(SeriesError, match=f"its images are (of|in) several {what}.*; give the images of one"):
            to_nifti(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (path,) = to_nifti(images[(images[keyword] == "1.2.1") & (images.SeriesInstanceUID == "2.25.7")], tmp_path / "out")
    assert read(path)[0].shape[2] == 2


@pytest.mark.parametrize("becomes", ["text", "zeros", "a cut head", "no pixels"])
def test_no_file_is_left_out_in_silence(becomes: str, tmp_path: Path) -> None:
    """What is no image any more makes no smaller series, also at an end of it, where nothing else would show it."""
    paths = save(tmp_path / "s", [make_slice(n, (0, 0, n)) for n in range(5)])
    images, last = index(tmp_path / "s", cache=False), Path(paths[-1])
    whole = last.read_bytes()
    at = whole.index(b"\xe0\x7f\x10\x00")
    last.write_bytes(
        {"text": b"my notes", "zeros": bytes(len(whole)), "a cut head": whole[:400]}.get(becomes, whole[:at])
    )
    for given in (images, tmp_path / "s"):
        with pytest.raises(SeriesError, match=r"file 5 of 5 is no DICOM file|made 4 slices of 5"):
            to_nifti(given, tmp_path / "out")
        assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_what_is_made_of_slices_counts_for_none(tmp_path: Path) -> None:
    """Of a series whose slices lie unevenly dcm2niix makes an even one beside it, which has more of them."""
    paths = save(tmp_path / "s", [make_slice(n, (0, 0, n if n < 5 else 1.7 * n)) for n in range(8)])
    assert len(to_nifti(tmp_path / "s", tmp_path / "out")) == 2
    whole = Path(paths[-1]).read_bytes()
    Path(paths[-1]).write_bytes(whole[: whole.index(b"\xe0\x7f\x10\x00")])
    with pytest.raises(SeriesError, match="made 7 slices of 8"):
        to_nifti(tmp_path / "s", tmp_path / "out")


def test_a_report_among_the_images_hinders_nothing(tmp_path: Path) -> None:
    """Of what is no image nothing is to be made; of an image without its pixels it is."""
    save(tmp_path / "s", [make_slice(n, (0, 0, n)) for n in range(3)])
    report = Dataset()
    report.file_meta, report.SOPClassUID = FileMetaDataset(), UID("1.2.840.10008.5.1.4.1.1.88.11")
    report.file_meta.TransferSyntaxUID, report.SOPInstanceUID = ExplicitVRLittleEndian, UID("2.25.9.1")
    report.StudyInstanceUID, report.SeriesInstanceUID, report.PatientID = "2.25.6", "2.25.9", "P-0042"
    save(tmp_path / "r", [report])
    assert len(to_nifti(index(tmp_path, cache=False), tmp_path / "out")) == 1
    report.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    save(tmp_path / "r", [report])
    with pytest.raises(SeriesError, match="made 3 slices of 4"):
        to_nifti(index(tmp_path, cache=False), tmp_path / "out")


def test_a_file_that_is_gone_is_named_by_its_number(tmp_path: Path) -> None:
    """Its path may name a patient; which one of the series it is says as much."""
    save(tmp_path / "XYZZY", [make_slice(n, (0, 0, n)) for n in range(3)])
    images = index(tmp_path, cache=False)
    Path(images.path[1]).unlink()
    for read_all in (lambda: volume(images), lambda: to_nifti(images, tmp_path / "out")):
        with pytest.raises(FileNotFoundError, match="file 2 of 3: No such file") as caught:
            read_all()
        assert "XYZZY" not in str(caught.value)

"""A series as an array."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

import dicomover.images.volume
from dicomover import SeriesError, index, volume
from dicomover.images.volume import decode_pixels
from images_kit import make_enhanced, make_slice, save


def test_slices_are_sorted_and_rescaled(tmp_path: Path) -> None:
    """Whatever their names and numbers say, slices stand by their position, in whole Hounsfield units."""
    heights = [5.0, 0.0, 7.5, 2.5]
    save(tmp_path, (make_slice(n, (-10, -20, height)) for n, height in enumerate(heights)))
    found = volume(tmp_path)
    assert found.array[:, 0, 0].tolist() == [1 - 1024, 3 - 1024, 0 - 1024, 2 - 1024]
    assert (found.array.shape, found.array.dtype) == ((4, 4, 6), np.int16)
    assert (found.spacing, found.origin) == ((2.5, 0.5, 0.75), (-10.0, -20.0, 0.0))
    assert repr(found) == "Volume(4 x 4 x 6 of int16, 2.5 x 0.5 x 0.75 mm)"


def test_a_small_file_that_becomes_a_large_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deflated file of a volume has a bound, and below it a volume like any other."""
    made = [make_slice(n, (0, 0, n)) for n in range(3)]
    for dataset in made:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(tmp_path, made)
    assert volume(tmp_path).array.shape == (3, 4, 6)
    monkeypatch.setattr(dicomover.images.volume, "_MOST", 500)
    with pytest.raises(SeriesError, match="inflates"):
        volume(tmp_path)


@pytest.mark.parametrize(("vr", "said"), [("LO", "headers only"), ("OB", b"no headers only"), ("SQ", [])])
def test_what_others_say_of_a_file_without_pixels(tmp_path: Path, vr: str, said: object) -> None:
    """Only our own mark, as we write it, tells a file that was moved without its pixels; any other has none."""
    made = make_slice(0, (0, 0, 0))
    del made.PixelData
    made.file_meta.add_new(0x00020102, vr, said)
    save(tmp_path, [made])
    with pytest.raises(SeriesError, match="has no pixels"):
        volume(tmp_path)


def test_the_affine_leads_to_the_patient(tmp_path: Path) -> None:
    """An index times the affine is the position that the file of that slice names, and a row and a column further."""
    paths = save(tmp_path, (make_slice(n, (1, 2, 3 + 2 * n)) for n in range(3)))
    affine = volume(index(tmp_path)).affine
    assert (affine @ [2, 0, 0, 1])[:3].tolist() == dcmread(paths[2]).ImagePositionPatient
    assert (affine @ [0, 1, 0, 1])[:3].tolist() == [1, 2.5, 3]
    assert (affine @ [0, 0, 1, 1])[:3].tolist() == [1.75, 2, 3]


def test_frames_of_an_enhanced_object(tmp_path: Path) -> None:
    """The frames of one file are slices, by what its functional groups say."""
    (path,) = save(tmp_path, [make_enhanced([(0, 0, 6), (0, 0, 0), (0, 0, 3)])])
    found = volume(path)
    assert found.array[:, 0, 0].tolist() == [2 * 2 - 10, 3 * 2 - 10, 1 * 2 - 10]
    assert found.spacing == (3.0, 0.5, 0.75)


def test_slopes_that_are_no_whole_numbers(tmp_path: Path) -> None:
    """Each slice has its own slope, as in PET; the values are float32."""
    save(tmp_path, (make_slice(n + 1, (0, 0, n), RescaleSlope=0.5 * (n + 1), RescaleIntercept=0) for n in range(3)))
    found = volume(tmp_path)
    assert found.array.dtype == np.float32
    assert found.array[:, 0, 0].tolist() == [0.5, 2.0, 4.5]


CROOKED = {
    "missing": [make_slice(n, (0, 0, n)) for n in (0, 1, 2, 4)],
    "lie where another": [make_slice(n, (0, 0, n // 2)) for n in range(4)],
    "2 series": [make_slice(n, (0, 0, n), series=f"2.25.{7 + n}") for n in range(2)],
    "PixelSpacing": [make_slice(n, (0, 0, n), PixelSpacing=[1, 1 + n]) for n in range(2)],
    "do not say where": [make_slice(n, (0, 0, n), ImagePositionPatient=None) for n in range(2)],
    "has no pixels": [make_slice(1, (0, 0, 0), PixelData=None)],
    "one position": [make_slice(1, (0, 0, 0))],
    "cannot be decoded": [make_slice(n, (0, 0, n), PixelData=b"\0\0") for n in range(2)],
}


@pytest.mark.parametrize("reason", CROOKED)
def test_what_makes_no_volume_is_refused_with_the_reason(reason: str, tmp_path: Path) -> None:
    """A series with gaps, doubles or differences is never put together, and the message names no patient."""
    datasets = CROOKED[reason]
    if reason == "has no pixels":
        del datasets[0].PixelData
    save(tmp_path, datasets)
    with pytest.raises(SeriesError, match=reason) as caught:
        volume(tmp_path)
    assert "P-0042" not in str(caught.value)


def test_frames_that_are_no_slices() -> None:
    """A file of several frames that do not say where they lie is refused."""
    with pytest.raises(SeriesError, match="frames"):
        volume(get_testdata_file("SC_rgb_rle_2frame.dcm"))


def test_a_folder_with_other_files(tmp_path: Path) -> None:
    """A folder that holds more than images, as a receive folder with its journal does, is refused with what to give."""
    save(tmp_path, [make_slice(n, (0, 0, n)) for n in range(2)])
    (tmp_path / "journal.db").write_bytes(b"SQLite format 3\0" * 20)
    with pytest.raises(SeriesError, match=r"no DICOM file; give rows of dicomover.index\(folder\)"):
        volume(tmp_path)


@pytest.mark.parametrize(("lacking", "mend"), [(["pylibjpeg - requires"], "pixels"), ([], "fetch the series")])
def test_a_decoder_is_advised_only_where_it_is_not_installed(
    lacking: list[str], mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed pixels that are damaged are not blamed on a decoder that is there."""
    monkeypatch.setattr(
        "dicomover.images.volume.get_decoder", lambda _: SimpleNamespace(missing_dependencies=[*lacking, "gdcm"])
    )
    with pytest.raises(SeriesError, match=f"cannot be decoded; .*{mend}"):
        volume(get_testdata_file("JPEG-lossy.dcm"))


COMPRESSED = {
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm", "JPEG extended": "JPGExtended.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm", "JPEG 2000": "JPEG2000.dcm", "RLE": "MR_small_RLE.dcm",
}  # fmt: skip


@pytest.mark.parametrize("name", COMPRESSED)
def test_what_cannot_be_decoded_here_says_what_helps(name: str) -> None:
    """Of each compressed transfer syntax the pixels are there, or the error names the extra that brings its decoder."""
    dataset = dcmread(get_testdata_file(COMPRESSED[name]))
    shape, mend = None, ""
    try:
        shape = decode_pixels(dataset).shape[:2]
    except SeriesError as error:
        mend = error.mend
    if shape is None:
        assert importlib.util.find_spec("pylibjpeg") is None
        assert mend.endswith("pip install 'dicomover[pixels]'")
    else:
        assert shape == (dataset.Rows, dataset.Columns)


def _set(keyword: str, vr: str, value: bytes) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        tag = Tag(keyword)
        dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)  # as it stands in a broken file

    return change


BROKEN: dict[str, Callable[[Dataset], None]] = {
    "a slope that is text": _set("RescaleSlope", "DS", b"DOEJANE "),
    "an intercept that is text": _set("RescaleIntercept", "DS", b"DOEJANE "),
    "two slopes": _set("RescaleSlope", "DS", b"1\\2 "),
    "a slope beyond all": _set("RescaleSlope", "DS", b"1e300 "),
    "frames that are text": _set("NumberOfFrames", "IS", b"DOEJANE "),
    "shared groups that are text": _set("SharedFunctionalGroupsSequence", "LO", b"DOEJANE "),
    "a character set that is none": _set("SpecificCharacterSet", "CS", b"DOEJANE "),
    "a table of values that is empty": lambda dataset: setattr(dataset, "ModalityLUTSequence", [Dataset()]),
    "no such transfer syntax": lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", "DOEJANE"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_nothing_of_what_it_holds(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Whatever is broken comes out as our error or as a volume, without a value in it, a warning or the log."""
    broken = save(tmp_path, [make_slice(number, (0, 0, number)) for number in range(3)])[1]
    dataset = dcmread(broken)
    with warnings.catch_warnings(action="ignore"):
        BROKEN[name](dataset)
        dataset.save_as(broken, enforce_file_format=False)
    caplog.clear()
    recwarn.clear()
    said = ""
    try:
        volume(tmp_path)
    except SeriesError as error:
        said = f"{error} {error.__cause__}"
    assert "DOEJANE" not in said + caplog.text
    assert not recwarn.list


def test_a_decoder_says_nothing_of_a_file(caplog: pytest.LogCaptureFixture) -> None:
    """Where pixels cannot be decoded, what pydicom's decoders log of that goes no further either."""
    with pytest.raises(SeriesError, match="cannot be decoded"):
        volume(get_testdata_file("JPEG-lossy.dcm"))
    assert not caplog.text


def test_frames_that_do_not_fit_are_refused_with_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes more memory than is free is an error that says how much, before it is decoded."""
    (path,) = save(tmp_path, [make_enhanced([(0, 0, n) for n in range(5)])])
    monkeypatch.setattr(dicomover.images.volume, "_free_memory", lambda: 479)
    with pytest.raises(SeriesError, match=r"its 5 frames take .* GB of memory, and .* GB are free"):
        volume(path)
    monkeypatch.setattr(dicomover.images.volume, "_free_memory", lambda: 480)
    assert volume(path).array.shape == (5, 4, 6)
    monkeypatch.undo()
    assert (dicomover.images.volume._free_memory() or 10**9) > 10**6


@pytest.mark.parametrize(
    ("keyword", "values", "why"),
    [
        ("PatientID", "AB", "its images are of several patients"),
        ("StudyInstanceUID", ("1.2.1", "1.2.2"), "its images are of several studies"),
        ("FrameOfReferenceUID", ("1.2.1", "1.2.2"), "its images are in several frames of reference, so where they lie"),
        ("RescaleType", ("HU", "US"), "its images are in several units (RescaleType)"),
        ("Units", ("BQML", "CNTS"), "its images are in several units (Units)"),
        ("PhotometricInterpretation", ("MONOCHROME1", "MONOCHROME2"), "its images are in several photometric"),
        ("SOPInstanceUID", ("1.2.1", "1.2.1"), "several of its images have one SOP Instance UID"),
    ],
)
def test_images_that_are_unlike_make_no_volume(keyword: str, values: str, why: str, tmp_path: Path) -> None:
    """What another patient has under the same Series Instance UID never joins a volume, nor what cannot be compared."""
    made = [make_slice(n, (0, 0, n)) for n in range(4)]
    for number, dataset in enumerate(made):
        setattr(dataset, keyword, values[number % 2])
    for number, dataset in enumerate(made):
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    with pytest.raises(SeriesError, match=re.escape(why)):
        volume(tmp_path)
    (said,) = index(tmp_path, level="SERIES")["irregular"]
    assert said.startswith(why)


@pytest.mark.parametrize("slope", [1e300, -1e300, float("inf"), float("nan")])
def test_a_slope_that_is_none(slope: float) -> None:
    """Whatever it is, no array of infinities is made of it."""
    with pytest.raises(SeriesError, match="make no numbers of its pixels"):
        dicomover.images.volume._rescale(np.zeros((2, 2), "u2"), {"RescaleSlope": slope}, {})  # type: ignore[arg-type]


def test_a_slope_that_makes_no_numbers_is_named(tmp_path: Path) -> None:
    """It is no damage that fetching the series again would mend; what only a float holds is one."""
    made = [make_slice(n, (0, 0, n)) for n in range(2)]
    for dataset in made:
        dataset.RescaleSlope = "1e300"
    save(tmp_path, made)
    with pytest.raises(SeriesError, match=r"RescaleSlope .* make no numbers of its pixels; read the stored values"):
        volume(tmp_path)
    for dataset in made:
        dataset.RescaleSlope = "1e20"
    save(tmp_path, made)
    assert volume(tmp_path).array.dtype == np.float32

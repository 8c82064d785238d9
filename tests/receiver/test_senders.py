"""Real senders: DCMTK, pynetdicom and Orthanc store to the receiver, and every data set is identical."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE

from dicomover.dicomfile import IMPLEMENTATION_CLASS_UID
from dicomover.receiver.scp.contexts import is_supported_transfer_syntax
from receiver_kit import Start, body_of, need

# All of them are inside pydicom's wheel.
SAMPLES = [
    "CT_small.dcm",  # Explicit VR Little Endian
    "MR_small.dcm",
    "rtplan.dcm",  # Implicit VR, sequences before the UIDs
    "waveform_ecg.dcm",
    "JPEG2000.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LL.dcm",
    "test-SR.dcm",
    "J2K_pixelrep_mismatch.dcm",
]


OPTIONS = {
    "1.2.840.10008.1.2": ["-xi"],
    "1.2.840.10008.1.2.1": ["-xe"],
    "1.2.840.10008.1.2.4.50": ["-xy"],
    "1.2.840.10008.1.2.4.51": ["-xx"],
    "1.2.840.10008.1.2.4.70": ["-xs"],
    "1.2.840.10008.1.2.4.90": ["-xv"],
    "1.2.840.10008.1.2.4.91": ["-xw"],
    "1.2.840.10008.1.2.5": ["-xr"],
}


@pytest.fixture(scope="module")
def samples() -> dict[str, list[Path]]:
    """Return the sample files by transfer syntax."""
    found: dict[str, list[Path]] = {}
    seen = set()
    for name in SAMPLES:
        path = get_testdata_file(name, download=False)
        if path is None:
            continue
        data = pydicom.dcmread(path, stop_before_pixels=True)
        if data.SOPInstanceUID not in seen:
            seen.add(data.SOPInstanceUID)
            found.setdefault(str(data.file_meta.TransferSyntaxUID), []).append(Path(path))
    assert len(found) >= 5
    return found


@pytest.fixture(scope="module")
def settled(samples: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return the samples as DCMTK writes them: its senders encode every data set anew, and leave these as they are."""
    folder = tmp_path_factory.mktemp("settled")
    written: dict[str, list[Path]] = {}
    for syntax in OPTIONS.keys() & samples.keys():
        for path in samples[syntax]:
            done = subprocess.run(
                [need("dcmconv"), "--padding-off", path, folder / path.name], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            written.setdefault(syntax, []).append(folder / path.name)
    return written


def instances(paths: list[Path]) -> dict[str, bytes]:
    """Return the data sets by SOP Instance UID."""
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): body_of(path) for path in paths}


def by_dcmtk(program: str, port: int, paths: list[Path], options: list[str]) -> None:
    """Send files with one of DCMTK's programs."""
    line = [need(program), "-aec", "ME", "-aet", "YOU", *options, "127.0.0.1", str(port), *map(str, paths)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("nodelay", [True, False], ids=["nodelay", "nagle"])
def test_storescu_arrives_unchanged(
    start_one: Start, settled: dict[str, list[Path]], nodelay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What storescu sends, compressed or not, lies on disk byte by byte, and pydicom reads it."""
    if nodelay:
        monkeypatch.setenv("TCP_NODELAY", "1")
    sent: list[Path] = []
    with start_one() as run:
        for syntax, paths in settled.items():
            by_dcmtk("storescu", run.port, paths, OPTIONS[syntax])
            sent += paths
        run.wait(len(sent))
        assert {arrival.sop_instance_uid: body_of(arrival.path) for arrival in run.arrivals} == instances(sent)
        assert {arrival.transfer_syntax_uid for arrival in run.arrivals} == settled.keys()
        for arrival in run.arrivals:
            data = pydicom.dcmread(arrival.path)
            assert data.file_meta.TransferSyntaxUID == arrival.transfer_syntax_uid
            assert data.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
            assert data.file_meta.SourceApplicationEntityTitle == "YOU"
            assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID == arrival.sop_instance_uid
            assert data.file_meta.FileMetaInformationGroupLength == 144 - 12 - 132 + (
                arrival.path.stat().st_size - arrival.size - 144
            )
            assert data.get("PatientID", "") == arrival.patient_id


def test_dcmsend_arrives_unchanged(start_one: Start, settled: dict[str, list[Path]]) -> None:
    """The program dcmsend stores all files in one association; what is implicit it makes explicit."""
    paths = [path for syntax, group in settled.items() if syntax != "1.2.840.10008.1.2" for path in group]
    with start_one() as run:
        by_dcmtk("dcmsend", run.port, paths, [])
        run.wait(len(paths))
        assert {arrival.sop_instance_uid: body_of(arrival.path) for arrival in run.arrivals} == instances(paths)


def test_pynetdicom_arrives_byte_by_byte(start_one: Start, samples: dict[str, list[Path]]) -> None:
    """Pynetdicom sends files as they are: every data set is identical, whatever its transfer syntax."""
    paths = [path for group in samples.values() for path in group]
    paths = [path for path in paths if is_supported_transfer_syntax(pydicom.dcmread(path).file_meta.TransferSyntaxUID)]
    with start_one() as run:
        ae = AE(ae_title="YOU")
        for path in paths:
            data = pydicom.dcmread(path, stop_before_pixels=True)
            ae.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", run.port, ae_title="ME")
        assert association.is_established
        for path in paths:
            data = pydicom.dcmread(path)
            assert association.send_c_store(path).Status == 0, path.name
        association.release()
        run.wait(len(paths))
        received = {arrival.sop_instance_uid: body_of(arrival.path) for arrival in run.arrivals}
        assert received == instances(paths)


def test_orthanc_arrives_unchanged(
    start_one: Start, settled: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What Orthanc is given it stores to the receiver unchanged."""
    orthanc = need("Orthanc")
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        http, dicom = one.getsockname()[1], two.getsockname()[1]
    home = tmp_path_factory.mktemp("orthanc")
    with start_one() as run:
        settings = {
            "StorageDirectory": str(home / "db"),
            "IndexDirectory": str(home / "db"),
            "HttpPort": http,
            "DicomPort": dicom,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "DicomModalities": {"us": ["ME", "127.0.0.1", run.port]},
            "Plugins": [],
        }
        (home / "orthanc.json").write_text(json.dumps(settings))
        server = subprocess.Popen(
            [orthanc, home / "orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            paths = [path for group in settled.values() for path in group]

            def post(path: str, body: bytes) -> dict[str, object]:
                request = urllib.request.Request(f"http://127.0.0.1:{http}{path}", body, method="POST")
                with urllib.request.urlopen(request, timeout=20) as answer:
                    found: dict[str, object] = json.load(answer)
                    return found

            limit = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", http), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < limit, "Orthanc does not start"
                    time.sleep(0.1)
            for group in settled.values():  # 1.13 proposes for an association what its first instance needs, no more
                ids = [post("/instances", path.read_bytes())["ID"] for path in group]
                assert post("/modalities/us/store", json.dumps(ids).encode())["FailedInstancesCount"] == 0
        finally:
            server.terminate()
            server.wait(20)
        run.wait(len(paths))
        assert {arrival.sop_instance_uid: body_of(arrival.path) for arrival in run.arrivals} == instances(paths)

"""The built-in Move Destination."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicomover.testing import (
    DemoPacs,
    data_set_of_file,
)
from dicomover.wire.command_set import C_MOVE_RQ
from testing_kit import client_of, move_keys


def test_a_workstation_writes_files(tmp_path: Path) -> None:
    """With a folder, what arrives lies there as DICOM files with the bytes that were sent."""
    with DemoPacs(workstation_folder=tmp_path) as pacs, client_of(pacs) as client:
        client.ask(C_MOVE_RQ, move_keys(pacs, "DEMO0007"))
        (path,) = tmp_path.iterdir()
        assert data_set_of_file(path.read_bytes()) == pacs.data_set_bytes(path.stem)
        assert dcmread(path).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian

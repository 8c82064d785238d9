"""What docs/comparison.md says of other clients is what they do: its table runs, against the versions that it names."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomover import Mover
from dicomover.testing import DemoPacs, Study, made_study
from peers import ONCE, free_ports, need, orthanc

PAGE = (Path(__file__).parents[1] / "docs" / "comparison.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)`: .* \| (\d+) \| (\d+) \| `([a-z-]+)` \|$", PAGE, re.MULTILINE)
STUDIES = {name: made_study(f"C{number:03d}", instances=6) for number, (name, *_) in enumerate(ROWS)}


@pytest.fixture(scope="module")
def archive() -> Iterator[DemoPacs]:
    """Run an archive that gets something else wrong with each study."""
    wrong = {study.accession_number: name for name, study in STUDIES.items()}
    with DemoPacs(STUDIES.values(), misbehave=wrong) as pacs:
        yield pacs


def version(program: str) -> None:
    """Skip unless a program has the version that the page names."""
    said = subprocess.run([need(program), "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    (tried,) = re.findall(rf"{program} (\d+\.\d+\.\d+)", PAGE)
    if tried not in said:
        pytest.skip(f"the page speaks of {program} {tried}")


def test_the_table_is_there() -> None:
    """Its rows can be read, and in most of them somebody says success that was none."""
    assert len(ROWS) > 8
    assert sum(code == "0" and status not in ("success", "lost") for _, code, _, status in ROWS) >= 5


def test_movescu_ends_as_the_page_says(archive: DemoPacs, tmp_path: Path) -> None:
    """Its exit codes are those of the page; and where one is 0, it prints nothing, unless the association broke."""
    version("movescu")
    running = {}
    for port, (name, study) in zip(free_ports(len(STUDIES)), STUDIES.items(), strict=True):
        title, folder = f"MOVESCU{port}", tmp_path / name
        folder.mkdir()
        archive.destinations[title] = port
        command = [need("movescu"), "-S", "-aet", title, "-aec", "DEMO", "-aem", title, "+P", str(port)]
        keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.study_instance_uid}"]
        running[name] = subprocess.Popen(
            [*command, "-od", str(folder), archive.node.host, str(archive.node.port), *keys],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    said = {name: process.communicate(timeout=60)[0] for name, process in running.items()}
    codes = {name: process.returncode for name, process in running.items()}
    assert codes == {name: int(code) for name, code, *_ in ROWS}, said
    assert {name for name, text in said.items() if text} == {name for name in said if codes[name] or name == "abort"}


def test_orthanc_answers_as_the_page_says(archive: DemoPacs, tmp_path: Path) -> None:
    """The HTTP status of its move is that of the page for every row, and of one by accession number 400."""
    version("Orthanc")
    running = orthanc(tmp_path, [], DicomModalities={"demo": ["DEMO", archive.node.host, archive.node.port]})
    try:
        archive.destinations["ORTHANC"] = running.node.port
        port = json.loads((tmp_path / "orthanc.json").read_text())["HttpPort"]
        answers = {name: asked(port, {"StudyInstanceUID": study.study_instance_uid}) for name, study in STUDIES.items()}
        assert answers == {name: int(status) for name, _, status, _ in ROWS}
        assert asked(port, {"AccessionNumber": "C000"}) == 400
    finally:
        running.stop()


def asked(port: int, keys: dict[str, str]) -> int:
    """Let Orthanc move a study to itself, and return the HTTP status."""
    body: dict[str, Any] = {"Level": "Study", "Resources": [keys], "Synchronous": True}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/modalities/demo/move", json.dumps(body).encode())
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_dicomover_says_what_the_page_says(archive: DemoPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status of each row, received here and tried once."""
    studies: list[Study] = list(STUDIES.values())
    with Mover(archive.node, receive=tmp_path, port=0, progress="none", associations=4, **ONCE) as mover:
        assert mover.port is not None
        archive.destinations["MOVESCU"] = mover.port
        summary = mover.move([{"StudyInstanceUID": study.study_instance_uid} for study in studies])
    assert dict(zip(STUDIES, summary.status, strict=True)) == {name: status for name, *_, status in ROWS}

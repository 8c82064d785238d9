"""One cohort at every archive that can be had: the same hash, the same bytes, the same words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames

from dicomover import TLS, Mover, Node, Retry, Timeouts
from dicomover.doctor import Setup
from dicomover.doctor.quirks import learn_quirks
from dicomover.testing import DemoPacs
from peers import HERE, ONCE, Archive, data_sets_in, files_in, sop_instance_uid
from security_kit import Authority
from stacks.archives import Secured, start
from stacks.cohort import REQUESTS, STATUSES, make_studies
from stacks.known import ARCHIVES, Known

STUDIES = make_studies()


@dataclass(frozen=True, slots=True)
class Scene:
    """An archive that runs, and what a Mover needs for it."""

    known: Known
    archive: Archive
    node: Node
    tls: TLS | None

    def mover(self, **how: Any) -> Mover:
        """Return a Mover for it, which sees its every attempt, unless it loses images itself."""
        retry = {"retry": Retry(first_wait=0.1)} if self.known.loses else ONCE
        return Mover(self.node, ae_title=HERE, progress="none", **{**retry, **how})


def _cases() -> list[Any]:
    return [
        pytest.param((known, is_secured), id=f"{known.name}-{'tls' if is_secured else 'plain'}", marks=marks)
        for known in ARCHIVES
        for marks in ([pytest.mark.newer] if known.is_newer else [],)
        for is_secured in ((False, True) if known.secures else (False,))
    ]


@pytest.fixture(scope="module", params=_cases())
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Run an archive with the cohort, in plain or by TLS, where each side wants to see the other's certificate."""
    known, is_secured = request.param
    folder = tmp_path_factory.mktemp(known.name)
    secured, tls = None, None
    if is_secured:
        authority = Authority(folder / "keys")
        secured = Secured(authority.cert, *authority.issue("archive"))
        tls = authority.tls("mover")
    archive = start(known, folder / "archive", STUDIES, secured)
    yield Scene(known, archive, replace(archive.node, tls=tls), tls)
    archive.stop()


@pytest.fixture(scope="module")
def hash_of_cohort() -> str:
    """Lock the cohort at the demo archive."""
    with DemoPacs(STUDIES) as pacs:
        return Mover(pacs.node, progress="none", **ONCE).lock(REQUESTS, path=None).hash


def digests(data_sets: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each data set."""
    return {uid: sha256(data).hexdigest() for uid, data in sorted(data_sets.items())}


def content(raw: bytes) -> bytes:
    """Return the pixels of a file, or the document in it."""
    data_set = dcmread(BytesIO(raw))
    if data_set.file_meta.TransferSyntaxUID.is_compressed and "PixelData" in data_set:
        return b"".join(generate_frames(data_set.PixelData, number_of_frames=1))
    return bytes(data_set.get("PixelData") or data_set.get("EncapsulatedDocument") or b"")


def check(scene: Scene, folder: Path, statuses: list[str]) -> None:
    """Hold what a batch came to against what it has to come to, and the files against the archive's."""
    held = {item.sop_instance_uid: item for study in STUDIES for item in study.instances()}
    assert statuses == STATUSES
    if scene.known.alters:
        here = {sop_instance_uid(raw): content(raw) for raw in (path.read_bytes() for path in files_in(folder))}
        assert here.keys() == held.keys()
        assert all(data == content(held[uid].file_bytes()) for uid, data in here.items())
        return
    arrived = digests(data_sets_in(folder))
    assert arrived == digests({uid: item.data_set_bytes() for uid, item in held.items()})


def test_its_lock(scene: Scene, hash_of_cohort: str) -> None:
    """The cohort locks to the same hash, where the archive names all series and images of a study."""
    assert (scene.mover().lock(REQUESTS, path=None).hash == hash_of_cohort) is scene.known.locks


def test_its_quirks(scene: Scene) -> None:
    """The doctor finds out what it does otherwise than most, as far as three studies show."""
    _, quirks = learn_quirks(Setup(scene.node, HERE, Timeouts(dimse=20)), itertools.count(1).__next__)
    assert quirks == scene.known.learned


def test_by_c_move(scene: Scene, tmp_path: Path) -> None:
    """By C-MOVE each row ends as it has to, and each data set has the same SHA-256."""
    if scene.tls and "move" not in scene.known.secures:
        pytest.skip("it does not call a destination by TLS")
    with scene.mover(receive=tmp_path, port=scene.archive.ports[HERE], tls=scene.tls) as mover:
        summary = mover.move(REQUESTS)
    check(scene, tmp_path, summary["status"].tolist())


def test_by_c_get(scene: Scene, tmp_path: Path) -> None:
    """By C-GET, without a port, each row ends as it has to, and each data set has the same SHA-256."""
    with scene.mover(receive=tmp_path, via="get") as mover:
        summary = mover.move(REQUESTS)
    check(scene, tmp_path, summary["status"].tolist())

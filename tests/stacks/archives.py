"""The archives that one cohort is moved out of: how each is started here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dicomover import Mover, Node
from dicomover.testing import DemoPacs, Study
from peers import HERE, Archive, Program, dcmqrscp, free_ports, holding, orthanc, retried, write_files
from peers import start as start_program
from stacks import install
from stacks.known import Known

__all__ = ["Secured", "start"]


class Secured(NamedTuple):
    """What an archive needs for TLS both ways: whom it trusts, and who it is, in PEM."""

    ca: Path
    cert: Path
    key: Path


Begin = Callable[[Path, Sequence[Study], Secured | None], Archive]


def start(known: Known, folder: Path, studies: Sequence[Study], secured: Secured | None = None) -> Archive:
    """Run an archive with these studies; skip the test if it could not be had, fail it where CI should have it."""
    if known.part and (known.part in install.absent() or not (install.HOME / known.part).exists()):
        reason = install.absent().get(known.part, "")
        # CI reaches PyPI, or it would not run; npm, Java, and a Python that is new enough, it may not have.
        may_lack = (reason and known.part == "dcmjs") or reason.startswith(("no Python", "javac is not installed"))
        is_excused = known.is_newer or may_lack
        told = f"{known.name}: {reason or 'not installed; python tests/stacks/install.py brings it'}"
        if os.environ.get("CI") and not is_excused:
            pytest.fail(told)
        pytest.skip(told)
    folder.mkdir(parents=True, exist_ok=True)
    return _BEGIN[known.name](folder, studies, secured)


def _serve(
    command: Callable[[int, Path, Mapping[str, int]], Sequence[str | Path]],
    ae_title: str,
    folder: Path,
    studies: Sequence[Study],
    *,
    is_filled: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Archive:
    """Start a program that is told a port, a folder of files and the ports of the destinations."""
    kept, ports = holding(studies), dict[str, int]()
    files = folder / "files"
    write_files(files, () if is_filled else (item for study in kept.studies for item in study.instances()))

    def run() -> Program:
        line = [str(part) for part in command(ports[""], files, {HERE: ports[HERE]})]
        return start_program(line, ports[""], folder / "archive.log", environment)

    def choose() -> Program:
        ports.update(zip(("", HERE), free_ports(2), strict=True))
        return run()

    return Archive(retried(choose), Node("127.0.0.1", ports[""], ae_title=ae_title), ports, kept, run)


def _filled(begin: Begin) -> Begin:
    """Start an archive that has to be filled over the network, fill it in plain, and start it again as wanted."""

    def begin_and_fill(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
        archive = begin(folder, studies, None)
        try:
            _fill(archive)
        except BaseException:
            archive.stop()
            raise
        if secured is None:
            return archive
        archive.stop()
        return begin(folder, studies, secured)

    return begin_and_fill


def _fill(archive: Archive) -> None:
    """Move into it what it is to hold, out of a demo archive: each instance in its own transfer syntax."""
    with DemoPacs(archive.holding.studies) as source:
        source.destinations[archive.node.ae_title] = archive.node.port
        requests = [{"StudyInstanceUID": study.study_instance_uid} for study in archive.holding.studies]
        mover = Mover(source.node, destination=archive.node.ae_title, associations=1, progress="none", retry="none")
        summary = mover.move(requests)
    assert (summary["status"] == "success").all(), summary["error"].tolist()


def _python() -> Path:
    return install.HOME / "python" / "bin" / "python"


def _named(titles: Mapping[str, int]) -> list[str]:
    return [f"{title}={port}" for title, port in titles.items()]


# --- of the system


def _dcmtk(folder: Path, studies: Sequence[Study], secured: Secured | None, **how: Any) -> Archive:
    keys = ["+tls", str(secured.key), str(secured.cert), "+cf", str(secured.ca)] if secured else []
    return dcmqrscp(folder, studies, "-xv", "+xv", *keys, **how)  # without +xv no JPEG 2000 is accepted in a C-GET


def _orthanc(folder: Path, studies: Sequence[Study], secured: Secured | None, **how: Any) -> Archive:
    options: dict[str, Any] = {"DicomAlwaysAllowGet": True}
    if secured is not None:
        options |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(secured.cert),
            "DicomTlsPrivateKey": str(secured.key),
            "DicomTlsTrustedCertificates": str(secured.ca),
            "DicomTlsRemoteCertificateRequired": True,
        }
    return orthanc(folder, studies, tls=secured is not None, **options, **how)


# --- that are installed


def _pydcm(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
    assert secured is None

    def command(port: int, files: Path, titles: Mapping[str, int]) -> Sequence[str | Path]:
        return [_python(), install.PROGRAMS / "pydcm_archive.py", str(port), files, *_named(titles)]

    return _serve(command, "PYDCM", folder, studies)


def _dcmjs(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
    def command(port: int, files: Path, titles: Mapping[str, int]) -> Sequence[str | Path]:
        keys = () if secured is None else (secured.key, secured.cert, secured.ca)
        return ["node", install.PROGRAMS / "dcmjs_archive.js", str(port), files, *_named(titles), *keys]

    modules = {"NODE_PATH": str(install.HOME / "dcmjs" / "node_modules")}
    return _serve(command, "DCMJS", folder, studies, environment=modules)


def _dcm4che(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
    place = install.HOME / "dcm4che"
    store = [] if secured is None else [_write_store(folder / "archive.p12", secured)]

    def command(port: int, files: Path, titles: Mapping[str, int]) -> Sequence[str | Path]:
        java = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-cp", f"{place / 'dcm4che.jar'}:{place}", "Dcm4cheArchive"]
        return [*java, str(port), files, *_named(titles), *store]

    return _serve(command, "DCM4CHE", folder, studies)


def _write_store(path: Path, secured: Secured) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    key = serialization.load_pem_private_key(secured.key.read_bytes(), None)
    cert, ca = (x509.load_pem_x509_certificate(file.read_bytes()) for file in (secured.cert, secured.ca))
    hidden = serialization.BestAvailableEncryption(b"made-up")
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"archive", key, cert, [ca], hidden))  # type: ignore[arg-type]
    return path


def _qrscp(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
    def command(port: int, files: Path, titles: Mapping[str, int]) -> Sequence[str | Path]:
        sections = [f"[{title}]\naddress: 127.0.0.1\nport: {there}\n" for title, there in titles.items()]
        (folder / "qrscp.ini").write_text(
            f"[DEFAULT]\nae_title: QRSCP\nport: {port}\nmax_pdu: 131072\nbind_address: 127.0.0.1\n"
            "acse_timeout: 30\ndimse_timeout: 30\nnetwork_timeout: 30\n"
            f"instance_location: {files}\ndatabase_location: {folder / 'qrscp.sqlite'}\n" + "".join(sections)
        )
        keys = () if secured is None else secured
        return [_python(), install.PROGRAMS / "qrscp_archive.py", folder / "qrscp.ini", *keys]

    return _serve(command, "QRSCP", folder, studies, is_filled=True)


def _tiny_pacs(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
    def command(port: int, files: Path, titles: Mapping[str, int]) -> Sequence[str | Path]:
        devices = {title: {"aet": title, "address": "127.0.0.1", "port": there} for title, there in titles.items()}
        components = {
            "Database": {"on": True, "driver": "sqlite", "db_name": str(folder / "tiny.db"), "mode": "rwc"},
            "Devices": {"on": True, "auto_add": False, "devices": devices},
            "PACS": {"on": True},
            "InMemoryStorage": {"on": False},  # what is left out stays on, and two storages answer each question twice
            "FileStorage": {"on": True, "storage_dir": str(files)},
        }
        entity: dict[str, Any] = {"ae_title": ["TINY_PACS"], "port": port, "dump_ds": False}
        if secured is not None:
            entity["tls"] = {"certificate": str(secured.cert), "key": str(secured.key), "ca": str(secured.ca)}
        log = {"version": 1, "root": {"level": "WARNING"}}
        (folder / "tiny.json").write_text(json.dumps({"ae": entity, "log": log, "components": components}))
        return [_python().with_name("tiny-pacs"), "run", "-c", folder / "tiny.json"]

    return _serve(command, "TINY_PACS", folder, studies, is_filled=True)


# --- of newer suites


def _of_suite(suite: str, begin: Callable[..., Archive]) -> Begin:
    """Run a program of another suite, with that suite's loader and libraries."""
    root = install.HOME / suite
    loader = [str(root / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu")]

    def tool(name: str) -> list[str]:
        return [*loader, str(root / ("usr/sbin" if name == "Orthanc" else "usr/bin") / name)]

    def begin_with_it(folder: Path, studies: Sequence[Study], secured: Secured | None) -> Archive:
        dictionary = next((root / "usr/share").glob("*dcmtk*/dicom.dic"))
        return begin(folder, studies, secured, tool=tool, environment={"DCMDICTPATH": str(dictionary)})

    return begin_with_it


_BEGIN: Mapping[str, Begin] = {
    "DCMTK": _dcmtk,
    "DCMTK-3.7": _of_suite("sid", _dcmtk),
    "Orthanc": _orthanc,
    "Orthanc-1.13": _of_suite("sid", _orthanc),
    "pynetdicom": _filled(_qrscp),
    "dcm4che": _dcm4che,
    "dcmjs-dimse": _dcmjs,
    "tiny-pacs": _filled(_tiny_pacs),
    "pydcm": _pydcm,
}

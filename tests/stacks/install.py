"""Install the archives that the tests of this folder run beside DCMTK and Orthanc, into a folder of the user's.

`python tests/stacks/install.py` takes half a minute and brings what PyPI and npm have; `--suites` brings DCMTK and
Orthanc of two newer Debian suites too, which needs root and debootstrap, and takes minutes. What cannot be had is told,
and written down beside what can: the tests of that archive skip with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

HOME = Path(os.environ.get("DICOMOVER_STACKS") or Path.home() / ".cache" / "dicomover-stacks")
PROGRAMS = Path(__file__).parent / "programs"
PYTHONS = ("python3.13", "python3.12", "python3.14", "python3")
SUITES = ("trixie", "sid")
_PACKAGES = ("tiny-pacs==0.4.1", "pydcm==0.5.0", "pynetdicom==3.0.4", "sqlalchemy>=2", "numpy")
_MIRROR = "http://deb.debian.org/debian"


class Unavailable(Exception):
    """Something that cannot be had here, and why."""


def run(*command: str | Path, cwd: Path | None = None, seconds: float = 300) -> str:
    """Run a program; raises Unavailable if it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            list(map(str, command)), cwd=cwd, timeout=seconds, capture_output=True, text=True, check=True
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip() or "no word").splitlines()[-1]
        raise Unavailable(f"{Path(command[0]).name} failed: {said}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{Path(command[0]).name} did not end within {seconds:.0f} s") from error
    return done.stdout


def install_python() -> None:
    """Make an environment with pynetdicom's qrscp, tiny-pacs and pydcm, whose wheel wants Python 3.12 or newer."""
    done, packages = HOME / "python" / "done", "\n".join(_PACKAGES)
    if done.exists() and done.read_text() == packages:
        return
    found = Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python")
    for python in (*PYTHONS, *sorted(found), sys.executable):
        try:
            if eval(run(python, "-c", "import sys; print(tuple(sys.version_info[:2]))")) >= (3, 12):
                break
        except Unavailable:
            continue
    else:
        raise Unavailable("no Python 3.12 or newer is installed")
    run(python, "-m", "venv", "--clear", HOME / "python")
    run(HOME / "python" / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *_PACKAGES)
    done.write_text(packages)


def install_dcm4che() -> None:
    """Take dcm4che's network stack out of a wheel that has it inside, and compile an archive on it."""
    folder, source = HOME / "dcm4che", PROGRAMS / "Dcm4cheArchive.java"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "dcm4che.jar").exists():
        with tempfile.TemporaryDirectory() as scratch:
            options = ("--no-deps", "--disable-pip-version-check", "-q", "-d", scratch)
            run(sys.executable, "-m", "pip", "download", *options, "dcmfetch==0.3.2")
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as content:
                (folder / "dcm4che.jar").write_bytes(content.read("dcmfetch/ext/getscu"))
    built = folder / "Dcm4cheArchive.class"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        run("javac", "-nowarn", "-d", folder, "-cp", folder / "dcm4che.jar", source)


def install_dcmjs() -> None:
    """Install dcmjs-dimse, without running what it would like to run."""
    folder = HOME / "dcmjs"
    if not (folder / "node_modules" / "dcmjs-dimse").exists():
        folder.mkdir(parents=True, exist_ok=True)
        run(
            "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "dcmjs-dimse@0.3.3", cwd=folder
        )
    run("node", "--version")


def install_suite(name: str) -> None:
    """Unpack DCMTK and Orthanc of a Debian suite, to be run with that suite's own libraries and no chroot."""
    root = HOME / name
    if (root / "usr/bin/dcmqrscp").exists():
        return
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", name, root, _MIRROR, seconds=1200)
    refuse = root / "usr/sbin/policy-rc.d"  # no service is to start
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)
    run("chroot", root, "apt-get", "update", "-qq")
    try:
        install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "orthanc", "dcmtk")
        run("chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", *install, seconds=1200)
    except Unavailable:
        if not (root / "usr/bin/dcmqrscp").exists():  # a script after unpacking may fail, which matters to nobody
            raise


INSTALLERS: Mapping[str, Callable[[], None]] = {
    "python": install_python,
    "dcm4che": install_dcm4che,
    "dcmjs": install_dcmjs,
    **{suite: (lambda suite=suite: install_suite(suite)) for suite in SUITES},
}
"""By the name of a part, which is a folder of `HOME` too."""


def absent() -> dict[str, str]:
    """Return the parts that could not be had when they were last asked for, and why."""
    path = HOME / "absent.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def main(arguments: list[str]) -> None:
    """Install what can be had, and say what came of each part."""
    HOME.mkdir(parents=True, exist_ok=True)
    missing = absent()
    for part, install in INSTALLERS.items():
        if part in SUITES and "--suites" not in arguments:
            continue
        missing.pop(part, None)
        try:
            install()
        except Unavailable as error:
            missing[part] = str(error)
        sys.stdout.write(f"{part}: {missing.get(part, 'installed')}\n")
    (HOME / "absent.json").write_text(json.dumps(missing))


if __name__ == "__main__":
    main(sys.argv[1:])

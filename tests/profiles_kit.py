"""What the tests of profiles share: a home and a project of their own, with files in them."""

from __future__ import annotations

from pathlib import Path

import pytest

MAIN = '[nodes.main]\nhost = "127.0.0.1"\nport = 104\nae_title = "ARCHIVE"\n'
"""One archive, and nothing else."""


class Home:
    """A user's configuration folder and a project's folder, which is the current one."""

    def __init__(self, folder: Path) -> None:
        self.config, self.project = folder / "config" / "dicomover", folder / "project"

    def user(self, text: str | bytes) -> Path:
        """Write the user's file."""
        return self._write(self.config / "nodes.toml", text)

    def own(self, text: str | bytes) -> Path:
        """Write the project's file."""
        return self._write(self.project / "dicomover.toml", text)

    def _write(self, path: Path, text: str | bytes) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o600)
        return path


def make_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return one, with the system's variables pointing to it."""
    home = Home(folder)
    home.project.mkdir(parents=True)
    monkeypatch.delenv("DICOMOVER_CONFIG", raising=False)
    monkeypatch.setattr("dicomover.profiles.files.user_file", lambda: home.config / "nodes.toml")
    monkeypatch.chdir(home.project)
    return home

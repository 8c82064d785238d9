"""A real JupyterLab on loopback, and a notebook in it that Chromium shows and Playwright drives."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest

from peers import Program, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]

KERNELS = {"installed": "the ipykernel of this environment", "ipykernel6": "ipykernel 6"}
IPYKERNEL6 = "DICOMOVER_IPYKERNEL6"
"""Names the environment variable with the folder of an ipykernel 6: pip install --no-deps --target FOLDER ..."""

SCREENSHOTS = "DICOMOVER_SCREENSHOTS"
"""Names the environment variable with the folder where screenshots are kept."""

PATIENCE = 60.0  # seconds; the machine may be busy with other tests

STEADY = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

IS_READY = """
() => {
  const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}
"""
"""Tells whether the notebook that is shown has a kernel that answers."""

CONTRASTS = """
root => {
  const rgba = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = colour => {
    const [r, g, b] = colour.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const opacity = element => {
    let whole = 1;
    for (let e = element; e; e = e.parentElement) whole *= Number(getComputedStyle(e).opacity);
    return whole;
  };
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility()) continue;
    const below = ground(element), ink = rgba(getComputedStyle(element).color);
    ink[3] *= opacity(element);
    const [high, low] = [light(over(ink, below)), light(below)].sort((a, b) => b - a);
    found.push([text, (high + 0.05) / (low + 0.05)]);
  }
  return found;
}
"""
"""Returns each text below an element with its contrast (WCAG 2) against what is behind it."""


def missing(*modules: str) -> list[str]:
    """Return what these tests need and is not installed."""
    absent = [module for module in modules if importlib.util.find_spec(module) is None]
    return absent if CHROMIUM else [*absent, "chromium"]


def skip_or_fail(reason: str) -> None:
    """Skip a test for what is missing; fail it where CI is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Lab:
    """A JupyterLab server that runs, with the kernels to test."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        self._settings = folder / "settings"
        self._token = secrets.token_hex(16)
        ipykernel6 = os.environ.get(IPYKERNEL6)
        self._ipykernel6 = str(Path(ipykernel6).resolve()) if ipykernel6 else ""
        for name, settings in STEADY.items():
            self._set(name, settings)
        self._kernel(folder, "installed", "")
        if self._ipykernel6:
            self._kernel(folder, "ipykernel6", self._ipykernel6)
        self._program = self._start(folder)

    def _set(self, name: str, settings: object) -> None:
        path = self._settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))

    def _kernel(self, folder: Path, name: str, path: str) -> None:
        spec = folder / "data" / "kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        environment = {"PYTHONPATH": path, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        spec.write_text(
            json.dumps({"argv": argv, "display_name": KERNELS[name], "language": "python", "env": environment})
        )

    def _start(self, folder: Path) -> Program:
        port = free_port()
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self._token}"]
        command += [f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"]
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        environment = {**os.environ, **{name: str(folder / where) for name, where in folders.items()}}
        log = folder / "lab.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=environment
            )
        program = Program(process, port, log)
        try:
            wait_for(lambda: process.poll() is not None or _answers(port), "JupyterLab answers")
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        except BaseException:
            program.stop()
            raise
        return program

    def stop(self) -> None:
        """End the server and its kernels."""
        self._program.stop()

    def use_theme(self, theme: str) -> None:
        """Let pages that are opened from now on have a theme."""
        self._set("apputils-extension/themes", {"theme": THEMES[theme]})

    def new_notebook(self, kernel: str, cells: Sequence[str]) -> Path:
        """Write a notebook for a kernel; the test is skipped, or fails where CI is set, if there is no such kernel."""
        if kernel == "ipykernel6" and not self._ipykernel6:
            skip_or_fail(f"no ipykernel 6: install one into a folder and set {IPYKERNEL6} to it")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": kernel, "display_name": KERNELS[kernel], "language": "python"}
        path = self.root / f"{secrets.token_hex(4)}.ipynb"
        nbformat.write(book, path)
        return path

    def url(self, path: Path) -> str:
        """Return where a notebook is shown, in a workspace of its own."""
        address = f"http://127.0.0.1:{self._program.port}/lab/workspaces/{path.stem}/tree/{path.name}"
        return f"{address}?token={self._token}"


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_for(happens: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for something, bounded, and return it."""
    limit = time.monotonic() + seconds
    while not (value := happens()):
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)
    return value


class Book:
    """A notebook in JupyterLab, shown by a browser."""

    def __init__(self, page: Any, lab: Lab, path: Path) -> None:
        self.page = page
        self.path = path
        page.goto(lab.url(path), timeout=PATIENCE * 1000)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until its kernel answers."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE * 1000)
        self.page.wait_for_function(IS_READY, timeout=PATIENCE * 1000)

    def command(self, name: str) -> None:
        """Let JupyterLab do something by the name of its command."""
        self.page.evaluate("name => { jupyterapp.commands.execute(name) }", name)

    def run(self, number: int) -> None:
        """Run a cell; returns at once."""
        self.page.evaluate("number => { jupyterapp.shell.currentWidget.content.activeCellIndex = number }", number)
        self.command("notebook:run-cell")

    def output(self, number: int) -> Any:
        """Return where the output of a cell is shown."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number).locator(".jp-Cell-outputArea")

    def words(self, number: int) -> str:
        """Return what a reader sees of the output of a cell, on one line."""
        area = self.output(number)
        return " ".join(area.inner_text().split()) if area.count() else ""

    def wait_for_words(self, number: int, *wanted: str) -> str:
        """Wait until the output of a cell has all these words, and return all of it."""
        said = ""

        def says() -> bool:
            nonlocal said
            said = self.words(number)
            return all(words in said for words in wanted)

        try:
            wait_for(says, "")
        except AssertionError:
            self.shoot("failed")
            raise AssertionError(f"cell {number} does not say {wanted} within {PATIENCE:.0f} s, but {said!r}") from None
        return said

    def save(self) -> dict[str, Any]:
        """Save it, and return what is in the file."""
        before = self.path.stat().st_mtime_ns
        self.command("docmanager:save")
        wait_for(lambda: self.path.stat().st_mtime_ns != before, "the notebook is saved")
        return dict(wait_for(self._read, "the file is whole"))

    def _read(self) -> Any:
        try:
            return json.loads(self.path.read_text())
        except ValueError:
            return None

    def reload(self) -> None:
        """Load the page again."""
        self.page.reload(timeout=PATIENCE * 1000)
        self.wait_until_ready()

    def close(self) -> None:
        """End its kernel and close the page."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.context.close()

    def contrasts(self, number: int) -> dict[str, float]:
        """Return the texts of the output of a cell, each with its contrast against what is behind it."""
        return dict(self.output(number).evaluate(CONTRASTS))

    def shoot(self, name: str) -> None:
        """Take a picture, if somebody wants to look at it."""
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / f"{name}.png").write_bytes(self.page.screenshot())

"""A JupyterLab and a browser for the tests in this folder. Where they are missing, the tests skip, or fail in CI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser_kit import CHROMIUM, CHROMIUM_OPTIONS, Book, Lab, missing, skip_or_fail


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run JupyterLab on loopback."""
    absent = missing("jupyterlab", "ipywidgets", "playwright")
    if absent:
        skip_or_fail(f"not installed: {', '.join(absent)}; see docs/development.md")
    running = Lab(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser(lab: Lab) -> Iterator[Any]:
    """Run Chromium without a window. Not longer than a module: Playwright keeps an event loop in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_book(lab: Lab, browser: Any) -> Iterator[Callable[..., Book]]:
    """Open notebooks in JupyterLab; afterwards hold that nothing was loaded from beyond this machine."""
    books: list[Book] = []
    beyond: list[str] = []

    def note(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            beyond.append(request.url)

    def opened(cells: list[str], *, kernel: str = "installed", theme: str = "light") -> Book:
        path = lab.new_notebook(kernel, cells)
        lab.use_theme(theme)
        context = browser.new_context(viewport={"width": 1150, "height": 900})
        context.on("request", note)
        books.append(Book(context.new_page(), lab, path))
        return books[-1]

    yield opened
    for book in books:
        book.close()
    assert not beyond, f"loaded from beyond this machine: {beyond}"

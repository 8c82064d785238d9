"""The panel of a batch in a real JupyterLab: it moves, counts right, cancels, and stays when all is over.

Where JupyterLab or a browser are missing, the tests skip, or fail in CI.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from browser_kit import CHROMIUM, CHROMIUM_OPTIONS, KERNELS, PATIENCE, Book, Lab, missing, skip_or_fail, wait_for

pytestmark = pytest.mark.timeout(400)

Open = Callable[..., Book]
kernels = pytest.mark.parametrize("kernel", KERNELS)

SETUP = """
import json, threading, time
from dicomover import Mover
from dicomover.testing import DemoPacs, Misbehaviour, made_studies

slow = Misbehaviour("slow", seconds=SECONDS)
pacs = DemoPacs(made_studies(10, instances=8), misbehave={"*": slow, "M000002": ("some-failed", slow)})
mover = Mover(pacs.node, destination="WORKSTATION", retry="none")
requests = [{"AccessionNumber": f"M{number:06d}"} for number in (1, 2, 999999, 3, 4, 5, 6, 7, 8, 9)]
ended = []
print("ready")
"""
START = """
job = mover.start(requests)
threading.Thread(target=lambda: (job.wait(), ended.append(time.time()))).start()
"""
TELL = """
import ipykernel
counts = job.summary().status.value_counts()
print(json.dumps({"kernel": ipykernel.__version__, "ended": ended, "done": job.done,
                  "counts": {str(status): int(count) for status, count in counts.items() if count}}))
"""
MOVE = "summary = mover.move(requests)"
AFTER = "print(mover.last.summary().status.value_counts().cancelled, 'cancelled')"
AWAIT = "print((await job).status.value_counts().success, 'success')"
OVER = "dicomover: 10 requests, 2 not complete"


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


def setup(seconds: float) -> str:
    """Return a cell with an archive that takes so long for an image."""
    return SETUP.replace("SECONDS", str(seconds))


def begun(book: Book) -> Book:
    """Run the first two cells: an archive, and a job."""
    book.run(0)
    book.wait_for_words(0, "ready")
    book.run(1)
    return book


def told(book: Book, number: int = 2) -> dict[str, object]:
    """Return what the kernel itself says of the job."""
    book.run(number)
    found = wait_for(lambda: re.search(r"\{.*\}", book.words(number)), "the kernel tells")
    return dict(json.loads(found.group()))


def percent(words: str) -> int:
    """Return how far the panel is."""
    found = re.match(r"(\d+) %", words)
    assert found, words
    return int(found.group(1))


@kernels
def test_panel(open_book: Open, kernel: str) -> None:
    """The panel appears, moves, counts as the kernel counts, and what replaces it stays in the file and on the page."""
    book = begun(open_book([setup(0.1), START, TELL], kernel=kernel))
    early = book.wait_for_words(1, "of 10 requests", "row 0", "Cancel", "moved")
    book.shoot(f"{kernel}-running")
    later = wait_for(lambda: (now := book.words(1)) and percent(now) > percent(early) and now, "the panel moves")
    assert re.search(r"row \d+ (none|\d+) of 8 instances", later), later
    unfinished = book.wait_for_words(1, "2 rows not complete")
    assert "row 2" not in unfinished
    book.output(1).get_by_text("2 rows not complete").click()
    unfolded = book.wait_for_words(1, "row 2 not-found no study has these keys")
    book.shoot(f"{kernel}-unfolded")
    assert percent(unfolded) < 100
    still = wait_for(lambda: (now := book.words(1)) and percent(now) > percent(unfolded) and now, "it moves on")
    assert "row 2 not-found" in still, "an update has folded the table"

    final = book.wait_for_words(1, OVER, "row 1 partial", "row 2 not-found")
    book.shoot(f"{kernel}-over")
    assert "Cancel" not in final
    tells = told(book)
    assert str(tells["kernel"]).startswith("6." if kernel == "ipykernel6" else ("7.", "8.", "9."))
    assert tells["counts"] == {"success": 8, "partial": 1, "not-found": 1}
    assert "8 success, 1 partial, 1 not-found" in final
    (output,) = book.save()["cells"][1]["outputs"]
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert OVER in "".join(output["data"]["text/plain"])
    book.reload()
    assert book.wait_for_words(1, OVER) == final
    book.shoot(f"{kernel}-reloaded")


@kernels
def test_cancel(open_book: Open, kernel: str) -> None:
    """A click on Cancel stops a running move within two seconds while the kernel is free."""
    book = begun(open_book([setup(1.0), START, TELL], kernel=kernel))
    book.wait_for_words(1, "of 10 requests", "row 0", "of 8 instances")
    clicked = time.time()
    book.output(1).get_by_role("button", name="Cancel").click()
    final = book.wait_for_words(1, "not complete", "cancelled")
    tells = told(book)
    book.shoot(f"{kernel}-cancelled")
    assert tells["done"] is True
    (ended,) = tells["ended"]  # type: ignore[misc]
    assert ended - clicked < 2.0
    counts = tells["counts"]
    assert isinstance(counts, dict)
    assert sum(counts.values()) == 10
    assert counts["cancelled"] >= 7
    assert f"{counts['cancelled']} cancelled" in final
    assert "not sent: the batch was cancelled" in final


@kernels
def test_move_shows_the_same_and_an_interrupt_stops_run_all(open_book: Open, kernel: str) -> None:
    """A blocking move has no button; the kernel's stop button cancels it, and no cell below it runs."""
    book = open_book([setup(0.5), MOVE, "print('trained')", AFTER], kernel=kernel)
    book.command("notebook:run-all-cells")
    running = book.wait_for_words(1, "of 10 requests", "row 0")
    assert "Cancel" not in running
    book.command("notebook:interrupt-kernel")
    final = book.wait_for_words(1, "not complete", "cancelled", "Interrupted: stopped after", "of 10 requests")
    assert "Traceback" not in final
    book.shoot(f"{kernel}-interrupted")
    book.run(3)
    count = book.wait_for_words(3, "cancelled").split()[0]
    assert book.words(2) == ""
    assert f"{count} cancelled" in final


@kernels
def test_await(open_book: Open, kernel: str) -> None:
    """A cell awaits the job: the panel moves meanwhile, and the cell has the summary at its end."""
    book = begun(open_book([setup(0.05), START, AWAIT], kernel=kernel))
    book.run(2)
    early = book.wait_for_words(1, "of 10 requests")
    if OVER not in early:
        wait_for(lambda: percent(book.words(1)) > percent(early) if OVER not in book.words(1) else True, "it moves")
    assert book.wait_for_words(2, "success") == "8 success"
    book.wait_for_words(1, OVER)


def test_reload_while_it_runs(open_book: Open) -> None:
    """A page that is loaded again while the batch runs shows the panel, and at the end what came of it."""
    book = begun(open_book([setup(0.3), START, TELL]))
    early = book.wait_for_words(1, "of 10 requests", "row 0", "Cancel")
    book.save()
    book.reload()
    again = book.wait_for_words(1, "of 10 requests", "row", "Cancel")
    assert percent(again) >= percent(early)
    final = book.wait_for_words(1, OVER, "row 2 not-found")
    assert "Cancel" not in final
    book.shoot("reloaded-while-running")


DYING = "threading.Timer(4, lambda: os.kill(os.getpid(), 9)).start(); import os; " + MOVE


@kernels
def test_reload_while_a_cell_waits(open_book: Open, kernel: str) -> None:
    """A page that is loaded again while a cell waits for its batch shows at once what was saved, and what it means."""
    book = begun(open_book([setup(1.0), MOVE], kernel=kernel))
    book.wait_for_words(1, "of 10 requests", "row 0")
    book.save()
    book.page.reload(timeout=PATIENCE * 1000)
    book.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE * 1000)
    said = book.wait_for_words(1, "of 10 requests", "If this stands still", "mover.last.summary()")
    book.shoot(f"{kernel}-reloaded-while-it-waits")
    assert "widget" not in said
    book.command("notebook:interrupt-kernel")
    book.wait_until_ready()


def test_a_kernel_that_died(open_book: Open) -> None:
    """The cell of a kernel that died says, in the page and in the file, to run it again; that run takes its place."""
    book = begun(open_book([setup(1.0), DYING]))
    book.wait_for_words(1, "of 10 requests", "row 0")
    saved = book.save()["cells"][1]["outputs"][0]["data"]
    assert set(saved) == {"text/html", "text/plain"}
    assert "run the cell again" in "".join(saved["text/html"])
    assert "run the cell again" in "".join(saved["text/plain"])
    time.sleep(5)
    book.reload()
    book.wait_for_words(1, "of 10 requests", "run the cell again, and what is here is skipped")
    book.shoot("kernel-died")
    book.run(0)
    book.wait_for_words(0, "ready")
    book.run(1)
    book.wait_for_words(1, "of 10 requests", "As of")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes(open_book: Open, theme: str) -> None:
    """Whatever the panel says can be read in a light and in a dark theme, while it runs and afterwards."""
    book = begun(open_book([setup(0.1), START], theme=theme))
    book.wait_for_words(1, "of 10 requests", "row 0", "not complete", "moved")
    book.output(1).get_by_text("rows not complete").or_(book.output(1).get_by_text("row not complete")).first.click()
    book.wait_for_words(1, "no study has these keys")
    running = book.contrasts(1)
    book.shoot(f"{theme}-running")
    book.wait_for_words(1, OVER)
    final = book.contrasts(1)
    book.shoot(f"{theme}-over")
    assert len(running) >= 10
    assert len(final) >= 10
    assert {text: ratio for text, ratio in {**running, **final}.items() if ratio < 4.5} == {}

"""What a Mover is told, and a call may say otherwise: what cannot be meant is an error before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch_kit import STUDIES, quiet
from dicomover import (
    ConfigurationError,
    Mover,
    Node,
    Timeouts,
)
from dicomover.batch.settings import Options, check_options
from dicomover.testing import DemoPacs


@pytest.fixture
def pacs() -> Iterator[DemoPacs]:
    """Run a well-behaved archive."""
    with DemoPacs(STUDIES) as archive:
        yield archive


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"destination": "THEM", "receive": "in"}, "cannot both be"),
        ({"port": 104}, "name a folder with receive="),
        ({"destination": "A" * 17}, "17 characters"),
        ({"ae_title": "A\\B"}, "does not allow"),
        ({"associations": 0}, "associations=0"),
        ({"associations": True}, "associations=True"),
        ({"max_matches": 0}, "max_matches=0"),
        ({"level": "STUDIES"}, "'STUDIES'"),
        ({"model": "root"}, "'root'"),
        ({"verify": "maybe"}, "verify='maybe'"),
        ({"timeouts": 30}, "timeouts=30"),
        ({"receive": "in", "port": 70000}, "70000"),
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, object], message: str) -> None:
    """A setting that cannot be meant is an error that names it, before anything is sent."""
    with pytest.raises(ConfigurationError, match=message):
        Mover("ARCHIVE@127.0.0.1:104", **options)  # type: ignore[arg-type]


def test_unknown_overrides(pacs: DemoPacs) -> None:
    """A name that cannot be said per call is an error, and so is a value that cannot be meant."""
    mover = quiet(pacs)
    with pytest.raises(TypeError, match="'retries' cannot be said per call"):
        mover.move({"AccessionNumber": "00123"}, retries=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="associations=0"):
        mover.move({"AccessionNumber": "00123"}, associations=0)
    with pytest.raises(ConfigurationError, match="receives itself"):
        Mover(pacs.node, receive="in").move({"AccessionNumber": "00123"}, destination="OTHER")
    assert not pacs.associations


GOOD: Options = {
    "destination": "WORKSTATION",
    "level": "auto",
    "model": "auto",
    "associations": 2,
    "timeouts": Timeouts(),
    "verify": "counts",
    "recheck": False,
    "max_matches": None,
    "retry": "none",
    "window": None,
    "max_per_minute": None,
    "utilization": None,
    "progress": "none",
    "show_keys": False,
}


def test_what_can_be_meant_is_let_through() -> None:
    """The defaults are fine, and so is a destination that can be asked, where it is to be asked."""
    check_options(GOOD)
    there = Node("127.0.0.1", 104, ae_title="WORKSTATION")
    check_options({**GOOD, "verify": "destination"}, there)
    with pytest.raises(ConfigurationError, match="asks the destination what has arrived"):
        check_options({**GOOD, "verify": "destination"}, Node("127.0.0.1", 104, ae_title="ANOTHER"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("destination", ""),
        ("level", "STUDIES"),
        ("model", "root"),
        ("associations", 0),
        ("associations", True),
        ("associations", 1.5),
        ("max_matches", 0),
        ("retry", "always"),
        ("window", "sometimes"),
        ("max_per_minute", 0),
        ("utilization", 2),
        ("verify", "maybe"),
        ("recheck", "yes"),
        ("show_keys", 1),
        ("timeouts", 30),
    ],
)
def test_each_option_is_checked(name: str, value: object) -> None:
    """Whatever cannot be meant is an error that shows the value; every other option is left as it is."""
    with pytest.raises(ConfigurationError) as caught:
        check_options({**GOOD, name: value})  # type: ignore[typeddict-item]
    assert str(value) in str(caught.value) or not value
    assert caught.value.mend


@pytest.mark.parametrize("folder", ["a\0b", "a\ud800b"])
def test_a_folder_that_can_be_none(folder: str) -> None:
    """What no path can hold is refused when the mover is made, and not shown."""
    with pytest.raises(ConfigurationError, match=r"receive= is no path of a folder; take odd characters out of it"):
        Mover("ARCHIVE@127.0.0.1:104", receive=folder)

"""A place, and what is refused before anybody is asked."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from dicomover import ConfigurationError, Mover, Node, Place
from dicomover.cluster.place import check_cluster

NODE = Node("127.0.0.1", 9, ae_title="DEMO")
PLACES = [Place("MOVER1", 11112), Place("MOVER2", 11113)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("", 11112), "empty"),
        (("MOVER1", 0), "no|not a TCP port"),
        (("MOVER1", True), "not a TCP port"),
        (("MOVER1", 11112, " "), "no name of a machine"),
    ],
)
def test_a_place_that_cannot_be_meant(arguments: tuple[Any, ...], why: str) -> None:
    """A place has an AE title, a port, and a machine if one is named."""
    with pytest.raises(ConfigurationError, match=why):
        Place(*arguments)


def test_a_place_in_words() -> None:
    """It is written as archives are, and may be compared."""
    assert [str(Place("MOVER1 ", 11112)), str(Place("A", 1, "node07"))] == ["MOVER1@*:11112", "A@node07:1"]
    assert Place("MOVER1 ", 11112) == PLACES[0]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"on": object()}, r"on= without places=.*places=\[Place"),
        ({"places": PLACES}, r"places= without on=.*on=Client"),
        ({"on": object(), "places": []}, "no list of places"),
        ({"on": object(), "places": PLACES[0]}, "no list of places"),
        ({"on": object(), "places": [("MOVER1", 11112)]}, "is no Place"),
        ({"on": object(), "places": [PLACES[0], PLACES[0]]}, "two places have the AE title 'MOVER1'"),
        ({"on": object(), "places": [PLACES[0], Place("MOVER3", 11112)]}, "two places have host and port"),
        ({"on": object(), "places": PLACES, "via": "get"}, "via='get'.*shard"),
        ({"on": object(), "places": PLACES}, "Dask|is no distributed.Client"),
    ],
)
def test_what_is_refused(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    """What is half said, or cannot be, is an error before anything is sent; by plan, move and start alike."""
    mover = Mover(NODE, receive=tmp_path / "here", progress="none")
    for verb in (mover.plan, mover.move, mover.start):
        with pytest.raises(ConfigurationError, match=why):
            verb([{"AccessionNumber": "1"}], **options)  # type: ignore[operator]
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"destination": "WORKSTATION"}, "this Mover has none.*third party"),
        ({"receive": "here", "bind": "127.0.0.1"}, "an address of this machine"),
        ({"receive": "here", "tls": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "SSLContext cannot be sent"),
        ({"receive": "here", "via": "auto"}, "via='auto'"),
    ],
)
def test_a_mover_that_cannot_receive_there(settings: dict[str, Any], why: str) -> None:
    """What a Mover was told for this machine alone is refused, and never left out in silence."""
    mover = Mover(NODE, progress="none", **settings)
    with pytest.raises(ConfigurationError, match=why):
        mover.move([{"AccessionNumber": "1"}], on=object(), places=PLACES)


def test_without_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Dask is not installed it is said how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(ConfigurationError, match=r"needs Dask.*pip install 'dicomover\[dask\]'"):
        check_cluster({"on": object(), "places": PLACES}, {}, receives=True)
    assert check_cluster({}, {}, receives=True) is None

"""What DemoPacs says of itself, whom it lets in, and how fast it answers."""

from __future__ import annotations

import time

import pytest

import dicomover.testing
from dicomover.errors import AssociationRejected
from dicomover.node import Node
from dicomover.testing import (
    DemoPacs,
    made_studies,
    made_study,
)
from dicomover.wire.command_set import C_FIND_RQ, C_MOVE_RQ
from testing_kit import Client, client_of, move_keys


def test_exported_names() -> None:
    """The public names are a sorted list, and all of them are there."""
    names = dicomover.testing.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert all(hasattr(dicomover.testing, name) for name in names)


def test_what_stands_in_a_cell() -> None:
    """An archive and a workstation say what they are, where they listen and what they hold."""
    with DemoPacs(made_studies(24), ae_title="ARCHIVE") as pacs:
        assert repr(pacs) == f"<DemoPacs ARCHIVE@127.0.0.1:{pacs.node.port}, 24 studies>"
        assert repr(pacs.workstation) == f"<Workstation WORKSTATION@127.0.0.1:{pacs.workstation.port}, 0 received>"
    with DemoPacs([made_study("1")]) as pacs:
        assert repr(pacs).endswith(", 1 study>")


def test_ae_titles() -> None:
    """An unknown calling AE title is rejected for good, and so is a wrong called one."""
    with DemoPacs([], known_ae_titles=["SOMEBODY"]) as pacs:
        with pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 3)
        pacs.known_ae_titles = ["TESTER"]
        Client(pacs).close()
        pacs.node = Node("127.0.0.1", pacs.node.port, ae_title="ELSE")
        with pytest.raises(AssociationRejected) as caught:
            Client(pacs)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
        assert [item.rejected for item in pacs.associations] == [(1, 1, 3), None, (1, 1, 7)]
        assert pacs.associations[1].calling_ae_title == "TESTER"


def test_a_limit_counts_what_is_open() -> None:
    """Whoever releases may associate again at once, even at the limit."""
    with DemoPacs([], max_associations=1) as pacs:
        for _ in range(50):
            Client(pacs).close()
        assert pacs.most_associations == 1


def test_thousands_of_requests_a_second() -> None:
    """A thousand queries and a thousand moves that send nothing take a few seconds even on a busy machine."""
    with DemoPacs(made_studies(100), misbehave={"*": "claims-without-sending"}) as pacs, client_of(pacs) as client:
        begun = time.monotonic()
        for n in range(1000):
            keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "AccessionNumber": f"M{n % 100 + 1:06d}"}
            assert len(client.ask(C_FIND_RQ, keys).answers) == 1
        study = move_keys(pacs, "M000001")
        assert all(client.ask(C_MOVE_RQ, study).counters == (3, 0, 0) for _ in range(1000))
        assert time.monotonic() - begun < 10

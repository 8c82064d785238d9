"""The SOP Classes of a modality, and their pairs with transfer syntaxes."""

from __future__ import annotations

import pytest
from pydicom.uid import CTImageStorage, KeyObjectSelectionDocumentStorage, VideoEndoscopicImageStorage

from dicomover.query import classes
from dicomover.query.classes import COMMON, MOST_PAIRS, classes_of, fit_pairs, pair_up
from dicomover.receiver.scp.contexts import is_storage, is_supported_transfer_syntax


@pytest.mark.parametrize("modality", classes._BY_MODALITY)
def test_each_modality_has_storage_classes_that_fit_into_one_association(modality: str) -> None:
    """A series, which has one modality, never takes more than one association."""
    found = classes_of([modality.lower()])
    assert found
    assert all(map(is_storage, found))
    assert len(pair_up(found)) <= MOST_PAIRS


def test_all_that_is_proposed_can_be_filed() -> None:
    """No transfer syntax is asked for that our receiver would refuse."""
    assert all(is_supported_transfer_syntax(syntax) for _, syntax in pair_up([*COMMON, VideoEndoscopicImageStorage]))


def test_a_transfer_syntax_is_paired_with_what_it_can_hold() -> None:
    """No video of a CT, and no compressed pixels of a document that has none."""
    assert len(pair_up([KeyObjectSelectionDocumentStorage])) == 4
    assert len(pair_up([CTImageStorage])) < len(pair_up([VideoEndoscopicImageStorage]))
    assert len(pair_up(["1.2.3.4"])) == len(pair_up([CTImageStorage]))


def test_what_is_accepted_is_all_that_is_proposed() -> None:
    """A list of transfer syntaxes stands for itself, whatever the class."""
    assert pair_up(["1", "2", "1"], ["3"]) == (("1", "3"), ("2", "3"))


def test_where_not_all_fit_each_class_keeps_the_usual_syntaxes() -> None:
    """Of very many classes each is proposed in its first transfer syntaxes, none in all and another in none."""
    many = [f"1.2.3.{number}" for number in range(40)]
    pairs = fit_pairs(many)
    assert len(pairs) == MOST_PAIRS
    assert {uid for uid, _ in pairs} == set(many)

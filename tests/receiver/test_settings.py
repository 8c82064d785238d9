"""Settings that cannot be meant are said before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import ConfigurationError
from dicomover.receiver import Receiver


@pytest.mark.parametrize(
    "setting",
    [
        {"layout": "{PatientId}/{SOPInstanceUID}"},
        {"layout": "{StudyDate}.dcm"},
        {"layout": "/{SOPInstanceUID}"},
        {"layout": "../{SOPInstanceUID}"},
        {"layout": "a//{SOPInstanceUID}"},
        {"layout": "{SOPInstanceUID"},
        {"layout": "{SOPInstanceUID!r}"},
        {"layout": "NUL/{SOPInstanceUID}"},
        {"existing": "keeep"},
        {"ae_title": "SEVENTEEN_LETTERS"},
        {"port": 70000},
        {"max_associations": 0},
        {"calling_ae_titles": "YOU"},
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, setting: dict[str, Any]) -> None:
    """A wrong setting is named by the constructor, before anything happens."""
    with pytest.raises(ConfigurationError, match=r"layout|existing|AE title|port|max_associations|calling"):
        Receiver(tmp_path / "new", **{"ae_title": "ME", "on_event": print, **setting})
    assert not (tmp_path / "new").exists()


def test_a_misspelt_keyword_is_answered_by_the_right_one(tmp_path: Path) -> None:
    """The nearest keyword is suggested."""
    with pytest.raises(ConfigurationError, match=r"did you mean \{StudyDate\}"):
        Receiver(tmp_path, ae_title="ME", on_event=print, layout="{StudyDat}/{SOPInstanceUID}")

"""One real image: what no C-MOVE of nothing can show, such as a registered destination whose port is closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from dicomover.attributes.uid import is_named
from dicomover.doctor.findings import Check
from dicomover.errors import DicomoverError
from dicomover.identifier import Level

__all__ = ["move_one_image"]

_CHECK = "one image"
_A = {Level.STUDY: "a study", Level.SERIES: "a series", Level.IMAGE: "an image"}


class Moving(Protocol):
    """As much of a Mover as moves one image."""

    def find(self, keys: Mapping[Any, Any], *, level: str, limit: int) -> pd.DataFrame:
        """Ask what the archive has."""

    def move(self, requests: Mapping[str, str], *, retry: str, progress: str) -> pd.DataFrame:
        """Move, and return the summary."""


def move_one_image(mover: Moving) -> Check:
    """Move the first image that the archive names, and say what became of it; nothing of a patient is told."""
    keys = {"PatientID": "*"}
    try:
        for level in (Level.STUDY, Level.SERIES, Level.IMAGE):
            found = mover.find(keys, level=str(level), limit=1)
            if found.empty:
                return Check(
                    _CHECK, "unclear", f"the archive names no {level.singular} to try with", "move a small study to see"
                )
            uids = set(str(found[level.unique_key].fillna("").iloc[0]).split("\\"))  # some say one twice
            if len(uids) > 1 or not all(map(is_named, uids)):
                without = f"the archive names {_A[level]} without a usable UID, so that it cannot be moved"
                return Check(_CHECK, "failed", without, "ask its administrator")
            keys = {name: uid for name, uid in keys.items() if name != "PatientID"}
            keys[level.unique_key] = uids.pop()
        row = mover.move(keys, retry="none", progress="none").iloc[0]
    except DicomoverError as error:
        return Check(_CHECK, "failed", error.what, error.mend)
    if row["status"] == "skipped":
        here = "the image that the archive names first is here already, and nothing was moved"
        return Check(_CHECK, "unclear", here, "give an empty folder to see one arrive")
    if row["status"] == "success":
        return Check(_CHECK, "ok", "one image of the archive was moved, and is there")
    if row["status"] == "warning":
        return Check(_CHECK, "ok", f"one image of the archive was moved, with a warning: {row['error']}")
    what, _, mend = str(row["error"]).removeprefix(f"{row['status']}: ").partition("; ")
    if not mend and what.startswith("0x"):  # a status, and what to do about it
        what, _, mend = what.partition(": ")
    return Check(_CHECK, "failed", f"{row['status']}: {what}", mend)

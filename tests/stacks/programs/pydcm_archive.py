"""A Query/Retrieve SCP on pydcm's engine, over the files of a folder.

python pydcm_archive.py PORT FOLDER TITLE=PORT ...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydcm
from pydcm.dimse import AE, evt

LEVELS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
KEYS = (*LEVELS.values(), "AccessionNumber", "StudyDate", "Modality", "SOPClassUID")


def main(port: str, folder: str, *titles: str) -> None:
    """Serve until the process ends."""
    destinations = dict(title.split("=") for title in titles)
    held = [
        ({keyword: str(getattr(data_set, keyword, "") or "") for keyword in KEYS}, str(path))
        for path in sorted(Path(folder).glob("*.dcm"))
        for data_set in [pydcm.dcmread(str(path))]
    ]

    def match(identifier: Any) -> list[tuple[dict[str, str], str]]:
        wanted = {keyword: read_values(identifier, keyword) for keyword in KEYS}
        wanted = {keyword: values for keyword, values in wanted.items() if values and values != {"*"}}
        return [item for item in held if all(item[0][keyword] in values for keyword, values in wanted.items())]

    def find(event: Any) -> Iterator[tuple[int, Any]]:
        level = str(event.identifier.QueryRetrieveLevel)
        groups: dict[str, list[dict[str, str]]] = {}
        for values, _ in match(event.identifier):
            groups.setdefault(values[LEVELS[level]], []).append(values)
        for several in groups.values():
            answer = pydcm.Dataset()
            answer.QueryRetrieveLevel = level
            for keyword in KEYS:
                if hasattr(event.identifier, keyword):
                    setattr(answer, keyword, several[0][keyword])
            if level in ("STUDY", "SERIES"):
                setattr(answer, f"NumberOf{level.title()}RelatedInstances", str(len(several)))
            yield 0xFF00, answer
        yield 0x0000, None

    def retrieve(event: Any) -> Iterator[Any]:
        found = match(event.identifier)
        yield len(found)
        for _, path in found:
            yield 0xFF00, pydcm.dcmread(path)

    def move(event: Any) -> Iterator[Any]:
        there = destinations.get(str(event.move_destination).strip())
        if there is None:
            yield None, None
            return
        yield "127.0.0.1", int(there)
        yield from retrieve(event)

    handlers = [
        (evt.EVT_C_ECHO, lambda _: 0x0000),
        (evt.EVT_C_FIND, find),
        (evt.EVT_C_GET, retrieve),
        (evt.EVT_C_MOVE, move),
    ]
    AE(ae_title="PYDCM").start_server(("127.0.0.1", int(port)), block=True, evt_handlers=handlers)


def read_values(identifier: Any, keyword: str) -> set[str]:
    """Return the values of a key; several come as one text that looks like a list."""
    text = str(getattr(identifier, keyword, "") or "")
    for mark in "[]'":
        text = text.replace(mark, "")
    return {value.strip() for value in text.replace(",", "\\").split("\\")} - {""}


if __name__ == "__main__":
    main(*sys.argv[1:])

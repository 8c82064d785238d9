"""What the tests of requests share: requests that are read, and what is said of those that cannot be."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from dicomover.errors import RequestError
from dicomover.identifier import Request
from dicomover.requests.parse import parse_requests

UID64 = "1." + "2" * 62


def parsed(keys: dict, **how: str) -> Request:
    """Return the one request that a dict is."""
    (request,) = parse_requests(keys, **how).requests
    return request


def keys_of(requests: object, **how: object) -> list[dict[str, str]]:
    """Return the checked keys of each request."""
    return [dict(request.keys) for request in parse_requests(requests, **how).requests]  # type: ignore[arg-type]


def refused(requests: object, **how: object) -> RequestError:
    """Return the error that requests end in; each of its problems has a reason and a mend."""
    with pytest.raises(RequestError) as caught:
        parse_requests(requests, **how)  # type: ignore[arg-type]
    assert all(problem.why and problem.mend for problem in caught.value.problems)
    return caught.value


def write(folder: Path, content: str | bytes) -> Path:
    """Return a file with this content."""
    path = folder / "cohort.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def needs(name: str) -> Any:
    """Return a library of the extra `test`; skip where it is not installed, but never in CI."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)

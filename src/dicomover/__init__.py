"""Retrieve medical images from a PACS by DICOM C-MOVE: a table of requests in, a table of outcomes out.

::

    from dicomover import Mover, read_requests

    with Mover("ARCHIVE@pacs.example.org:104", receive="cohort/") as mover:
        summary = mover.move(read_requests("cohort.csv"))

Names are imported when they are first used, so that `import dicomover` and the receiver's process stay light.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomover.batch.job import Job
    from dicomover.cluster.place import Place
    from dicomover.cohort import Cohort
    from dicomover.errors import (
        AnswerWarning,
        AssociationLost,
        AssociationRejected,
        CohortError,
        ConfigurationError,
        ContextRejected,
        DicomoverError,
        Interrupted,
        NodeError,
        NodeUnreachable,
        Problem,
        ProtocolError,
        QueryRefused,
        ReceiverError,
        RequestError,
        RequestWarning,
        SeriesError,
    )
    from dicomover.images.nifti import to_nifti
    from dicomover.images.sheet import contact_sheet
    from dicomover.images.table import index
    from dicomover.images.volume import Volume, volume
    from dicomover.journal import Journal
    from dicomover.mover import Mover
    from dicomover.node import Node, Quirks, Timeouts
    from dicomover.outcome import Status
    from dicomover.policy.retry import Retry
    from dicomover.policy.window import Window
    from dicomover.reporting import merge, report
    from dicomover.requests.around import requests_around
    from dicomover.requests.parse import read_requests
    from dicomover.security import TLS, Identity, Secret
    from dicomover.summary import missing, short

__version__ = "0.1.0"

_NAMES = {
    "batch.job": "Job",
    "cluster.place": "Place",
    "cohort": "Cohort",
    "errors": (
        "AnswerWarning AssociationLost AssociationRejected CohortError ConfigurationError ContextRejected "
        "DicomoverError Interrupted NodeError NodeUnreachable Problem ProtocolError QueryRefused "
        "ReceiverError RequestError RequestWarning SeriesError"
    ),
    "images.nifti": "to_nifti",
    "images.sheet": "contact_sheet",
    "images.table": "index",
    "images.volume": "Volume volume",
    "journal": "Journal",
    "mover": "Mover",
    "node": "Node Quirks Timeouts",
    "outcome": "Status",
    "policy.retry": "Retry",
    "policy.window": "Window",
    "reporting": "merge report",
    "requests.around": "requests_around",
    "requests.parse": "read_requests",
    "security": "TLS Identity Secret",
    "summary": "missing short",
}
_HOME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [  # noqa: RUF022 - as sorted() has it
    "AnswerWarning",
    "AssociationLost",
    "AssociationRejected",
    "Cohort",
    "CohortError",
    "ConfigurationError",
    "ContextRejected",
    "DicomoverError",
    "Identity",
    "Interrupted",
    "Job",
    "Journal",
    "Mover",
    "Node",
    "NodeError",
    "NodeUnreachable",
    "Place",
    "Problem",
    "ProtocolError",
    "QueryRefused",
    "Quirks",
    "ReceiverError",
    "RequestError",
    "RequestWarning",
    "Retry",
    "Secret",
    "SeriesError",
    "Status",
    "TLS",
    "Timeouts",
    "Volume",
    "Window",
    "contact_sheet",
    "index",
    "merge",
    "missing",
    "read_requests",
    "report",
    "requests_around",
    "short",
    "to_nifti",
    "volume",
]

logging.getLogger("dicomover").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'dicomover' has no attribute {name!r}")
    return getattr(importlib.import_module(f"dicomover.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

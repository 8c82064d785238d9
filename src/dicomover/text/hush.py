"""What pydicom says of a file in warnings and logs: it quotes values, so it goes no further where files are read."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

__all__ = ["hush_pydicom"]


@contextlib.contextmanager
def hush_pydicom() -> Iterator[None]:
    """Let pydicom say nothing on this thread meanwhile; on others it goes on logging."""
    me = threading.get_ident()

    def is_anothers(_: logging.LogRecord) -> bool:  # a new one each time: inner and outer ones end each on its own
        return threading.get_ident() != me

    # Each by itself: a filter holds nothing of what the loggers below are told.
    known = logging.Logger.manager.loggerDict
    names = ["pydicom", *(name for name in list(known) if name.startswith("pydicom."))]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(is_anothers)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_anothers)

"""What pydicom says of a file goes no further where files are read."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest

from dicomover.text.hush import hush_pydicom

NAMES = ["pydicom", "pydicom.pixels.decoders.base"]


@pytest.mark.parametrize("name", NAMES)
def test_pydicom_says_nothing(name: str, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    """Neither its logger nor one below, nor a warning; and again afterwards, also where one stands within another."""
    logger = logging.getLogger(name)
    with hush_pydicom():
        with hush_pydicom():
            logger.error("DOEJANE")
        logger.error("DOEJANE")
        warnings.warn("DOEJANE", stacklevel=1)
    assert (caplog.messages, len(recwarn)) == ([], 0)
    logger.error("heard")
    assert caplog.messages == ["heard"]


def test_another_thread_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """What somebody else reads meanwhile is logged as ever."""
    with hush_pydicom():
        thread = threading.Thread(target=logging.getLogger("pydicom").error, args=("heard",))
        thread.start()
        thread.join(5)
    assert caplog.messages == ["heard"]

"""A file that is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replace_file"]


@contextmanager
def replace_file(target: Path) -> Iterator[Path]:
    """Yield where to write; what is there at the end takes the target's place, durably and at once.

    An older file stays whole until then, and for good if anything goes wrong.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     target = Path(folder, "cohort.csv")
    ...     with replace_file(target) as part:
    ...         _ = part.write_text("AccessionNumber")
    ...     target.read_text(), len(list(Path(folder).iterdir()))
    ('AccessionNumber', 1)
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        # Before the name: a power cut must not leave the new name with nothing behind it.
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

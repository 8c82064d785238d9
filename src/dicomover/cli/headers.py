"""The command that makes a table of the headers of files: `dicomover index`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from dicomover.cli.output_files import check_table_file, render_json, save_table
from dicomover.cli.screen import show_log
from dicomover.disk import Share
from dicomover.images.series import series_table
from dicomover.images.table import index
from dicomover.text.listing import listing, terminal_width
from dicomover.text.sentences import count_of

__all__ = ["run_index"]

_SHOWN = ("Modality", "files", "slices", "spacing", "is_volume", "irregular")


def run_index(
    folder: Path,
    *,
    level: Literal["IMAGE", "SERIES"],
    keep: Sequence[str],
    cache: bool,
    output: Path | None,
    share: Share,
    as_records: bool,
) -> int:
    """Print the series of a folder, without what identifies patients, and return the exit code."""
    with show_log():
        check_table_file(output, "--output")
        images = index(folder, keep=keep, cache=cache)
        series = series_table(images)
        code = save_table(images if level == "IMAGE" else series, output, 0 if len(images) else 1, share)
        if as_records:
            click.echo(render_json(images if level == "IMAGE" else series))
        elif len(series):
            shown = series[list(_SHOWN)].astype(object)
            rows = shown.where(shown.notna(), "").itertuples(index=False)
            click.echo(listing(_SHOWN, list(rows), width=terminal_width()))
        broken = int(images["error"].notna().sum())
        words = f"{count_of(len(images), 'image', 'images')} in {count_of(len(series), 'series', 'series')}"
        click.echo(words + (f"; {count_of(broken, 'file', 'files')} cannot be read" if broken else ""), err=True)
        return code

"""The command that lists what is here: `dicomover files`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import click
import pandas as pd

from dicomover.batch.inventory import sum_up_series
from dicomover.cli.arguments import DOWNLOADS, Arguments
from dicomover.cli.output_files import check_table_file, render_json, save_table
from dicomover.cli.request_input import name_keys, read_asked
from dicomover.cohort import Cohort
from dicomover.mover import Mover
from dicomover.node import Node
from dicomover.progress.text import size
from dicomover.requests.parse import parse_requests
from dicomover.text.listing import listing
from dicomover.text.sentences import count_of
from dicomover.text.visible import make_visible

__all__ = ["run_files"]

Asked = Cohort | Mapping[str, str] | pd.DataFrame
"""What requests are read as: of a lockfile, of keys, of a batch."""

_NOBODYS = Node("localhost", 104)  # stands for the archive where none has to be named


def run_files(given: Arguments, level: Literal["IMAGE", "SERIES"]) -> int:
    """Print what is here, a line for each series, and return the exit code."""
    with given.show_log():
        if given.checksums and level != "IMAGE":
            raise click.UsageError("--checksums is of each file; leave out --level SERIES")
        folder = given.output_dir or DOWNLOADS
        if not folder.is_dir():
            message = f"{folder} is not there; name the folder that images were moved into"
            raise click.BadParameter(message, param_hint="-od")
        check_table_file(given.output, "--output", keep=given.csv_file)
        named = given.key or given.query_file or given.csv_file or given.lockfile
        requests, asked_level = read_asked(given) if named else (None, given.level or "auto")
        mover = Mover(
            _choose_node(given, requests),
            receive=folder,
            port=0,
            level=asked_level,
            journal=given.journal or "auto",
            show_keys=given.show_keys,
        )
        with name_keys(given):
            images = mover.files(requests, checksums=given.checksums)
            with warnings.catch_warnings(action="ignore"):  # they have been told
                if isinstance(requests, Mapping):  # what cannot be meant is an error, and no row without files
                    parse_requests(requests, level=asked_level, show_keys=given.show_keys)
            table = images if level == "IMAGE" else sum_up_series(images)
        code = save_table(table, given.output, 0 if len(images) else 1, given.share)
        if given.as_records:
            click.echo(render_json(table))
        elif len(images):
            click.echo(_series_text(images, show_keys=given.show_keys))
        if not given.quiet:
            click.echo(f"{folder}: {_count(images, requests)}", err=True)
            if not (journal := given.journal or folder / "journal.db").exists():
                click.echo(f"{journal}, which a move fills, is not there; dicomover index reads the files", err=True)
        return code


# --- behind it


def _choose_node(given: Arguments, requests: Asked | None) -> Node:
    if given.peer is not None:
        return given.node
    if isinstance(requests, Cohort):
        return requests.archive
    if requests is None:
        return _NOBODYS
    raise click.UsageError(
        "PEER is missing: what is here of a request is known by the archive that it was moved from; name it as for "
        "the move, or leave the requests out to list all that is here"
    )


def _series_text(images: pd.DataFrame, *, show_keys: bool) -> str:
    """Return a line for each series of each request, and below it its UID, or its folder, which may name a patient."""
    of_rows = ["request"] if "request" in images.columns else []
    groups = images.groupby([*of_rows, "StudyInstanceUID", "SeriesInstanceUID"], sort=False, dropna=False)
    series = groups.agg(
        images=("SOPInstanceUID", "nunique"), size=("size", "sum"), arrived=("arrived", "max"),
        intact=("intact", "all"), path=("path", "first"),
    ).reset_index()  # fmt: skip
    shown = {
        "images": series["images"].map(int),
        "size": series["size"].map(size),
        "arrived": series["arrived"].dt.strftime("%Y-%m-%d %H:%M UTC"),
        "intact": series["intact"].map({True: "yes", False: "no"}),
    }
    if of_rows and (show_keys or pd.api.types.is_integer_dtype(series["request"])):  # others may be patients' keys
        shown = {"row": series["request"], **shown}
    head, *lines = listing(list(shown), list(zip(*shown.values(), strict=True)), width=10**6).splitlines()
    below = [str(Path(path).parent) for path in series["path"]] if show_keys else series["SeriesInstanceUID"]
    pairs = zip(lines, map(make_visible, below), strict=True)
    return "\n".join([head, *(f"{line}\n      {text}" for line, text in pairs)])


def _count(images: pd.DataFrame, requests: Asked | None) -> str:
    """Return how much is here, however many rows it is of; of how many rows; and how much of it has changed."""
    files = images.drop_duplicates("path")
    series = files["SeriesInstanceUID"].nunique()
    words = [f"{count_of(len(files), 'image', 'images')} in {count_of(series, 'series', 'series')}"]
    words.append(f"({size(int(files['size'].sum()))})")
    if (changed := int((~files["intact"]).sum())) > 0:
        words.append(f"with {changed:,} not as it came,")
    if isinstance(requests, pd.DataFrame):
        words.append(f"of {images['request'].nunique():,} of {count_of(len(requests), 'request')}")
    elif requests is None:
        words.append("from every archive")
    return " ".join(words)

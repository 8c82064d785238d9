"""The command that joins the summaries of shards: `dicomover merge`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from dicomover.cli.output_files import check_page_file, check_table_file, render_json, save_file, save_table
from dicomover.cli.screen import show_log
from dicomover.disk import Share
from dicomover.reporting import merge, report
from dicomover.summary import exit_code

__all__ = ["run_merge"]


def run_merge(
    shards: Sequence[Path], *, summary: Path | None, page: Path | None, show_keys: bool, share: Share, as_records: bool
) -> int:
    """Print the report of a whole batch and return the exit code that one machine would have given."""
    with show_log():
        for path in shards:
            check_table_file(summary, "--summary", keep=path)
        check_page_file(page, "--report")
        table = merge(shards)
        told = report(table, show_keys=show_keys)
        code = save_table(table, summary, exit_code(table), share)
        if page is not None:
            code = save_file(partial(told.write_html, share=share), page, code)
        if as_records:
            click.echo(render_json(table))
        click.echo(str(told), err=as_records)
        return code

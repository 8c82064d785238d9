"""What `lock` and `verify` do: a lockfile out, or a lockfile in and what has changed since."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from dicomover.cli.arguments import Arguments
from dicomover.cli.output_files import check_table_file, render_json, save_table
from dicomover.cli.request_input import blame_file, load_cohort, name_keys, read_input, read_secret
from dicomover.cohort import Cohort, Kind, LockState
from dicomover.mover import Mover
from dicomover.node import Node
from dicomover.text.listing import facts, listing, terminal_width
from dicomover.text.sentences import count_of
from dicomover.text.widths import fit

__all__ = ["run_lock", "run_verify"]

_SHOWN = 20  # rows that are named


def run_lock(given: Arguments) -> int:
    """Lock, say what was found, and return the exit code."""
    with given.show_log():
        requests, level = read_input(given)
        secret = read_secret(given.secret_file)
        path = given.output
        assert path is not None
        with name_keys(given), blame_file(path):
            cohort = Mover(given.node, **given.client, **given.lookup(level)).lock(
                requests,
                path,
                invalid=given.invalid,
                privacy="plain" if secret is None else "hashed",
                secret=secret,
                overwrite=given.overwrite,
                wildcards=given.wildcards,
            )
        table = cohort.requests
        found = table["state"] == str(LockState.FOUND)
        if given.as_records:
            click.echo(render_json(table))
        if not given.quiet:
            click.echo(_lock_text(cohort, path), err=given.as_records)
        return 0 if len(table) and found.all() else 1 if table["instances"].sum() else 2


def run_verify(given: Arguments) -> int:
    """Hold a lockfile against the archive, a folder, or both; say what has changed, and return the exit code."""
    with given.show_log():
        folder, path = given.folder, given.lockfile
        assert path is not None
        if given.seal and folder is None:
            raise click.UsageError("--seal records what lies in a folder; name it with --folder DIR")
        check_table_file(given.output, "--output", keep=path)
        cohort = load_cohort(path, given.secret_file)
        parts = {}
        if given.peer is not None or folder is None:
            mover = Mover(_choose_node(given, cohort), **given.client)
            parts["archive"] = mover.verify(cohort, look_again=not given.locked_only)
        if folder is not None:
            with blame_file(folder):
                if given.seal:
                    cohort = cohort.seal(folder)
                    cohort.save(path, given.share)
                parts["folder"] = cohort.check(folder)
        drift = pd.concat([table.assign(where=where) for where, table in parts.items()], ignore_index=True)
        drift = drift[["where", *(name for name in drift.columns if name != "where")]]
        unknown = drift["kind"] == str(Kind.UNKNOWN)
        code = save_table(drift, given.output, 0 if drift.empty else 2 if unknown.all() else 1, given.share)
        if given.as_records:
            click.echo(render_json(drift))
        if not given.quiet:
            click.echo(_drift_text(cohort, drift, parts), err=given.as_records)
        return code


# --- behind them


def _choose_node(given: Arguments, cohort: Cohort) -> Node:
    if given.peer is not None:
        return given.node
    archive = cohort.archive
    if not cohort.is_authentic:
        secret = "" if cohort.document.privacy.get("privacy") == "plain" else ", or give --secret-file"
        raise click.UsageError(
            f"PEER is missing: the lockfile names {archive}, but whoever can write it can name any host, to which "
            f"patients' numbers would go; name the archive yourself, as AET@host:port{secret}"
        )
    return given.secure(archive if given.call is None else Node(archive.host, archive.port, ae_title=given.call))


def _lock_text(cohort: Cohort, path: Path) -> str:
    table = cohort.requests
    pairs = [
        ("Lockfile", str(path)),
        ("Hash", cohort.hash),
        ("Locked", f"{cohort.created:%Y-%m-%d %H:%M:%S} UTC at {cohort.archive}"),
        ("Requests", f"{len(table):,}: {_counts(table['state']) or 'the batch has no requests'}"),
        ("Studies", f"{cohort.studies['StudyInstanceUID'].nunique():,}"),
        ("Instances", f"{cohort.instances['SOPInstanceUID'].nunique():,}"),
    ]
    text = f"Cohort\n{facts(pairs, width=terminal_width())}"
    rest = table[table["state"] != str(LockState.FOUND)]
    if len(rest):
        cells = [[label, *values] for label, *values in rest[["state", "instances", "note"]].head(_SHOWN).itertuples()]
        rows = listing(["row", "state", "instances", "why"], cells, width=terminal_width())
        text += f"\n\nNot found as a whole\n{rows}"
        text += f"\n  … and {len(rest) - _SHOWN:,} more" if len(rest) > _SHOWN else ""
    return text


def _drift_text(cohort: Cohort, drift: pd.DataFrame, parts: dict[str, pd.DataFrame]) -> str:
    against = " and the ".join(parts)
    if drift.empty:
        text = f"nothing has changed: the {against} agrees with what was locked on {cohort.created:%Y-%m-%d}"
    else:
        same = ["request", "where", "kind", "StudyInstanceUID", "note"]
        lines = drift.groupby(same, dropna=False, sort=False).size().reset_index(name="times")
        shown = lines[[*same[:4], "times", "note"]].head(_SHOWN)
        cells = [[_label(request), *values] for request, *values in shown.itertuples(index=False)]
        text = listing(["row", "where", "change", "study", "times", "what"], cells, width=terminal_width(160))
        if len(lines) > _SHOWN:
            text += f"\n  … and {len(lines) - _SHOWN:,} more; --output FILE keeps every row"
        text += f"\n\n{count_of(len(drift), 'change')} since {cohort.created:%Y-%m-%d}: {_counts(drift['kind'])}"
    if "folder" in parts and not cohort.is_sealed:
        text += "\nthe content of the files was not compared, since no digests are recorded; --seal records them"
    return fit(text, terminal_width(160))


def _label(value: object) -> object:
    """Return the label of a row; beside an unknown one pandas makes a whole number a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _counts(values: pd.Series) -> str:
    counts = values.value_counts(sort=False)
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())

"""What `dicomover nodes` does with profiles, and what `doctor --learn` writes into one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dicomover.cli import report
from dicomover.cli.arguments import Arguments
from dicomover.cli.output_files import render_json
from dicomover.cli.screen import show_log
from dicomover.doctor import Check, Setup, findings_table
from dicomover.doctor.quirks import examine, learn_quirks
from dicomover.node import Node, Timeouts
from dicomover.profiles import Profile, list_profiles, load_profile
from dicomover.profiles.files import PROJECT, list_files
from dicomover.profiles.profile import is_name
from dicomover.profiles.writing import add_node, write_quirks
from dicomover.text.listing import facts, listing, terminal_width

__all__ = ["run_learn", "run_nodes"]


def run_nodes(action: str, name: str | None, address: str | None, *, project: bool) -> int:
    """Do what was asked, and return the exit code."""
    if action == "list":
        return _list()
    if name is None:
        raise click.UsageError(f"NAME is missing; write, say, dicomover nodes {action} main")
    if action == "add":
        return _add(name, address, Path(PROJECT).absolute() if project else list_files()[0])
    profile = load_profile(name)
    return _show(profile) if action == "show" else _test(profile)


def run_learn(given: Arguments, profile: Profile | None) -> int:
    """Try an archive, print what was found, write its quirks into its profile, and return the exit code."""
    if profile is None:
        raise click.UsageError("--learn writes into a profile; name it: dicomover doctor --learn NAME")
    with given.show_log():
        checks, quirks = learn_quirks(Setup(given.node, given.aetitle, given.timeouts), _numbers())
        code = _print(checks, given)
        if quirks:
            write_quirks(profile.path, profile.name, quirks)
            kept = ", ".join(quirks)
            if not given.quiet:
                click.echo(f"{kept} written to {profile.path}", err=given.as_records)
        return code


def _numbers() -> Any:
    return itertools.count(1).__next__


def _print(checks: list[Check], given: Arguments = Arguments()) -> int:  # noqa: B008 - frozen
    findings = findings_table(checks)
    if given.as_records:
        click.echo(render_json(findings))
    if not given.quiet:
        click.echo(report.findings_text(findings), err=given.as_records)
    return 2 if any(check.result == "failed" for check in checks) else 0


def _list() -> int:
    profiles = list_profiles()
    rows = [
        [each.name, str(each.node), "yes" if each.node.tls is not None else "no", str(each.path)] for each in profiles
    ]
    if rows:
        click.echo(listing(["name", "archive", "TLS", "file"], rows, width=terminal_width()))
    else:
        click.echo(f"no archive has a name yet, neither in {' nor in '.join(map(str, list_files()))}", err=True)
    return 0 if rows else 1


def _show(profile: Profile) -> int:
    node = profile.node
    said: Mapping[str, object] = {
        "file": profile.path,
        "archive": node,
        "name": node.name,
        "tls": node.tls,
        "identity": node.identity,
        "quirks": repr(node.quirks).removeprefix("Quirks(").removesuffix(")"),
        **profile.options,
    }
    pairs = [(name, str(value)) for name, value in said.items() if value not in (None, "")]
    click.echo(facts(pairs, width=terminal_width()))
    return 0


def _add(name: str, address: str | None, path: Path) -> int:
    if address is None:
        raise click.UsageError(f"where is it? write, say, dicomover nodes add {name} ARCHIVE@pacs.example.org:104")
    if not is_name(name):
        raise click.UsageError(f"{name!r} is no name for a node; take letters, digits, - and _, 64 at most")
    if any(each.name == name for each in list_profiles() if each.path == path):
        raise click.UsageError(f"{path} has a node {name!r} already; change it there")
    add_node(path, name, Node.parse(address))
    click.echo(f"{name} is in {path}; see whether it answers: dicomover nodes test {name}", err=True)
    return 0


def _test(profile: Profile) -> int:
    options = profile.options
    setup = Setup(profile.node, options.get("ae_title", "MOVESCU"), options.get("timeouts", Timeouts()))
    with show_log():
        return _print(examine(setup, _numbers()))

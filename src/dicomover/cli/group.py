"""The group that all commands are in, and how their help is set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from dicomover.cli.options import HELP_NAMES, VERSION, with_options

__all__ = ["PROFILE", "cli"]

_SETTINGS = {"help_option_names": HELP_NAMES, "show_default": True, "max_content_width": 100}
PROFILE = "dicomover.profile"
"""Where the context of a command has the profile that PEER names."""

_UNBROKEN = "\N{NON-BREAKING HYPHEN}"


class _Formatter(click.HelpFormatter):
    """Breaks lines between words, and nowhere else."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _UNBROKEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl([(name, text.replace("-", _UNBROKEN)) for name, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        return super().getvalue().replace(_UNBROKEN, "-")


class _Context(click.Context):
    formatter_class = _Formatter


class _Command(click.Command):
    context_class = _Context

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, with what is known of the archive if that is named by its profile."""
        if ctx.params.get("peer"):
            from dicomover.cli.profile import use_profile

            ctx.meta[PROFILE] = use_profile(ctx)
        return super().invoke(ctx)


class _Group(click.Group):
    context_class, command_class = _Context, _Command


@click.group(cls=_Group, context_settings=_SETTINGS)
@with_options(VERSION)
def cli() -> None:
    """Move medical images out of a PACS (DICOM C-MOVE), and say truly what became of each request.

    Try it without a PACS: dicomover demo
    """

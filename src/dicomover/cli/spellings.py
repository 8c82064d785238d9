"""Options as other tools spell them: what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import click

from dicomover.text.shapes import shape_of

__all__ = ["explained"]

_GLUED = re.compile(r"(-(?:aet|aec|aem|od|to|ta|td))([^=\s].*)")
_SAID = re.compile(r"(arguments? \(|'(?=[^']*' is not))(.*?)(?=\)$|' is not)", re.DOTALL)
_NEAR = 0.7  # how alike an option has to be to be suggested
_LEVELS = {"debug": "-d", "trace": "-d", "info": "-v", "error": "-q", "fatal": "-q"}


def explained(error: click.ClickException, args: Sequence[str]) -> click.ClickException:
    """Return an error about the options with a hint, where another tool's spelling is what went wrong.

    Examples
    --------
    >>> error = click.NoSuchOption("-a")
    >>> explained(error, ["move", "-aetHERE"]).message
    "No such option '-a'; write -aet HERE for -aetHERE."
    """
    hint = next(filter(None, map(_hint, args, [*args[1:], ""])), "") if _is_of_options(error) else ""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if _is_of_options(error) and not hint and (elsewhere := _find_elsewhere(context, args)):
        return click.UsageError(elsewhere, context)
    said = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    is_stray = _is_of_options(error) and not isinstance(error, click.NoSuchOption)
    if is_stray and "--show-keys" not in args:  # what belongs nowhere may be a patient's number
        said = _SAID.sub(lambda found: found[1] + shape_of(found[2]).strip("'"), said)
    if is_stray and not hint and any(param.name == "key" for param in (context.command.params if context else ())):
        hint = "a key is written -k Keyword=value"
    if hint or is_stray:
        return click.UsageError(f"{said.rstrip('.')}; {hint}." if hint else said, context)
    if isinstance(error, click.NoSuchOption):
        near = [name for name in error.possibilities or () if _alike(name, error.option_name)]
        return click.NoSuchOption(error.option_name, possibilities=near or None, ctx=error.ctx)
    return error


def _find_elsewhere(context: click.Context | None, args: Sequence[str]) -> str:
    """Say that an option is one of another command's; empty if it is of none. Of `-od` click sees `-o` alone."""
    group = None if context is None or context.parent is None else context.parent.command
    if context is None or not isinstance(group, click.Group):
        return ""
    options = {name: {opt for param in each.params for opt in param.opts} for name, each in group.commands.items()}
    known = set().union(*options.values()) - options.get(context.info_name or "", set())
    name = next((arg for arg in (arg.partition("=")[0] for arg in args if arg.startswith("-")) if arg in known), None)
    if name is None:
        return ""
    mend = "; move --dry-run plans with it" if context.info_name == "plan" and name in options["move"] else ""
    return f"{context.info_name} has no option {name}{mend}."


def _is_of_options(error: click.ClickException) -> bool:
    """Tell whether an option that is none may have led to it, by itself or as the value of an argument."""
    if isinstance(error, click.BadParameter):
        return error.param is not None and error.param.name in ("peer", "port")
    return isinstance(error, click.NoSuchOption) or error.message.startswith("Got unexpected extra")


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one, other).ratio() >= _NEAR


def _hint(arg: str, following: str) -> str:
    if arg in ("+P", "-P") and following.isdecimal():
        return f"write --port {following} for {arg} {following}"
    if arg in ("-pdu", "--max-pdu"):
        return f"leave {arg} {following} out: the size of a PDU is no option here"
    if arg in ("-ll", "--log-level"):
        return f"write {_LEVELS.get(following, '-v or -d')} for {arg} {following}"
    glued = _GLUED.fullmatch(arg)
    if glued is not None:
        return f"write {glued[1]} {glued[2]} for {arg}"
    return f"options begin with a hyphen here, and {arg} has none" if re.fullmatch(r"\+[A-Za-z]\w*", arg) else ""

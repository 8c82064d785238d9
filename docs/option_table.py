"""The options of a command as a Markdown table, for the pages."""

from __future__ import annotations

import click

from dicomover.cli.options import HELP_NAMES

__all__ = ["option_table"]


def option_table(command: click.Command) -> str:
    """Return the options of a command as a Markdown table.

    Examples
    --------
    >>> @click.command()
    ... @click.option("-n", "--number", default=2, metavar="N", help="How many.")
    ... def sample(number): ...
    >>> print(option_table(sample))
    | option | default | meaning |
    | --- | --- | --- |
    | `-n`, `--number N` | 2 | How many. |
    | `-h`, `--help` |  | Show this message and exit. |
    """
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    with click.Context(command, info_name=command.name, help_option_names=HELP_NAMES) as context:
        shown = [item for item in command.get_params(context) if isinstance(item, click.Option) and not item.hidden]
        lines += [f"| {_names(item)} | {_default(item)} | {_escaped(item.help or '')} |" for item in shown]
    return "\n".join(lines)


def _names(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.upper()}"
    if isinstance(option.type, click.Choice) and not option.metavar:
        value = f" {_escaped('|'.join(map(str, option.type.choices)))}"
    names = [*sorted(option.opts, key=lambda name: name.startswith("--")), *option.secondary_opts]
    return ", ".join(f"`{name}{value if name == names[-1] else ''}`" for name in names)


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return _escaped(option.show_default)
    if option.is_flag:
        return f"`{max(option.opts, key=len)}`" if option.secondary_opts and option.default is True else ""
    return "" if option.multiple or not isinstance(option.default, str | int | float) else f"{option.default}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")

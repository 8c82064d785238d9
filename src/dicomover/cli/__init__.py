"""The command line, the twin of the library: the same names, the same defaults.

Options in, one call of the library, a report and an exit code out. No other room knows click.

Never here: a decision that somebody who writes Python would miss.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from dicomover.cli import commands, local_commands  # noqa: F401 - they add themselves to the group
from dicomover.cli.group import cli
from dicomover.errors import DicomoverError
from dicomover.text.face import at_a_shell

__all__ = ["cli", "main"]

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))


def main(
    args: Sequence[str] | None = None,  # what follows `dicomover`; that of this process by default
) -> int:
    """Run the command line and return its exit code; what can be expected to go wrong is a sentence on stderr.

    Returns
    -------
    int
        0 everything moved (was found, answered), 1 not everything, 2 nothing or the input was wrong, 130 interrupted by
        Ctrl-C, 143 by SIGTERM.

    Examples
    --------
    >>> main(["--version"])
    dicomover 0.1.0
    0
    """
    from dicomover.cli.screen import Interrupts, say
    from dicomover.cli.spellings import explained

    with at_a_shell(), Interrupts() as interrupts:
        try:
            code = cli.main(args, prog_name="dicomover", standalone_mode=False, obj=interrupts)
            sys.stdout.flush()
            return interrupts.exit_code if code == 130 else int(code or 0)
        except BrokenPipeError:
            _drop_output()  # whoever read it has left; there is nobody to tell
            return 1
        except OSError as error:
            return _refused(error)
        except (KeyboardInterrupt, click.Abort, click.ClickException, DicomoverError) as error:
            if interrupts.number is not None or isinstance(error, KeyboardInterrupt | click.Abort):
                click.echo("Interrupted.", err=True)
                return interrupts.exit_code
            if isinstance(error, click.ClickException):
                told = io.StringIO()
                explained(error, sys.argv[1:] if args is None else args).show(told)
                say(told.getvalue().rstrip("\n"))
            else:
                say(f"Error: {error}")
            return 2


def _refused(error: OSError) -> int:
    """Say what the system has refused and return the exit code."""
    if error.filename is None and error.errno in _FULL:
        _drop_output()
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        return 1
    from dicomover.cli.screen import say

    where = "" if error.filename is None else f"{error.filename}: "
    say(f"Error: {where}{error.strerror or error}")
    return 2


def _drop_output() -> None:
    """Let what is still to be written to the standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""What the library says to those who write Python, in the words of the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["in_options", "in_options_of"]

_PHRASES = {
    ", or name it in keys=[...]": "",
    ", or name sep=": "",
    ", or read it with pandas.read_excel(path, dtype=str)": "",
    " or name sep=": "",
    "look_again=False": "--locked-only",
    "overwrite=True": "--overwrite",
    ", or say partial=True": "",
    "; check() names them": "; leave --seal out to see which",
    "use find() and move what it returns": "write what matches by dicomover find --output FILE, and move that by --csv",
    "filter what find() returns": "filter what dicomover find --output FILE writes",
    "what move() or job.summary() returns": "what dicomover move --summary FILE writes",
    "find()": "dicomover find",
    "; own_process=False does without": "",
    "recheck=True": "--recheck",
    "retry attempts=": "",
    "give a Retry, a number": "give a number",
    "name who receives: a destination, or us": "name who receives: -aem AET, or us by -od DIR",
    "such as secrets.token_hex(16)": "such as 32 random hexadecimal digits",
    "mover.lock()": "dicomover lock",
    "use model='patient'": "use -P",
    "use the Patient Root model or": "use -P or",
    "try the other model": "try the other model, -P or -S",
    "read it as text, with read_requests(path) or read_csv(path, dtype=str)": "write it as text",
    "give destination= as a Node, which says where it listens": "write -aem AET@host:port, which says where it listens",
}
_OPTIONS = {
    "ae_title": "-aet",
    "associations": "--associations",
    "bind": "--bind",
    "destination": "-aem",
    "invalid": "--invalid",
    "journal": "--journal",
    "level": "-L",
    "limit": "--limit",
    "max_matches": "--max-matches",
    "max_per_minute": "--max-per-minute",
    "port": "--port",
    "receive": "-od",
    "recheck": "--recheck",
    "retry": "--retry",
    "secret": "--secret-file",
    "split": "--split",
    "utilization": "--utilization",
    "verify": "--verify",
    "window": "--window",
    "workers": "--workers",
}
_ARGUMENT = re.compile(rf"(?<![\w.'\"-])({'|'.join(_OPTIONS)})=(?:'([^']*)'|(?=(\w)))?")


def in_options(text: str) -> str:
    """Return a message of the library with options in the place of arguments and methods.

    Examples
    --------
    >>> in_options("workers=2 is for receiving; name a folder with receive=")
    '--workers 2 is for receiving; name a folder with -od'
    >>> in_options("verify='instances' is not to be had here")
    '--verify instances is not to be had here'
    """
    for python, option in _PHRASES.items():
        text = text.replace(python, option)

    def spoken(match: re.Match[str]) -> str:
        name, quoted, bare = match.groups()
        option = _OPTIONS[name]
        return f"{option} {quoted or ''}" if quoted is not None or bare else option

    text = _ARGUMENT.sub(spoken, text)
    return re.sub(r"\bmax_matches\b", "--max-matches", text)


def in_options_of(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return a table with the same done to the sentences in some of its columns."""
    worded = {name: table[name].map(in_options, na_action="ignore").astype(table[name].dtype) for name in columns}
    return table.assign(**worded)

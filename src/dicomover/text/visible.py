"""Characters that nobody sees or that a terminal obeys, shown as escapes: on every face, by this one function."""

from __future__ import annotations

import html
import unicodedata

__all__ = ["make_html", "make_visible"]


def make_visible(text: str, *, lines: bool = False) -> str:
    r"""Return a text with escapes for controls, bidi marks and what else nobody sees; `lines` keeps line feeds.

    Examples
    --------
    >>> print(make_visible("red\x1b[31m \u202egpj.exe"))
    red\x1b[31m \u202egpj.exe
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or (lines and each == "\n") else _escape(each) for each in text)


def _escape(character: str) -> str:
    is_space = unicodedata.category(character) == "Zs"  # one that does not break, or is as wide as a letter
    return " " if is_space else character.encode("unicode_escape").decode("ascii")


def make_html(text: str) -> str:
    r"""Return a text as it stands in a page, where a quote, a tag and a bidi mark mean nothing.

    Examples
    --------
    >>> print(make_html("<b>\u2066"))
    &lt;b&gt;\u2066
    """
    return html.escape(make_visible(text))

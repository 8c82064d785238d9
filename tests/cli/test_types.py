"""Values of options that are more than click knows of: what each may be, and what is said of another one."""

from __future__ import annotations

import click
import pytest

from dicomover.cli.types import Parsed, Part, Whole, Worded, read_destination, read_level, read_seconds, read_split
from dicomover.errors import ConfigurationError
from dicomover.node import Node


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (read_seconds, "0", 0.0),
        (read_seconds, "2.5", 2.5),
        (read_split, "auto", "auto"),
        (read_split, "none", "none"),
        (read_split, "500", 500),
        (read_level, "study", "STUDY"),
        (read_level, "Instance", "IMAGE"),
        (read_destination, "WS7", "WS7"),
        (read_destination, "WS7@host:104", Node("host", 104, ae_title="WS7")),
    ],
)
def test_what_can_be_meant_is_read(read: object, text: str, value: object) -> None:
    """A text becomes the value that the library takes; what is one already is left as it is."""
    kind = Parsed(read)  # type: ignore[arg-type]
    assert kind.convert(text, None, None) == value
    assert kind.convert(value, None, None) == value if not isinstance(value, str) else True


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((read_seconds, text) for text in ("", "soon", "-1", "nan", "inf")),
        *((read_split, text) for text in ("", "0", "-5", "1.5", "sometimes")),
        *((read_level, text) for text in ("", "STUDIES")),
        *((read_destination, text) for text in ("", "A" * 17, "A\\B", "WS7@host")),
    ],
)
def test_what_cannot_be_meant_is_an_error_of_the_option(read: object, text: str) -> None:
    """The library's own words become a usage error, which names the option."""
    with pytest.raises(ConfigurationError) as said:
        read(text)  # type: ignore[operator]
    with pytest.raises(click.BadParameter) as shown:
        Parsed(read).convert(text, None, None)  # type: ignore[arg-type]
    assert str(said.value) in shown.value.message


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Whole(0, 65535), "None", "'None' is not a valid integer."),
        (Whole(1), "2.5", "'2.5' is not a valid integer."),
        (Part(0, 1), "half", "'half' is not a valid number."),
    ],
)
def test_what_is_no_number_is_called_so(kind: click.ParamType, text: str, said: str) -> None:
    """Nobody is told of a range who has to give a number."""
    with pytest.raises(click.BadParameter) as shown:
        kind.convert(text, None, None)
    assert shown.value.message == said


def test_a_default_in_words_has_no_brackets() -> None:
    """A default that is told in words is shown as they stand; one that is a value is left to click."""
    command = click.Command("move")
    with click.Context(command) as context:
        told = Worded(["--port"], show_default="any free one", help="The port.").get_help_record(context)
        plain = Worded(["--port"], default=7, show_default=True, help="The port.").get_help_record(context)
    assert told is not None
    assert plain is not None
    assert told[1].endswith("[default: any free one]")
    assert plain[1].endswith("[default: 7]")

"""Messages and negotiations in the field's own words, for the log. Whoever logs asks first whether anybody reads it.

What identifies a patient goes to a logger of its own, `dicomover.identifiers`, which says nothing unless that very
logger is set to DEBUG: raising the level of `dicomover` does not show it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from dicomover.attributes.registry import REGISTERED
from dicomover.errors import AssociationLost, LostBy, NodeError
from dicomover.outcome import Counters, describe
from dicomover.text.visible import make_visible
from dicomover.wire import command_set as cs
from dicomover.wire.messages import Context

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "IDENTIFIERS",
    "dump_command",
    "dump_contexts",
    "dump_counters",
    "log_contexts",
    "log_identifier",
    "log_message",
    "log_release",
    "name_message",
]

IDENTIFIERS = logging.getLogger("dicomover.identifiers")
IDENTIFIERS.setLevel(logging.WARNING)

_MESSAGES = {
    cs.C_STORE_RQ: "C-STORE",
    cs.C_FIND_RQ: "C-FIND",
    cs.C_MOVE_RQ: "C-MOVE",
    cs.C_GET_RQ: "C-GET",
    cs.C_ECHO_RQ: "C-ECHO",
    cs.C_CANCEL_RQ: "C-CANCEL",
}
_PRIORITIES = {0: "MEDIUM", 1: "HIGH", 2: "LOW"}
_RESULTS = {
    0: "accepted",
    1: "refused by the user",
    2: "refused without a reason",
    3: "refused: SOP Class not supported",
    4: "refused: transfer syntax not supported",
}
_PRIVATE = ("ErrorComment",)  # some archives quote the keys there


def name_message(command: Mapping[str, int | str]) -> str:
    """Return what a message is called.

    Examples
    --------
    >>> name_message({"CommandField": 0x8021})
    'C-MOVE-RSP'
    """
    field = command.get("CommandField", 0)
    if not isinstance(field, int) or field & ~cs.RESPONSE not in _MESSAGES:
        return f"a message with Command Field {field!r}"
    return f"{_MESSAGES[field & ~cs.RESPONSE]}-{'RSP' if field & cs.RESPONSE else 'RQ'}"


def dump_command(command: Mapping[str, int | str], length: int = 0) -> str:
    """Return a command set with a line for each element, and how long the data set is that goes with it.

    Examples
    --------
    >>> print(dump_command({"CommandField": 0x0030, "MessageID": 7, "CommandDataSetType": 0x0101}))
    C-ECHO-RQ
      (0000,0100) US CommandField        0x0030 (C-ECHO-RQ)
      (0000,0110) US MessageID           7
      (0000,0800) US CommandDataSetType  0x0101 (no data set)
    """
    shown = [(*cs.ELEMENTS[name], name, _show(name, command)) for name in command if name in cs.ELEMENTS]
    widest = max((len(name) for _, _, name, _ in shown), default=0)
    lines = [f"  (0000,{element:04X}) {vr} {name:<{widest}}  {text}" for element, vr, name, text in sorted(shown)]
    data = [f"  and {length:,} bytes of identifier"] if length else []
    return "\n".join([name_message(command), *lines, *data])


def _name(uid: str) -> str:
    return REGISTERED[uid][0] if uid in REGISTERED else uid


def _show(name: str, command: Mapping[str, int | str]) -> str:
    value = command[name]
    if name in _PRIVATE:
        return "(not shown)"
    if not isinstance(value, int):
        text = make_visible(value)
        return f"{text} ({_name(text)})" if text in REGISTERED else text
    words = {
        "CommandField": name_message(command),
        "Priority": _PRIORITIES.get(value, "unknown"),
        "CommandDataSetType": "no data set" if value == cs.NO_DATA_SET else "a data set follows",
    }
    if name == "Status":
        return f"0x{value:04X} (pending)" if value >> 8 == 0xFF else describe(value)
    return f"0x{value:04X} ({words[name]})" if name in words else f"{value}"


def dump_contexts(proposed: Iterable[Context], results: Mapping[int, int], chosen: Mapping[int, str]) -> str:
    """Return presentation contexts, each with its result (PS3.8 Table 9-18), and the syntax of those that are accepted.

    Examples
    --------
    >>> echo = Context(1, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))
    >>> print(dump_contexts([echo], {1: 0}, {1: "1.2.840.10008.1.2"}))
      context 1: Verification SOP Class: accepted, Implicit VR Little Endian
    """
    lines = []
    for context in proposed:
        result = results.get(context.id)
        said = "no word of it" if result is None else _RESULTS.get(result, f"refused with {result}")
        syntaxes = [chosen[context.id]] if context.id in chosen else context.transfer_syntaxes
        names = ", ".join(_name(syntax) for syntax in syntaxes)
        lines.append(f"  context {context.id}: {_name(context.abstract_syntax)}: {said}, {names}")
    return "\n".join(lines)


def dump_counters(counters: Counters) -> str:
    """Return how many sub-operations came to what.

    Examples
    --------
    >>> dump_counters(Counters(completed=3, failed=0))
    '3 completed, 0 failed'
    """
    named = [(name, getattr(counters, name)) for name in ("completed", "failed", "warning", "remaining")]
    return ", ".join(f"{number:,} {name}" for name, number in named if number is not None) or "without a count"


def log_message(
    log: logging.Logger, way: str, peer: object, context: int, command: cs.Command, length: int = 0
) -> None:
    """Log a message that was sent or received; what a peer says in its own words counts as an identifier."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s %s on context %d: %s", way, peer, context, dump_command(command, length))
    if "ErrorComment" in command:
        IDENTIFIERS.debug("the comment of %s\n  %s", peer, make_visible(str(command["ErrorComment"])))


def log_contexts(log: logging.Logger, said: str, proposed: Iterable[Context], chosen: Mapping[int, str]) -> None:
    """Log what our own receiver made of each context: `chosen` has the transfer syntax, empty for none of those."""
    if log.isEnabledFor(logging.DEBUG):
        contexts = tuple(proposed)
        results = {each.id: 3 if each.id not in chosen else 0 if chosen[each.id] else 4 for each in contexts}
        dump = dump_contexts(contexts, results, {id_: syntax for id_, syntax in chosen.items() if syntax})
        log.debug("%s\n%s", said, dump)


def log_release(log: logging.Logger, node: object, trouble: NodeError | None) -> None:
    """Log what a release came to; to close the connection instead is so common that nobody need hear of it unasked."""
    if trouble is None:
        log.info("association with %s released", node)
    else:
        silent = isinstance(trouble, AssociationLost) and trouble.by is LostBy.TIMEOUT
        level = logging.WARNING if silent else logging.INFO
        log.log(level, "%s did not answer the release of the association (%s)", node, trouble.what)


def log_identifier(what: str, message_id: int, identifier: Dataset) -> None:
    """Log an identifier or an answer, if somebody has asked for that."""
    if IDENTIFIERS.isEnabledFor(logging.DEBUG):
        lines = "\n".join(f"  {line}" for line in str(identifier).splitlines())
        IDENTIFIERS.debug(f"{what}\n%s", message_id, lines)

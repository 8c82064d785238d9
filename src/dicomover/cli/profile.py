"""A profile at a shell: PEER may be its name, and what it says stands for what nobody has typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from dicomover.profiles import Profile

__all__ = ["use_profile"]

_PARAMETERS = {
    "ae_title": "aetitle",
    "calling_ae_titles": "calling_aet",
    "destination": "move_dest",
    "port": "listen",
    "receive": "output_dir",
}
"""What a command calls what a Mover calls otherwise; by its own names the same in both."""


def use_profile(context: click.Context) -> Profile | None:
    """Put a profile that PEER names into the parameters of a command that was parsed, and return it."""
    from dicomover.profiles import load_profile
    from dicomover.profiles.profile import is_name

    given = context.params
    if given.get("port") is not None or not is_name(given.get("peer")):
        return None
    profile = load_profile(given["peer"].strip())
    typed = {name for name in given if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    known = {name: given[name] for name in typed - {"port"}}  # a command's own `port` is the archive's
    known |= {name: given[parameter] for name, parameter in _PARAMETERS.items() if parameter in typed}
    if "listen" in typed:  # which says at a shell that we receive
        known.setdefault("receive", True)
    if typed & {"tls_cert", "receive_tls_cert", "receive_in_plain"}:
        known["tls"] = True
    if typed & {"patient_root", "study_root"}:
        known["model"] = True
    given["peer"] = profile.node
    for name, value in _spell(profile.usual(known)).items():
        if (name in given and name not in typed) or name == "tls":  # for which a shell has several options
            given[name] = value
    return profile


def _spell(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Mover's options as a command has them."""
    said: dict[str, Any] = {}
    for name, value in options.items():
        if name == "timeouts":
            for field in fields(value):
                parameter = "timeout" if field.name == "connect" else f"{field.name}_timeout"
                said[parameter] = getattr(value, field.name) or 0
        elif name == "model":
            said[f"{value}_root"] = True
        elif name == "accept":
            said[name] = (value,) if isinstance(value, str) else tuple(value)
        else:
            said[_PARAMETERS.get(name, name)] = tuple(value) if isinstance(value, list) else value
    return said

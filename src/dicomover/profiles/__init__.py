"""Profiles: archives by their names, as `nodes.toml` and a project's `dicomover.toml` say of them.

`files` finds and reads, `keys` says what may stand there, `profile` makes a node and a Mover's options of it, `writing`
changes a file and nothing in it but what is meant.
*Never here:* the network, and a secret that could be shown.
"""

from __future__ import annotations

from dicomover.profiles.profile import Profile, list_profiles, load_profile, with_profile

__all__ = ["Profile", "list_profiles", "load_profile", "with_profile"]

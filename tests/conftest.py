"""What holds for every test; `guards.py` has it, so that there is one of it however a test is imported."""

from __future__ import annotations

from hypothesis import settings

from guards import no_profiles_of_the_user, nothing_left_behind, only_loopback

__all__ = ["no_profiles_of_the_user", "nothing_left_behind", "only_loopback"]

settings.register_profile("here", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("here")

"""Attributes: how they are named, where they stand in a data set, and what they say, whatever an archive has sent.

Values are read as texts, counts and UIDs and nothing else, in any VR, number and character set, and never raise.

Never here: what an attribute is asked for, and whether an answer matches.
"""

__all__: list[str] = []

"""Text for people, whatever it is about: tables for a terminal, sentences that differ in their numbers only.

Never here: DICOM, and what a sentence is about.
"""

__all__: list[str] = []

"""Text for people, whatever it is about: tables for a terminal, sentences that differ in their numbers only."""

__all__: list[str] = []

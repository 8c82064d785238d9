"""From whatever a person has (dicts, rows, a table, a CSV) to checked requests; nothing here knows a network."""

__all__: list[str] = []

"""From whatever a person has (dicts, rows, a table, a CSV) to requests that can be meant.

Every problem has its row and its mend, and is told before anything is sent.

Never here: the network, and guesses.
"""

__all__: list[str] = []

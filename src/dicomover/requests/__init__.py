"""From whatever a person has (dicts, rows, a table, a CSV) to requests that can be meant.

Every problem has its row and its mend, and is told before anything is sent.

Never here: the network, and guesses.
"""

from dicomover.requests.files import read_requests
from dicomover.requests.parse import parse_requests

__all__ = ["parse_requests", "read_requests"]

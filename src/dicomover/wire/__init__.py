"""The network: PDUs, associations, DIMSE messages, and the lines to an archive over which the workers ask.

A peer's silences become named errors here, once.

Never here: what a request means, whether it succeeded, whether to try it again.
"""

__all__: list[str] = []

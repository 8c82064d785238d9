"""When the archive may be asked, how fast, and what is tried again.

Values that are told what happened and when, and answer with a time to wait.

Never here: a sleep, a thread, the network.
"""

__all__: list[str] = []

"""One batch, from its first request to its summary.

Which request is next, the workers and what each does for one row, what has arrived of it, its verdict, and what the
journal says before and after.

Never here: PDUs and sockets (`wire`), how images are received (a Protocol says what is needed), drawing (`progress`).
"""

__all__: list[str] = []

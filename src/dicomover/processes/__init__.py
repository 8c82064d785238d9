"""Processes of this one: children that it is forked into, and the Python in which it starts one.

Never here: what such a process does.
"""

__all__: list[str] = []

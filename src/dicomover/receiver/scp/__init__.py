"""The Storage SCP: one association, accepted or requested, and one data set from its head to its file.

Never here: processes, and a success before the file is whole and has its name.
"""

__all__: list[str] = []

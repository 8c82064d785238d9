"""The Storage SCP: one association after its socket was accepted, one data set from its head to its file."""

__all__: list[str] = []

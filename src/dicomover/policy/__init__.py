"""When the archive may be asked, how often, and what is tried again. No network, no threads."""

__all__: list[str] = []

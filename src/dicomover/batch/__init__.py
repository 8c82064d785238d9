"""One batch from its first request to its summary: jobs, workers, verdicts, and what the journal says of it."""

__all__: list[str] = []

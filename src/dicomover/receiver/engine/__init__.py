"""Where the Storage SCP runs: in processes of its own, or on threads of this one, and what goes between."""

__all__: list[str] = []

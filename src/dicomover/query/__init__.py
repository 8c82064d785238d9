"""What a request comes to, by C-FIND: studies, series and instances, and answers as a table."""

__all__: list[str] = []

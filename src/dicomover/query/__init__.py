"""What a request comes to, by C-FIND: studies, series and instances, and answers as a table.

Asked in parts where an archive caps its answers, filtered again where it does not filter.

Never here: an association; whoever calls brings something that finds.
"""

__all__: list[str] = []

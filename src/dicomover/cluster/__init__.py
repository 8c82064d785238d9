"""A batch on a Dask cluster: its images land at places on several machines, and its book stays at the client.

A place is leased to one worker at a time. Dask is imported here, inside functions, and nowhere else.

Never here: a verdict, a pace, a journal. Those are the batch's, and there is one of each.
"""

__all__: list[str] = []

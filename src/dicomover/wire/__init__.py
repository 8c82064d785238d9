"""The network: PDUs, associations, DIMSE messages. The only room that knows pynetdicom."""

__all__: list[str] = []

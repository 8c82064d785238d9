"""Images on disk: their headers as a table, their series as arrays and pictures.

Everything here reads files and asks no archive. pydicom decodes pixels; dcm2niix, pyarrow and Pillow are imported where
they are needed, and nowhere else.

Never here: how a file came, and what it should have been.
"""

__all__: list[str] = []

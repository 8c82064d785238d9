"""Retrieve medical images from a PACS by DICOM C-MOVE, table in, table out."""

__version__ = "0.1.0"

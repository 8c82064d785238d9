"""What a file is, told by its bytes and never by its name, and what to do with one that is no table of ours."""

from __future__ import annotations

import re

from dicomover.text.face import in_python

__all__ = ["find_kind", "find_kind_of_text", "find_kind_of_zip"]

_Finding = tuple[str, str]
"""What it is, and the mend."""

_SAVE = "save it as .xlsx or CSV"
_BY_PANDAS = "pandas.read_excel(path, dtype=str)"
_LOST = "; leading zeros of its numbers are lost already"
_UNPACK = "unpack it first"

_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "is a Parquet file", "pandas.read_parquet(path)"),
    (b"ARROW1", "is an Arrow file (Feather)", "pandas.read_feather(path)"),
    (b"\xff\xff\xff\xffARROW", "is an Arrow file", "pyarrow.ipc.open_stream(path).read_all()"),
    (b"SQLite format 3\0", "is an SQLite database", "pandas.read_sql('SELECT …', sqlite3.connect(path))"),
    (b"$FL2", "is a file of SPSS", "pandas.read_spss(path)"),
    (b"<stata_dta>", "is a file of Stata", "pandas.read_stata(path)"),
    (b"\x89HDF", "is an HDF5 file", "pandas.read_hdf(path)"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard", ""),
    (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive", ""),
    (b"Rar!", "is a RAR archive", ""),
)
"""How a file begins, what it is, and what makes a table of it in Python; what has none is unpacked first."""

_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(r"<(!doctype\s+html|html|head|body|meta|table|style)\b|MIME-Version:", re.IGNORECASE)
_LOCKFILE = '"dicomover cohort"'
_JSON = re.compile(r'\{\s*["}]|\[\s*[{\["\]]')


def find_kind(raw: bytes) -> _Finding | None:
    """Say what the bytes of a file are, if they are neither text nor a workbook nor compressed in a way that is read.

    Examples
    --------
    >>> find_kind(b"%PDF-1.7")
    ('is a PDF', 'get the table from its source')
    >>> find_kind(b"AccessionNumber")
    """
    if raw[128:132] == b"DICM":
        mend = "give a table" + in_python("; dicomover.index(folder) makes one of a folder of images")
        return "is a DICOM file", mend
    if raw.startswith(b"%PDF"):
        return "is a PDF", "get the table from its source"
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        if _ENCRYPTED in raw:
            return "is a workbook with a password", "save it without one"
        return "is a workbook of Excel 97 to 2003 (.xls)", _SAVE + in_python(f", or give {_BY_PANDAS}") + _LOST
    for magic, what, call in _MAGIC:
        if raw.startswith(magic):
            return what, "save it as CSV" + in_python(f", or give {call}") if call else _UNPACK
    return None


def find_kind_of_zip(names: list[str], mime: bytes) -> _Finding | None:
    """Say what a ZIP file of these members is, if it is none that is read: a workbook, or one file alone."""
    if mime.startswith(b"application/vnd.oasis.opendocument"):
        return "is a table of LibreOffice (.ods)", _SAVE + in_python(f", or give {_BY_PANDAS}") + _LOST
    if "xl/workbook.bin" in names:
        return "is a binary workbook of Excel (.xlsb)", _SAVE + in_python(f", or give {_BY_PANDAS}") + _LOST
    if any((name.startswith("Index/") and name.endswith(".iwa")) or name == "Index.zip" for name in names):
        return "is a table of Numbers", "export it as .xlsx or CSV"
    if "xl/workbook.xml" not in names and len(names) != 1:
        return f"is a ZIP file of {len(names)} files", f"{_UNPACK}, and name the one that is meant"
    return None


def find_kind_of_text(text: str) -> _Finding | None:
    """Say what a text is that is no CSV.

    Examples
    --------
    >>> find_kind_of_text("<html><table><tr>")[0]
    'is a page in HTML, whatever its name says'
    """
    start = text[:4096].lstrip()
    if start.startswith("<"):
        if "urn:schemas-microsoft-com:office:spreadsheet" in start or 'progid="Excel.Sheet"' in start:
            return "is a workbook in the XML of Excel 2003", "open it in Excel or LibreOffice, and save it as .xlsx"
        if start.startswith("<?xml") and "<html" not in start:
            return "is XML", "save it as CSV" + in_python(", or give pandas.read_xml(path, dtype=str)")
    if _HTML.match(start) or start.startswith("<?xml"):
        call = "pandas.read_html(path, converters={'AccessionNumber': str})[0]"
        mend = "save it as CSV where it comes from" + in_python(f", or give {call}")
        return "is a page in HTML, whatever its name says", mend + "; Excel would drop leading zeros"
    if _LOCKFILE in start:
        return "is a lockfile", "move it as one: " + (in_python("Cohort.load(path)") or "dicomover move --lock FILE")
    if _JSON.match(start):
        call = "json.loads(Path(path).read_text(encoding='utf-8')), if it is a list of dicts"
        return "is JSON", "save it as CSV" + in_python(f", or give {call}")
    return None

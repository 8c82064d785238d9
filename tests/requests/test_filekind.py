"""What a file is: by its bytes, whatever its name says, and what makes a table of it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dicomover.errors import RequestError
from dicomover.requests.filekind import find_kind, find_kind_of_text
from dicomover.requests.parse import read_requests
from dicomover.text.face import at_a_shell
from requests_kit import keys_of, needs, write

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000)
ODS = "application/vnd.oasis.opendocument.spreadsheet"
XML_2003 = """<?xml version="1.0"?>
<?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet/></Workbook>"""
HTML = "<html><body><table><tr><td>AccessionNumber</td></tr><tr><td>00123</td></tr></table></body></html>"


def archive(*names: str, mime: str = "") -> bytes:
    """Return a ZIP file of members by these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, mime if name == "mimetype" else "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (OLE, "is a workbook of Excel 97 to 2003 (.xls); save it as .xlsx or CSV, or give pandas.read_excel(path"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "is a workbook with a password; save it without one"),
        (b"PAR1" + bytes(40) + b"PAR1", "is a Parquet file; save it as CSV, or give pandas.read_parquet(path)"),
        (b"ARROW1" + bytes(9), "is an Arrow file (Feather)"),
        (b"SQLite format 3\0" + bytes(90), "is an SQLite database"),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "is compressed with Zstandard; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive; unpack it first"),
        (b"%PDF-1.7", "is a PDF"),
        (bytes(128) + b"DICM" + bytes(50), "is a DICOM file; give a table; dicomover.index("),
        (archive("mimetype", "content.xml", mime=ODS), "is a table of LibreOffice (.ods); save it as .xlsx or CSV"),
        (archive("xl/workbook.bin", "[Content_Types].xml"), "is a binary workbook of Excel (.xlsb)"),
        (archive("Index/Document.iwa", "x"), "is a table of Numbers"),
        (archive("a.csv", "b.csv"), "is a ZIP file of 2 files; unpack it first, and name the one that is meant"),
        (XML_2003.encode(), "is a workbook in the XML of Excel 2003; open it in Excel or LibreOffice, and save it"),
        (XML_2003.encode("utf-16"), "is a workbook in the XML of Excel 2003"),
        (HTML.encode(), "is a page in HTML, whatever its name says"),
        (b"\xef\xbb\xbf\n<TABLE>\n<TR>", "is a page in HTML"),
        (b"<!DOCTYPE html><p>", "is a page in HTML"),
        (b'<?xml version="1.0"?><html xmlns="...">', "is a page in HTML"),
        (b"MIME-Version: 1.0\nContent-Type: multipart/related", "is a page in HTML"),
        (b'<?xml version="1.0"?><rows/>', "is XML"),
        (b'[{"AccessionNumber": "00123"}]', "is JSON"),
        (b'{"AccessionNumber": ["00123"]}', "is JSON"),
        (b'{\n "format": "dicomover cohort"}', "is a lockfile; move it as one: Cohort.load(path)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["cohort.csv", "cohort.xls"])
def test_other_files_are_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    """A file that is no table of ours is named for what it is, whatever its name says, with what to do."""
    path = write(tmp_path, content).rename(tmp_path / name)
    with pytest.raises(RequestError) as caught:
        read_requests(path)
    assert f"{name}: {says.partition(' ')[0]}" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["[AccessionNumber],b", "{acc},b", "<5,>5", "AccessionNumber", "PARTICIPANT", "BZ"])
def test_texts_are_no_other_files(text: str) -> None:
    """A header that only resembles the beginning of something else is a header."""
    assert find_kind_of_text(text) is None
    assert find_kind(text.encode()) is None


def test_a_shell_is_told_nothing_of_pandas(tmp_path: Path) -> None:
    """Who is at a shell gets the mend that a shell has."""
    for content in (OLE, b"PAR1", HTML.encode(), b'[{"a": 1}]', b'<?xml version="1.0"?><a/>', bytes(128) + b"DICM"):
        with at_a_shell(), pytest.raises(RequestError) as caught:
            read_requests(write(tmp_path, content))
        assert "pandas" not in str(caught.value)
        assert "dicomover.index(" not in str(caught.value)


def test_the_line_for_json_reads_it(tmp_path: Path) -> None:
    """The mend for JSON keeps what was typed."""
    path = write(tmp_path, '[{"AccessionNumber": "00123"}]')
    with pytest.raises(RequestError, match=r"or give json.loads\(Path\(path\).read_text\(encoding='utf-8'\)\)"):
        read_requests(path)
    assert keys_of(json.loads(Path(path).read_text(encoding="utf-8"))) == [{"AccessionNumber": "00123"}]


def test_the_line_for_parquet_reads_it(tmp_path: Path) -> None:
    """The mend for Parquet keeps what was typed."""
    needs("pyarrow")
    path = tmp_path / "cohort.parquet"
    pd.DataFrame({"AccessionNumber": ["00123"]}).to_parquet(path)
    with pytest.raises(RequestError, match=r"or give pandas.read_parquet\(path\)"):
        read_requests(path)
    assert keys_of(pd.read_parquet(path)) == [{"AccessionNumber": "00123"}]

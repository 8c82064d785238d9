"""Where an instance is filed: from a layout and the values of its data set to a path inside the root.

Nothing that a peer sends becomes a part of a path unless it is harmless on every file system; anything else
becomes a readable beginning, a tilde and a hash. `Layout.path` is the only place where paths are made.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import string
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from dicomover.attributes.registry import DATA_ELEMENTS
from dicomover.attributes.uid import is_uid as is_a_uid
from dicomover.errors import ConfigurationError

__all__ = ["DEFAULT_LAYOUT", "LAST_TAG", "Existing", "Layout", "other_name", "safe_part", "tags_by_keyword"]

Existing = Literal["keep", "replace", "error"]
"""What happens if other bytes lie under an instance's UID already."""

DEFAULT_LAYOUT = "{PatientID}/{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"
LAST_TAG = 0x0020000E  # Series Instance UID: everything that names a folder stands at or before it

_TEXT_LIKE = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"})
_HARMLESS_LITERAL = re.compile(r"[A-Za-z0-9 _.+=@,()-]*")
_PUNCTUATION = frozenset(" _.+=@,()-")
_LONGEST = 64  # characters of one value
_LONGEST_PART = 200  # bytes of one part; file systems allow 255, and suffixes must fit
_FOLDERS_KEPT = 2_000
_LONGEST_PATH = 259 if os.name == "nt" else 0  # characters; 0 is no limit, but for that of each part
_SUFFIX = len(".conflict-999")
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"}
)
# What we, SQLite beside a journal, and a rerun call their own files.
_OURS = re.compile(r"\.(db|sqlite3?)(-(wal|shm|journal))?$|\.(part|changed-[0-9]+)$", re.IGNORECASE)


@lru_cache(maxsize=1)
def tags_by_keyword() -> dict[str, int]:
    """Return every keyword that a layout may use: text-like, top-level, at or before Series Instance UID."""
    return {
        keyword: tag
        for tag, (vr, multiplicity, _, _, keyword) in DATA_ELEMENTS.items()
        if 0x00080000 <= tag <= LAST_TAG and vr in _TEXT_LIKE and keyword and multiplicity
    }


def _is_harmless(text: str) -> bool:
    return (
        0 < len(text) <= _LONGEST
        and all(character in _PUNCTUATION or character.isalnum() for character in text)
        and text[0] not in ". "
        and text[-1] not in ". "
        and text.partition(".")[0].rstrip().casefold() not in _RESERVED
        and len(text.encode("utf-8", "surrogatepass")) <= _LONGEST_PART
        and unicodedata.normalize("NFC", text) == text
        and not _OURS.search(text)
        and _can_be_named(text)
    )


def _can_be_named(text: str) -> bool:
    """Tell whether the locale has bytes for a text; the same text may be hashed under another locale."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9]+", "_", text[:24]).strip("_")
    return f"{readable or 'unknown'}~{digest}"


def other_name(name: str) -> str:
    """Return the name of a folder whose own one another folder has, such as `ab12` beside `AB12` where case is nothing.

    Examples
    --------
    >>> other_name("ab12")
    'ab12~59d937723564937c'
    """
    return _hashed(name)


def safe_part(text: str, *, is_uid: bool = False) -> str:
    """Return a text from outside as a harmless part of a path, always the same for the same text.

    A UID is kept if it is one (PS3.5 section 9.1: digits and dots, no leading zeros, at most 64 characters).
    Other values are kept if they have letters, digits and plain punctuation only, do not begin or end with a dot
    or a space, are no device name of Windows, and are not long. A tilde is never kept, so no value can
    pretend to be another one's hash.

    Examples
    --------
    >>> safe_part("1.2.3", is_uid=True), safe_part("4711"), safe_part("")
    ('1.2.3', '4711', 'unknown')
    >>> safe_part("../../etc/passwd")
    'etc_passwd~3754d6cb3a38e118'
    >>> safe_part("..", is_uid=True)
    'unknown~5ec1f7e700f37c3d'
    """
    if not text:
        return "unknown"
    if is_uid:
        return text if is_a_uid(text) else _hashed(text)
    normal = unicodedata.normalize("NFC", text)
    return normal if _is_harmless(normal) else _hashed(text)


class Layout:
    """A template of folders and a file name, such as `{PatientID}/{StudyDate}/{SOPInstanceUID}.dcm`.

    Raises ConfigurationError if it cannot be meant, with the mend.

    Parameters
    ----------
    template
        Parts separated by `/`; in braces, keywords of text-like attributes that stand at or before
        Series Instance UID (0020,000E). `{SOPInstanceUID}` must be among them.

    Examples
    --------
    >>> layout = Layout("{Modality}/{SOPInstanceUID}.dcm")
    >>> layout.path("/data", {"Modality": "CT", "SOPInstanceUID": "1.2"}).replace(os.sep, "/")
    '/data/CT/1.2.dcm'
    """

    def __init__(self, template: str = DEFAULT_LAYOUT) -> None:
        if not isinstance(template, str) or not template:
            raise ConfigurationError(f"layout {template!r} is not a text", f"the default is {DEFAULT_LAYOUT!r}")
        if template.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", template):
            raise ConfigurationError(
                f"layout {template!r} is an absolute path",
                "give the folder separately and let the layout begin below it",
            )
        self.template = template
        self._parts = [self._parse(part) for part in template.split("/")]
        self.keywords = tuple(dict.fromkeys(keyword for part in self._parts for _, keyword in part if keyword))
        self._folder_keywords = tuple(
            dict.fromkeys(keyword for part in self._parts[:-1] for _, keyword in part if keyword)
        )
        self._folders: dict[tuple[str, ...], str] = {}
        if "SOPInstanceUID" not in self.keywords:
            raise ConfigurationError(
                f"layout {template!r} has no {{SOPInstanceUID}}, so instances would be filed over one another",
                "add it to the file name",
            )
        self._extension = os.path.splitext(template.rsplit("/", 1)[-1])[1]  # noqa: PTH122 - not a path yet
        # The end of a name that is otherwise the SOP Instance UID, and needs no other look than that it is one.
        begin, ending = (*self._parts[-1], ("", ""))[:2]
        is_plain = begin == ("", "SOPInstanceUID") and len(self._parts[-1]) == 2 and not ending[1]
        self._plain_ending = ending[0] if is_plain and len(ending[0]) <= _LONGEST else ""
        if "{" in self._extension or "}" in self._extension:
            self._extension = ""

    def __repr__(self) -> str:
        return f"Layout({self.template!r})"

    def _parse(self, part: str) -> list[tuple[str, str]]:
        """Split one part into (literal, keyword) pairs."""
        problem = f"layout {self.template!r}: the part {part!r}"
        try:
            pieces = list(string.Formatter().parse(part))
        except ValueError as error:
            raise ConfigurationError(f"{problem} cannot be read ({error})", "write keywords as {Keyword}") from error
        parsed = []
        for literal, keyword, spec, conversion in pieces:
            if not _HARMLESS_LITERAL.fullmatch(literal):
                raise ConfigurationError(
                    f"{problem} has a character that not every file system takes",
                    "use letters, digits, and space _ . + = @ , ( ) -",
                )
            if keyword is None:
                parsed.append((literal, ""))
                continue
            if spec or conversion:
                raise ConfigurationError(f"{problem} has a format or conversion", "write the keyword alone in braces")
            if keyword not in tags_by_keyword():
                near = difflib.get_close_matches(keyword, tags_by_keyword(), 1)
                hint = f"did you mean {{{near[0]}}}?" if near else "give a keyword such as {StudyDate} or {Modality}"
                raise ConfigurationError(
                    f"{problem}: {{{keyword}}} is not the keyword of a text attribute at or before "
                    f"Series Instance UID (0020,000E)",
                    hint,
                )
            parsed.append((literal, keyword))
        text = "".join(literal if not keyword else f"{literal}x" for literal, keyword in parsed)
        if _OURS.search(text) or not _is_harmless(text[:_LONGEST].rstrip(" .") if len(text) > _LONGEST else text):
            raise ConfigurationError(
                f"{problem} is empty, begins or ends with a dot or a space, or is a reserved name, as "
                "our own files have one (.db, .part)",
                "folders are separated by one /",
            )
        return parsed

    def _part(self, index: int, values: Mapping[str, str]) -> str:
        """Return one part, made of values from outside."""
        if self._plain_ending and index == len(self._parts) - 1 and is_a_uid(uid := values.get("SOPInstanceUID", "")):
            return uid + self._plain_ending  # nearly every name there is
        text = "".join(
            literal + (safe_part(values.get(keyword, ""), is_uid=keyword.endswith("UID")) if keyword else "")
            for literal, keyword in self._parts[index]
        )
        is_short = len(text.encode("utf-8")) <= _LONGEST_PART
        if is_short and text.partition(".")[0].rstrip().casefold() not in _RESERVED and not _OURS.search(text):
            return text
        return _hashed(text) + (self._extension if index == len(self._parts) - 1 else "")

    def path(self, root: str, values: Mapping[str, str]) -> str:
        """Return the path of an instance; `root` is an absolute path without symbolic links.

        Parameters
        ----------
        values
            By keyword, as they stand in the data set; a missing one counts as empty.
        """
        # Thousands of instances share a folder: what stands before the file name is made once for all of them.
        key = (root, *(values.get(keyword, "") for keyword in self._folder_keywords))
        folders = self._folders.get(key)
        if folders is None:
            if len(self._folders) >= _FOLDERS_KEPT:
                self._folders.clear()
            folders = os.path.join(root, *(self._part(index, values) for index in range(len(self._parts) - 1)))  # noqa: PTH118
            self._folders[key] = folders
        name = self._part(len(self._parts) - 1, values)
        path = os.path.join(folders, name)  # noqa: PTH118
        if _LONGEST_PATH and len(path) + _SUFFIX > _LONGEST_PATH:
            path = os.path.join(root, _hashed(folders[len(root) :]), name)  # noqa: PTH118
            if len(path) + _SUFFIX > _LONGEST_PATH:
                path = os.path.join(root, _hashed(folders[len(root) :]), _hashed(name) + self._extension)  # noqa: PTH118
        inside = root if root.endswith(os.sep) else root + os.sep
        assert path.startswith(inside), "a path outside the root"
        assert os.path.normpath(path) == path, "a path that is not in its plain form"
        assert len(path) > len(inside)
        return path

"""The lockfile: what stands in it, field by field, and how it is written and read.

It is JSON, made to be read and compared by people: one value a line, in an order that depends on the requests and on
nothing else. `FIELDS` documents it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

from dicomover.cohort.content import Digest, LockedRequest, content_hash, encode_canonical
from dicomover.cohort.frame import Frame
from dicomover.disk import Share, replace_file
from dicomover.errors import CohortError, ConfigurationError, NoSuchFileError
from dicomover.node import Node
from dicomover.privacy import Hashed
from dicomover.text.face import call

__all__ = ["FIELDS", "VERSION", "Document", "Field", "list_versions", "read_document", "write_document"]

FORMAT = "dicomover cohort"
VERSION = 1
"""Of the schema: a file with a higher one was written by a newer dicomover and is not read."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the lockfile: where it stands, its JSON type and what it means."""

    path: str
    type: str
    meaning: str


FIELDS = (
    Field("format", "text", f"always `{FORMAT}`"),
    Field("version", "number", f"of this schema: {VERSION}"),
    Field("hash", "text", "`sha256:` and the SHA-256 of `requests` without `note`: the same for the same content"),
    Field("created", "text", "when the cohort was locked, in UTC (ISO 8601)"),
    Field("archive", "object", "the node that was asked: `ae_title`, `host`, `port`"),
    Field("query", "object", "how it was asked: `level`, `model` and `max_matches`, as they were given"),
    Field("software", "object", "the versions of Python, dicomover and its dependencies"),
    Field("privacy", "object", "`privacy` is `plain` or `hashed`; with `hashed` also `cipher`, `salt` and `check`"),
    Field("index", "list", "the names of the table's index, null where it has none"),
    Field("columns", "object", "the columns of the table that was given, in order, with their pandas dtypes"),
    Field("requests", "list", "one object for each row, in the order of the rows"),
    Field("requests[].label", "text, number or list", "of the row; with `hashed` a keyed hash unless it is a count"),
    Field("requests[].level", "text", "Query/Retrieve Level: `PATIENT`, `STUDY`, `SERIES` or `IMAGE`"),
    Field("requests[].model", "text", "information model: `patient` or `study` root"),
    Field("requests[].keys", "object", "its query keys by keyword; with `hashed` a keyed hash where it is no UID"),
    Field("requests[].given", "object", "the row as it was given, by column; with `hashed` empty"),
    Field(
        "requests[].state",
        "text",
        "`found`; `incomplete`: some UIDs that it names are not there; `cut-short`: the archive counts more instances "
        "than it names; `not-found`: nothing matches; `too-many`: more than `max_matches`; "
        "`refused`: it would not say; `invalid`: it could not be asked for",
    ),
    Field("requests[].instances", "number", "how many instances it came to"),
    Field("requests[].studies", "list", "what it came to, in ascending order of the UIDs, as are the lists below"),
    Field("requests[].studies[].StudyInstanceUID", "text", "needed to move it, so never hashed"),
    Field("requests[].studies[].instances", "number", "how many instances of it"),
    Field("requests[].studies[].series", "list", "its series; of a request at level SERIES or IMAGE those it names"),
    Field("requests[].studies[].series[].SeriesInstanceUID", "text", ""),
    Field("requests[].studies[].series[].Modality", "text", "empty where the archive did not say"),
    Field("requests[].studies[].series[].instances", "number", "how many instances of it"),
    Field("requests[].studies[].series[].SOPInstanceUID", "list", "which"),
    Field("requests[].more_than", "number", "only with `too-many`: how many matches were allowed"),
    Field("requests[].note", "text", "only if there is something that a person should know"),
    Field("requests[].sealed", "text", "only with `hashed`: label, keys and row, readable with the secret"),
    Field("digests", "object", "only after `seal`: by SOP Instance UID, what was received"),
    Field("digests.*.size", "number", "bytes of the data set, without the file meta information"),
    Field("digests.*.sha256", "text", "of the same bytes"),
    Field("digests.*.TransferSyntaxUID", "text", "in which they were received"),
    Field("mac", "text", "only with `hashed`: a keyed hash of all but `software`, the digests too"),
    Field("checksum", "text", "`sha256:` and the SHA-256 of all the other fields: any edit shows"),
)


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a lockfile; see `FIELDS`.

    The requests are as they stand in the file, so that with hashed keys nothing of a patient is in it.
    """

    requests: tuple[LockedRequest, ...]
    frame: Frame
    archive: Node
    query: Mapping[str, Any]
    created: datetime
    software: Mapping[str, str]
    privacy: Mapping[str, str]
    digests: Mapping[str, Digest] = field(default_factory=dict, repr=False)
    mac: str = ""

    def sign(self, keeper: Hashed) -> str:
        """Return the keyed hash of what nobody may change without the secret: what is sent, whither, and what came."""
        content = self.as_json()
        signed = ("archive", "query", "created", "privacy", "index", "columns", "requests", "digests")
        text = encode_canonical([content[name] for name in signed if name in content]).decode("utf-8", "surrogatepass")
        return keeper.digest("lockfile", text)

    def check_mac(self, keeper: Hashed, name: str) -> None:
        """Raise CohortError if somebody without the secret has changed what is signed."""
        if not hmac.compare_digest(self.mac.encode(), self.sign(keeper).encode()):
            raise CohortError(
                f"{name} was changed by somebody without the secret, or written by an earlier dicomover: its keyed "
                "hash does not fit",
                "take an untouched copy, or lock the cohort again",
            )

    @property
    def hash(self) -> str:
        """Of the requests and what they came to."""
        return content_hash(self.requests)

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "hash": self.hash,
            "created": self.created.isoformat(timespec="seconds"),
            "archive": {"ae_title": self.archive.ae_title, "host": self.archive.host, "port": self.archive.port},
            "query": dict(self.query),
            "software": dict(self.software),
            "privacy": dict(self.privacy),
            "index": list(self.frame.index),
            "columns": dict(self.frame.columns),
            "requests": [request.as_json() for request in self.requests],
        }
        if self.digests:
            content["digests"] = {
                uid: {"size": digest.size, "sha256": digest.sha256, "TransferSyntaxUID": digest.transfer_syntax}
                for uid, digest in sorted(self.digests.items())
            }
        if self.mac:
            content["mac"] = self.mac
        content["checksum"] = _checksum(content)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Document:
        """Read what `as_json` returned; raises KeyError, TypeError or ValueError if it is not that."""
        archive = content["archive"]
        digests = content.get("digests", {})
        return cls(
            tuple(LockedRequest.from_json(request) for request in content["requests"]),
            Frame(content["columns"], tuple(content["index"])),
            Node(archive["host"], archive["port"], ae_title=archive["ae_title"]),
            content["query"],
            datetime.fromisoformat(content["created"]).astimezone(UTC),
            content["software"],
            content["privacy"],
            {uid: Digest(each["size"], each["sha256"], each["TransferSyntaxUID"]) for uid, each in digests.items()},
            str(content.get("mac", "")),
        )


def _checksum(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return f"sha256:{hashlib.sha256(encode_canonical(rest)).hexdigest()}"


def list_versions() -> dict[str, str]:
    """Return the versions of Python, of dicomover and of what it depends on."""
    versions = {"python": python_version(), "dicomover": metadata.version("dicomover")}
    for name in ("numpy", "pandas", "pydicom"):
        versions[name] = metadata.version(name)
    return versions


def write_document(document: Document, path: str | os.PathLike[str], share: Share = "owner") -> None:
    """Write a lockfile; an older one stays whole until the new one is.

    Raises OSError if it cannot be written.
    """
    target = Path(path)
    text = json.dumps(document.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    with replace_file(target, share) as part:
        part.write_text(text + "\n", encoding="utf-8", errors="surrogatepass", newline="\n")


def read_document(path: str | os.PathLike[str]) -> Document:
    """Read a lockfile.

    Raises OSError if there is none, or it cannot be read, and CohortError if it is not what dicomover wrote: damaged,
    edited, or of a newer version.
    """
    name = Path(path).name
    if Path(path).exists() and not Path(path).is_file():  # opening a pipe waits for who writes into it
        raise CohortError(f"{name} is no file", f"name one that {call('mover.lock')} wrote")
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise NoSuchFileError(path) from error
    except (ValueError, RecursionError) as error:
        raise CohortError(f"{name} is no lockfile or is damaged ({error})", "lock the cohort again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CohortError(
            f"{name} is no lockfile: its 'format' is not {FORMAT!r}", f"name one that {call('mover.lock')} wrote"
        )
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise CohortError(
            f"{name} has version {version}, this dicomover reads up to {VERSION}", "a newer one wrote it: upgrade"
        )
    if content.get("checksum") != _checksum(content):
        raise CohortError(
            f"{name} was edited or damaged after it was written: its checksum does not fit",
            "take an untouched copy, or lock the cohort again",
        )
    try:
        document = Document.from_json(content)
        whole = document.as_json() == content
    except (AttributeError, ConfigurationError, KeyError, TypeError, ValueError) as error:
        raise CohortError(
            f"{name} cannot be read ({type(error).__name__}: {error})", "lock the cohort again"
        ) from error
    if not whole:
        raise CohortError(
            f"{name} does not hold what its hash says", "take an untouched copy, or lock the cohort again"
        )
    return document

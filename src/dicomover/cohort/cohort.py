"""A cohort as it was locked: a value to keep, to compare, to move and to check."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import pandas as pd

from dicomover.cohort.content import Digest, LockedRequest, LockState, reveal
from dicomover.cohort.document import Document, read_document, write_document
from dicomover.cohort.drift import Kind
from dicomover.cohort.folder import check_table, compare_files
from dicomover.cohort.frame import join_table, make_table
from dicomover.cohort.resolver import PinnedResolver
from dicomover.disk import Share
from dicomover.errors import CohortError, ConfigurationError, Problem
from dicomover.node import Node
from dicomover.outcome import Verify
from dicomover.privacy import DamagedRecord, Hashed, check_privacy, open_keeper
from dicomover.requests.parse import Batch
from dicomover.text.face import advise, setting
from dicomover.text.traces import forgetting

__all__ = ["Cohort"]


@dataclass(frozen=True, slots=True, repr=False)
class Cohort:
    """Requests, and exactly what they came to on one day: studies, series and instances.

    Made by `Mover.lock`, or read from a lockfile by `load`. It is a frozen value: `seal` returns another one.

    Attributes
    ----------
    document : Document
        What stands in the lockfile.
    locked : tuple of LockedRequest
        The requests with what they came to, one for each row, as values rather than as a table.

    Notes
    -----
    UIDs of studies, series and instances are needed to move them and stand in the lockfile as they are, also with
    `privacy="hashed"`. See `dicomover.cohort.document.FIELDS` for the file, field by field.

    To go on where a move stopped, move the cohort again: the journal knows what is here already. The rows of its
    summary are requests like any others, and would be looked up in the archive as it is now.

    Where an archive counts as many instances of a study as were locked, the study is moved as a whole. If some of
    them were replaced, the new ones come too, and those that are gone make the row `partial`; with
    `verify="instances"` the archive is asked for its instances first, and only what was locked comes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from dicomover import Mover
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123", series=2, instances=3)]) as pacs:
    ...     cohort = Mover(pacs.node).lock({"AccessionNumber": "00123"}, f"{folder}/cohort.lock.json")
    ...     again = Cohort.load(f"{folder}/cohort.lock.json")
    >>> again == cohort, again.hash == cohort.hash
    (True, True)
    >>> again.requests[["AccessionNumber", "state", "matches", "instances"]]
      AccessionNumber  state  matches  instances
    0           00123  found        1          6
    """

    document: Document
    locked: tuple[LockedRequest, ...] = field(compare=False)
    keeper: Hashed | None = field(default=None, compare=False)  # of the secret, where it has been given

    @classmethod
    @forgetting
    def load(cls, path: str | os.PathLike[str], *, secret: str | bytes | None = None) -> Self:
        """Read a lockfile.

        Parameters
        ----------
        path
            The file.
        secret
            What the cohort was locked with, if its keys are hashed. Without it the cohort can be moved and checked,
            but its rows cannot be read, nor its requests looked up again.

        Raises
        ------
        OSError
            If there is no such file.
        CohortError
            If it is damaged, edited, or of a newer version.
        ConfigurationError
            If the secret is another one, or none was needed.
        """
        return cls.of(read_document(path), secret, os.path.basename(os.fspath(path)))  # noqa: PTH119

    @classmethod
    def of(cls, document: Document, secret: str | bytes | None = None, name: str = "the lockfile") -> Self:
        """Make a cohort of the content of a lockfile; see `load`."""
        privacy = document.privacy.get("privacy")
        if privacy == "plain" or secret is None:
            check_privacy("plain", secret)
            return cls(document, document.requests)
        keeper = open_keeper("hashed", secret, document.privacy, name)
        assert isinstance(keeper, Hashed)
        document.check_mac(keeper, name)
        try:
            return cls(document, tuple(reveal(request, keeper) for request in document.requests), keeper)
        except (DamagedRecord, ValueError) as error:
            raise CohortError(f"{name}: what is sealed in it cannot be opened", "take an untouched copy") from error

    @forgetting
    def save(self, path: str | os.PathLike[str], share: Share = "owner") -> None:
        """Write the lockfile; an older one under that name is replaced, and stays whole until the new one is.

        Parameters
        ----------
        path
            The file.
        share
            Who may read it: its `owner` alone, its `group`, or `all`.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        write_document(self.document, path, share)

    # --- what it says

    @property
    def hash(self) -> str:
        """Of the requests and what they came to.

        Two locks of the same requests have the same hash as long as the archive has not changed, whenever they are made
        and however the archive orders its answers.
        """
        return self.document.hash

    @property
    def archive(self) -> Node:
        """Who was asked."""
        return self.document.archive

    @property
    def created(self) -> datetime:
        """When it was locked, in UTC."""
        return self.document.created

    @property
    def software(self) -> Mapping[str, str]:
        """The versions of dicomover and its dependencies with which it was locked."""
        return dict(self.document.software)

    @property
    def query(self) -> Mapping[str, Any]:
        """How the archive was asked, by `level`, `model` and `max_matches`."""
        return dict(self.document.query)

    @property
    def is_sealed(self) -> bool:
        """Whether digests of what was received have been recorded."""
        return bool(self.document.digests)

    @property
    def is_authentic(self) -> bool:
        """True if it was read with its secret, so that nobody without that can have changed it."""
        return bool(self.document.mac) and self.is_readable

    @property
    def is_readable(self) -> bool:
        """False if its keys are hashed and the secret has not been given."""
        return all(request.is_readable for request in self.locked)

    def __len__(self) -> int:
        return len(self.locked)

    def __repr__(self) -> str:
        instances = {sop for request in self.locked for _, _, sop in request.instances()}
        studies = {study.uid for request in self.locked for study in request.studies}
        hidden = "" if self.document.privacy.get("privacy") == "plain" else ", keys hashed"
        sealed = ", sealed" if self.is_sealed else ""
        return (
            f"Cohort({len(self.locked):,} requests, {len(studies):,} studies, {len(instances):,} instances, "
            f"{self.hash[:19]}, locked {self.created:%Y-%m-%d} at {self.archive.ae_title}{hidden}{sealed})"
        )

    @property
    def given(self) -> pd.DataFrame:
        """The rows as they were given; with hashed keys and no secret, their keys as far as they can be read."""
        labels = [request.label for request in self.locked]
        if self.is_readable:
            return join_table(self.document.frame, labels, [request.given for request in self.locked])
        keys = pd.DataFrame(
            [dict(request.keys) for request in self.locked], index=pd.Index(labels, tupleize_cols=False)
        )
        return keys.astype("string")

    @property
    def requests(self) -> pd.DataFrame:
        """One row per request, with its index and columns, then `state`, `matches`, `instances` and `note`.

        The states are `found`, `incomplete`, `cut-short`, `not-found`, `too-many`, `refused` and `invalid`.
        """
        given = self.given
        rows = [(str(each.state), each.matches, each.count, each.note or None) for each in self.locked]
        ours = make_table(rows, state="string", matches="Int64", instances="Int64", note="string")
        kept = given.loc[:, [name not in ours.columns for name in given.columns]]
        return pd.concat([kept, ours.set_axis(given.index)], axis="columns", sort=False)

    @property
    def studies(self) -> pd.DataFrame:
        """One row per study of a request, with `request` (its label), `StudyInstanceUID`, `series`, `instances`."""
        rows = [
            (request.label, study.uid, len(study.series), study.count)
            for request in self.locked
            for study in request.studies
        ]
        return make_table(rows, request="object", StudyInstanceUID="string", series="Int64", instances="Int64")

    @property
    def series(self) -> pd.DataFrame:
        """One row per series of a request, with `request`, its UIDs, `Modality`, `instances`."""
        rows = [
            (request.label, study.uid, series.uid, series.modality or None, len(series.instances))
            for request in self.locked
            for study in request.studies
            for series in study.series
        ]
        uids = {"StudyInstanceUID": "string", "SeriesInstanceUID": "string"}
        return make_table(rows, request="object", **uids, Modality="string", instances="Int64")

    @property
    def instances(self) -> pd.DataFrame:
        """One row per instance of a request, with `request`, its UIDs, and `size` and `sha256` once it is sealed."""
        none = Digest(-1, "", "")
        rows = [
            (request.label, *uids, *((digest.size, digest.sha256) if digest.sha256 else (None, None)))
            for request in self.locked
            for uids in request.instances()
            for digest in (self.document.digests.get(uids[2], none),)
        ]
        uids = {"StudyInstanceUID": "string", "SeriesInstanceUID": "string", "SOPInstanceUID": "string"}
        return make_table(rows, request="object", **uids, size="Int64", sha256="string")

    # --- to move it

    def batch(self, keys: Sequence[str] = ()) -> Batch:
        """Return its requests as a batch, one for each row; `keys` are refused, since a cohort has its own."""
        if keys:
            raise ConfigurationError(
                "keys= names columns of a table", "the requests of a cohort have their keys already"
            )
        bad = {position: each for position, each in enumerate(self.locked) if each.state is LockState.INVALID}
        requests = tuple(each.request(position) for position, each in enumerate(self.locked) if position not in bad)
        problems = {
            position: (Problem(each.label, "", None, each.note, "", position),) for position, each in bad.items()
        }
        return Batch(requests, self.given, problems)

    def resolver(self, archive: object, verify: Verify = "counts", rows: Sequence[int] | None = None) -> PinnedResolver:
        """Return what says of each request what it was locked to; of these rows, if the batch has no others."""
        return PinnedResolver(archive, self.locked if rows is None else [self.locked[row] for row in rows], verify)

    # --- against the disk

    @forgetting
    def check(self, folder: str | os.PathLike[str], *, content: bool = True) -> pd.DataFrame:
        """Compare the cohort with the files in a folder, whatever their layout.

        Parameters
        ----------
        folder
            Where the files lie, or links to them or to folders of them.
        content
            Whether to read the files and compare them with the digests that `seal` recorded. A cohort that is not
            sealed has none: then only the heads are read, and nothing is said of the content.

        Returns
        -------
        DataFrame
            One row per change, none if there is none: `request` (the label of the row), `kind`, `StudyInstanceUID`,
            `SeriesInstanceUID`, `SOPInstanceUID`, `path` (below the folder; it may name a patient) and `note`. The
            kinds are

            - `missing`: locked, and in no file; these rows can be given to `Mover.move`;
            - `gained`: in a file, and not locked;
            - `changed`: in a file, but of another study or series than locked, or in another transfer syntax than
              recorded;
            - `conflict`: in several files with different content;
            - `corrupt`: not the bytes that were recorded, or a `.dcm` file that cannot be read;
            - `unknown`: of a request whose list the archive refused, or cut short, when it was locked.

        Raises
        ------
        OSError
            If the folder cannot be read.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from dicomover import Mover
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123", instances=2)]) as pacs:
        ...     cohort = Mover(pacs.node).lock({"AccessionNumber": "00123"}, path=None)
        ...     print(cohort.check(folder)[["request", "kind", "note"]])
          request     kind                       note
        0       0  missing  no file has this instance
        1       0  missing  no file has this instance
        """
        digests = self.document.digests if content else {}
        changes, _ = compare_files(self.locked, folder, digests)
        return check_table(changes)

    @forgetting
    def seal(self, folder: str | os.PathLike[str], *, partial: bool = False) -> Self:
        """Record the digests (SHA-256) of the received files, so that a later `check` finds what has changed.

        Parameters
        ----------
        folder
            Where the files lie.
        partial
            Whether to record what is there although something is missing.

        Returns
        -------
        Cohort
            The same with digests; `save` it. Its hash is the same, since it is not about the bytes.

        Raises
        ------
        CohortError
            If the files are not those of the cohort, or not those that were recorded before: `check` names what is
            wrong. Files that are not in the cohort do not matter. And if the keys are hashed, and the secret that
            vouches for what is recorded was not given.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from dicomover import Mover
        >>> from dicomover.testing import DemoPacs, made_study
        >>> with TemporaryDirectory() as folder, DemoPacs([made_study("00123")]) as pacs:
        ...     with Mover(pacs.node, receive=folder, port=0, progress="none") as mover:
        ...         pacs.destinations["MOVESCU"] = mover.port
        ...         cohort = mover.lock({"AccessionNumber": "00123"}, path=None)
        ...         summary = mover.move(cohort)
        ...     cohort = cohort.seal(folder)
        ...     print(cohort.is_sealed, len(cohort.check(folder)))
        True 0
        """
        if self.document.mac and self.keeper is None:
            raise CohortError(
                "sealing needs the secret: it vouches for what is recorded", f"load it with {setting('secret')}"
            )
        digests = self.document.digests
        changes, taken = compare_files(self.locked, folder, digests, read_all=True)
        passed = {Kind.GAINED, Kind.MISSING} if partial else {Kind.GAINED}
        wrong = [change for change in changes if change.kind not in passed and change.sop]
        if wrong:
            kinds = [str(change.kind) for change in wrong]
            counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
            hint = (
                advise("move the cohort again, or say partial=True")
                if set(kinds) == {"missing"}
                else advise("check() names them")
            )
            raise CohortError(f"the folder does not hold this cohort as it was locked: {counts}", hint)
        document = replace(self.document, digests={**digests, **taken})
        if self.keeper is not None:
            document = replace(document, mac=document.sign(self.keeper))
        return replace(self, document=document)

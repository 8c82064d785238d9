"""The demo archive itself: who may associate, what it is asked, who answers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pydicom.dataset import Dataset

from dicomover.node import Node
from dicomover.security import TLS
from dicomover.testing._acceptance import SERVICES, accept, read_user
from dicomover.testing._archive import Archive
from dicomover.testing._exchange import Exchange, Link, read_identifier
from dicomover.testing._finds import answer_find
from dicomover.testing._misbehaviour import Misbehaviour, MisbehaviourLike, Misbehaviours
from dicomover.testing._moves import answer_move
from dicomover.testing._records import Association, Records, Request, Store
from dicomover.testing._samples import Source, read_sources, sample_studies
from dicomover.testing._script import Script
from dicomover.testing._server import LoopbackServer
from dicomover.testing._storing import Destinations
from dicomover.testing._studies import Study
from dicomover.testing._workstation import Workstation
from dicomover.wire.command_set import C_CANCEL_RQ, C_ECHO_RQ, C_FIND_RQ, C_GET_RQ, C_MOVE_RQ
from dicomover.wire.connection import Connection
from dicomover.wire.messages import Message
from dicomover.wire.negotiation import AssociationRequest, encode_reject, read_request

_GRACE = 0.05  # seconds, for an association that the other side knows to be over and we do not yet


class DemoPacs:
    """A Query/Retrieve SCP (C-ECHO, C-FIND, C-MOVE, C-GET) in this process, on loopback, with sample data.

    It listens from its construction until `close`, on a port that the system chooses, and it never sends to
    another machine. What it was asked is kept in `requests`, what it sent in `stores`.

    Parameters
    ----------
    studies
        What it holds: files, folders, pydicom data sets, or studies such as `made_study` makes. By default the
        sample files that pydicom ships, with artificial names.
    ae_title
        What it is called.
    misbehave
        What to get wrong, by the accession number of the study that is asked for; `"*"` stands for every study.
        The names are those of `MISBEHAVIOURS`. It may be changed while the archive runs.
    strict
        Hold identifiers against the Standard: a missing unique key, or any but unique keys in a C-MOVE or C-GET, is
        refused with 0xA900. Otherwise a C-MOVE by accession number works, as it does with some archives.
    get
        Serve C-GET. An instance whose SOP Class and transfer syntax were not negotiated, with the role, fails.
    without_bulk
        Serve C-GET without bulk data too (PS3.4 Annex Z): images by their UIDs, without their pixels.
    pending
        Send pending responses.
    store_associations
        How many associations one C-MOVE sends over.
    reuse_store_associations
        Keep the association to a destination open for the next C-MOVE on the same association.
    store_ae_title
        The calling AE title of its C-STOREs; its own by default.
    originator
        Send Move Originator AE title and Message ID in its C-STOREs.
    known_ae_titles
        If given, another calling AE title is rejected (1/1/3), and so is another called one (1/1/7).
    max_associations
        More than so many at once are rejected (2/3/2).
    max_moves
        More C-MOVEs and C-GETs than so many at once meet `busy` instead.
    busy
        The misbehaviour for one too many.
    models
        The information models it offers: `PATIENT`, `STUDY`, or both.
    ignores_patient
        Take no notice of a PatientID below level PATIENT, and say of no series or image whose it is.
    availability
        The Instance Availability of studies by accession number, such as NEARLINE; ONLINE by default.
    always_unable
        Answer a C-MOVE to an unknown or dead destination, of an unknown study or with a missing key alike: 0xC000
        with zero counters, as Orthanc does; the first instance that fails ends a C-MOVE in the same way.
    on_associate
        One of the misbehaviours named `associate-…`, for every association request. May be changed.
    workstation_folder
        Where the built-in workstation writes what it receives; by default nothing is written.
    tls
        Speak TLS, to destinations but for the built-in workstation too. Its node has none: say how it is to be called.
    identity
        Users and their passwords; whoever names none of them is rejected (1/1/1).

    Attributes
    ----------
    node : Node
        Where it listens.
    destinations : Destinations
        The Move Destinations it knows, by AE title. May be changed.
    workstation : Workstation
        A built-in Move Destination, called WORKSTATION.

    Examples
    --------
    >>> from dicomover.testing import DemoPacs, made_study
    >>> with DemoPacs(studies=[made_study("00123", instances=5)]) as pacs:
    ...     [(study.accession_number, study.number_of_instances) for study in pacs.studies]
    [('00123', 5)]
    >>> with DemoPacs() as pacs:
    ...     len(pacs.studies) > 20, pacs.node.ae_title
    (True, 'DEMO')
    """

    def __init__(
        self,
        studies: Iterable[Source] | None = None,
        *,
        ae_title: str = "DEMO",
        misbehave: Mapping[str, MisbehaviourLike] | None = None,
        strict: bool = True,
        get: bool = True,
        without_bulk: bool = False,
        pending: bool = True,
        store_associations: int = 1,
        reuse_store_associations: bool = False,
        store_ae_title: str | None = None,
        originator: bool = True,
        known_ae_titles: Collection[str] | None = None,
        max_associations: int | None = None,
        max_moves: int | None = None,
        busy: str | Misbehaviour = "busy",
        models: Collection[str] = ("PATIENT", "STUDY"),
        ignores_patient: bool = False,
        availability: Mapping[str, str] | None = None,
        always_unable: bool = False,
        on_associate: str | Misbehaviour | None = None,
        workstation_folder: str | Path | None = None,
        tls: TLS | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        self._archive = Archive()
        self._archive.add(sample_studies() if studies is None else read_sources(studies))
        self.ae_title = ae_title
        self.misbehave = Misbehaviours(misbehave)
        self.strict = strict
        self.get, self.without_bulk = get, without_bulk
        self.pending = pending
        self.store_associations = store_associations
        self.reuse_store_associations = reuse_store_associations
        self.store_ae_title = store_ae_title or ae_title
        self.originator = originator
        self.known_ae_titles = known_ae_titles
        self.max_associations = max_associations
        self.max_moves = max_moves
        self.busy = Misbehaviour(busy) if isinstance(busy, str) else busy
        self.models = models
        self.ignores_patient = ignores_patient
        self.availability = dict(availability or {})
        self.always_unable = always_unable
        self._on_associate = Misbehaviours(services=["associate"])
        self.on_associate = on_associate
        self._records = Records()
        self._lock = threading.Condition(threading.Lock())
        self._links: set[Link] = set()
        self._moves_running = 0
        self._most = [0, 0]
        self.workstation = Workstation(folder=workstation_folder)
        self.destinations = Destinations({self.workstation.ae_title: self.workstation.port})
        self.tls, self.identity = tls, identity
        self._server = LoopbackServer(self._serve, f"demo-pacs-{ae_title}", tls)
        self.node = Node("127.0.0.1", self._server.port, ae_title=ae_title)

    def __repr__(self) -> str:
        return f"<DemoPacs {self.node}, {(count := len(self.studies)):,} {'study' if count == 1 else 'studies'}>"

    # --- what it holds

    @property
    def studies(self) -> list[Study]:
        """Its studies, in the order in which they came."""
        return self._archive.studies()

    def add(self, *sources: Source | Iterable[Source]) -> list[Study]:
        """Take in files, folders, data sets or studies, and return the studies that they make.

        Raises
        ------
        ValueError
            If a study is there already, or something cannot be moved.
        """
        several = ([some] if isinstance(some, str | Path | Dataset | Study) else some for some in sources)
        studies = read_sources(chain.from_iterable(several))
        self._archive.add(studies)
        return studies

    def remove(self, study: Study | str) -> None:
        """Delete a study, or the one with this accession number; raises KeyError if it is not there."""
        self._archive.remove(self.study(study) if isinstance(study, str) else study)

    def study(self, accession_number: str) -> Study:
        """Return the one study with an accession number.

        Raises
        ------
        KeyError
            If there is none, or more than one.
        """
        found = self._archive.by_accession.get(accession_number, [])
        if len(found) != 1:
            raise KeyError(f"{len(found)} studies have the accession number {accession_number!r}")
        return found[0]

    def data_set_bytes(self, sop_instance_uid: str) -> bytes:
        """Return the data set of an instance as it goes onto the wire, byte for byte.

        Raises
        ------
        KeyError
            If there is no such instance.
        """
        return self._archive.instance(sop_instance_uid)[1].data_set_bytes()

    def _find_destination(self, ae_title: str) -> Node | None:
        """Return the Move Destination as it is spoken to, None if it is unknown."""
        node = self.destinations.node(ae_title)
        return node if node is None or node.port == self.workstation.port else replace(node, tls=self.tls)

    # --- what it was asked

    @property
    def requests(self) -> list[Request]:
        """What it was asked, in the order in which it came."""
        return self._records.requests

    @property
    def associations(self) -> list[Association]:
        """Every association that was asked for, the rejected ones too."""
        return self._records.associations

    @property
    def stores(self) -> list[Store]:
        """Every C-STORE it sent."""
        return self._records.stores

    def moves_of(self, study_instance_uid: str) -> list[Request]:
        """Return the C-MOVE and C-GET requests that a study was part of."""
        return self._records.moves_of(study_instance_uid)

    def sends_of(self, sop_instance_uid: str) -> int:
        """Return how often an instance was sent and taken."""
        return self._records.sends_of(sop_instance_uid)

    @property
    def on_associate(self) -> Misbehaviour | None:
        """What happens to every association request, None if nothing special."""
        return next(iter(self._on_associate.get("*", ())), None)

    @on_associate.setter
    def on_associate(self, value: str | Misbehaviour | None) -> None:
        self._on_associate.clear()
        if value is not None:
            self._on_associate["*"] = value

    @property
    def open_associations(self) -> int:
        """How many associations are open now."""
        return len(self._links)

    @property
    def most_associations(self) -> int:
        """The most associations that were open at once."""
        return self._most[0]

    @property
    def most_moves(self) -> int:
        """The most C-MOVEs and C-GETs that were answered at once."""
        return self._most[1]

    def forget(self) -> None:
        """Forget what was asked and sent; the studies stay."""
        self._records.forget()

    # --- life

    def restart(self, seconds: float = 0.0) -> None:
        """Drop every association and refuse connections for a while, as if restarted; returns at once."""
        self._server.restart(seconds)

    def close(self) -> None:
        """Stop: every association, thread and socket ends."""
        self._server.close()
        self.workstation.close()

    def __enter__(self) -> DemoPacs:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- serving

    def _serve(self, connection: Connection) -> None:
        request = read_request(connection)
        link = Link(self, connection, 0, request.calling_ae_title)
        how = self._on_associate.take((), "associate")
        rejected = self._admit(link, request, how.breaks)
        try:
            if rejected is not None:
                connection.send(encode_reject(*rejected))
            elif accept(link, request, how):
                while True:
                    self._answer(link, link.read_request())
        finally:
            with self._lock:
                self._links.discard(link)
                self._lock.notify_all()
            for store in link.stores:
                store.close()

    def _admit(self, link: Link, request: AssociationRequest, how: str) -> tuple[int, int, int] | None:
        """Give an association its number, record it, and return why it is rejected, if it is."""
        rejected = None
        with self._lock:
            if self.known_ae_titles is not None and request.calling_ae_title not in self.known_ae_titles:
                rejected = (1, 1, 3)
            elif self.known_ae_titles is not None and request.called_ae_title != self.ae_title:
                rejected = (1, 1, 7)
            elif self.identity is not None and read_user(request.identity) not in self.identity.items():
                rejected = (1, 1, 1)
            elif not self._lock.wait_for(self._has_room, _GRACE):
                rejected = (2, 3, 2)
            elif how.count("/") == 2:
                result, source, reason = how.split("/")
                rejected = (int(result), int(source), int(reason))
            link.number = self._records.note_association(request.calling_ae_title, request.called_ae_title, rejected)
            if rejected is None:
                self._links.add(link)
                self._most[0] = max(self._most[0], len(self._links))
        return rejected

    def _has_room(self) -> bool:
        return self.max_associations is None or len(self._links) < self.max_associations

    def _answer(self, link: Link, message: Message) -> None:
        context = link.connection.contexts.get(message.context_id)
        if context is None:
            raise link.connection.refuse("a message in a presentation context that was not accepted")
        kind = message.command.get("CommandField")
        service, model = SERVICES.get(context.abstract_syntax, ("C-ECHO", ""))
        if kind == C_CANCEL_RQ:
            link.note(message, "C-CANCEL")  # too late: what it cancels has ended
        elif kind == C_ECHO_RQ and service == "C-ECHO":
            link.note(message, "C-ECHO")
            Exchange(link, message).answer(0x0000)
        elif (kind, service) in ((C_FIND_RQ, "C-FIND"), (C_MOVE_RQ, "C-MOVE"), (C_GET_RQ, "C-GET")):
            keys = read_identifier(link, message)
            request = link.note(message, service, model, keys)
            if service == "C-FIND":
                answer_find(link, message, keys, model)
            else:
                answer_move(link, message, request)
        elif kind is not None and "MessageID" in message.command:
            Exchange(link, message).answer(0x0211)
        else:
            raise link.connection.refuse("a command that no request has")

    def _heed(self, keys: Mapping[str, str], level: str) -> Mapping[str, str]:
        """Return the keys of a request that it takes notice of."""
        if not self.ignores_patient or level == "PATIENT":
            return keys
        heeded = {keyword: value for keyword, value in keys.items() if keyword != "PatientID"}
        return heeded | {"PatientID": ""} if level == "STUDY" and "PatientID" in keys else heeded

    @contextlib.contextmanager
    def _moving(self, exchange: Exchange) -> Iterator[Script | None]:
        """Count a retrieval until its final response goes out; give the script for one too many."""
        running = [exchange]

        def end() -> None:
            with self._lock:
                self._moves_running -= len(running)
                running.clear()

        exchange.before_final = end
        with self._lock:
            self._moves_running += 1
            too_many = self.max_moves is not None and self._moves_running > self.max_moves
            self._most[1] = max(self._most[1], self._moves_running)
        try:
            yield self.busy.script if too_many else None
        finally:
            end()

"""`dicomover receive`: the Storage SCP on its own, and who has sent how much."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from dicomover.cli.arguments import Arguments
from dicomover.cli.screen import Interrupts, say
from dicomover.events import Arrival, Refusal, Refused
from dicomover.progress.state import Rate
from dicomover.progress.text import duration, size, speed
from dicomover.receiver import DEFAULT_LAYOUT, Receiver
from dicomover.text.sentences import count_of

__all__ = ["Sender", "Senders", "as_line", "run_receive"]

_QUIET = 2.0  # seconds without an arrival, after which a sender has had its say
_EVERY = 10.0  # seconds between two lines on a sender that goes on
_TICK = 0.5  # seconds
_ENDING = "Ending: what is under way may finish; interrupt again to stop at once"


def run_receive(interrupts: Interrupts | None, given: Arguments) -> int:
    """Receive until a signal comes, and return the exit code."""
    interrupts = interrupts or Interrupts()
    with given.show_log():
        senders = Senders(records=given.as_records)
        folder, allowed = given.output_dir, given.calling_aet
        assert folder is not None
        receiver = Receiver(
            folder,
            ae_title=given.aetitle,
            on_event=senders.take,
            port=given.listen,
            bind=given.bind,
            layout=given.layout or DEFAULT_LAYOUT,
            existing=given.existing,
            restrict=False,
            **given.senders(),
            max_associations=given.max_associations,
            workers=given.workers,
            share=given.share,
            accept=given.accept_or_default,
            checksums=given.checksums,
        )
        tell = _nothing if given.quiet else say
        with interrupts.cancelling(senders, lambda: _ENDING):
            receiver.start()
            try:
                who = " and ".join(allowed) or "anybody"
                who += f" at {' and '.join(given.addresses)}" if given.addresses else ""
                who += " by TLS" if given.tls_cert else ""
                who += f" as {' or '.join(given.tls_peer)}" if given.tls_peer else ""
                tell(f"{given.aetitle}, port {receiver.port}: {who} may send, into {folder}; Ctrl-C ends it")
                _serve(receiver, senders, tell)
            except KeyboardInterrupt:  # a second signal
                receiver.kill()
                raise
            finally:
                receiver.stop()
                for line in senders.lines():
                    tell(line)
                tell(f"{senders.total()}, into {folder}")
    return 0


def _serve(receiver: Receiver, senders: Senders, tell: Callable[[str], None]) -> None:
    """Tell who has sent how much until it is told to end, or cannot go on."""
    while not senders.ended.wait(_TICK) and receiver.failed is None:
        lines = senders.lines(time.monotonic())
        if lines:
            receiver.sync()  # nobody is to read of what a power cut could still take
        for line in lines:
            tell(line)
    if receiver.failed is not None:
        raise receiver.failed
    receiver.sync()
    if senders.trouble is not None:
        raise senders.trouble


@dataclass(slots=True)
class Sender:
    """What one calling AE title has sent since it was last quiet."""

    begun: float
    last: float
    told: float
    instances: int = 0
    bytes: int = 0
    already: int = 0
    beside: int = 0
    refused: int = 0

    def words(self) -> str:
        """Return how much it was, and how fast."""
        seconds = self.last - self.begun
        rate = Rate(self.instances / seconds, self.bytes / seconds) if self.instances > 1 and seconds > 0.1 else Rate()
        parts = [f"{count_of(self.instances, 'instance')}, {size(self.bytes)}"]
        parts += [f"in {duration(seconds)}" if seconds >= 1 else "", f"({speed(rate)})" if speed(rate) else ""]
        return "; ".join([" ".join(filter(None, parts)), *_oddities(self.already, self.beside, self.refused)])


class Senders:
    """Keeps count of what arrives, and knows when there is something to tell. No patient data.

    The receiver does not tell when an association ends: a sender from whom nothing has come for a while has had its
    say. With `records` it prints a JSON object for each instance.
    """

    def __init__(self, *, records: bool = False) -> None:
        self.ended = threading.Event()
        self.trouble: OSError | None = None
        self._records = records
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._sending: dict[str, Sender] = {}
        self._titles: set[str] = set()
        self._all = Sender(0.0, 0.0, 0.0)
        self._rejected = 0

    def cancel(self) -> None:
        """Ask the receiver to end."""
        self.ended.set()

    def take(self, event: Arrival | Refusal) -> None:
        """Take what the receiver tells; called on its thread."""
        with self._lock:
            self._count(event)
        if self._records and isinstance(event, Arrival) and self.trouble is None:
            try:
                click.echo(as_line(event))
            except OSError as error:  # whoever read it has left
                self.trouble = error
                self.ended.set()

    def _count(self, event: Arrival | Refusal) -> None:
        if isinstance(event, Refusal) and event.status is None:
            self._rejected += event.count if event.what is Refused.ASSOCIATION else 0
            return
        title = event.calling_ae_title
        self._titles.add(title)
        sender = self._sending.setdefault(title, Sender(event.at, event.at, event.at))
        sender.last = max(sender.last, event.at)
        for count in (sender, self._all):
            if isinstance(event, Refusal):
                count.refused += event.count
            else:
                count.instances += 1
                count.bytes += event.size
                count.already += event.duplicate
                count.beside += event.conflict

    def lines(self, now: float | None = None) -> list[str]:
        """Return what is to be told by now: of senders that have fallen quiet, and of those that go on for long.

        Without `now`, of everybody who has not been told of.
        """
        told = []
        with self._lock:
            for title, sender in list(self._sending.items()):
                if now is None or now - sender.last >= _QUIET:
                    del self._sending[title]
                    told.append(f"{title or 'somebody'} has sent {sender.words()}")
                elif now - sender.told >= _EVERY:
                    sender.told = now
                    told.append(f"{title or 'somebody'} goes on: {sender.words()} so far")
        return told

    def total(self) -> str:
        """Return what has come of it all."""
        count = self._all
        words = f"Received {count_of(count.instances, 'instance')} ({size(count.bytes)})"
        if self._titles:
            words += f" from {count_of(len(self._titles), 'sender')}"
        rejected = [f"{count_of(self._rejected, 'association')} rejected"] if self._rejected else []
        odd = "; ".join([*_oddities(count.already, count.beside, count.refused), *rejected])
        return f"{words} in {duration(time.monotonic() - self._begun)}{f' ({odd})' if odd else ''}"


def as_line(arrival: Arrival) -> str:
    """Return an instance as a JSON object on one line.

    Examples
    --------
    >>> from pathlib import Path
    >>> print(as_line(Arrival(Path("a.dcm"), "1.2", "1.2.3", "1.4", "1.5", "", "1.2.840.10008.1.2", 8, "ARCHIVE")))
    {"path": "a.dcm", "SOPClassUID": "1.2", "SOPInstanceUID": "1.2.3", "StudyInstanceUID": "1.4",
     "SeriesInstanceUID": "1.5", "TransferSyntaxUID": "1.2.840.10008.1.2", "size": 8, "sha256": null,
     "calling_ae_title": "ARCHIVE", "duplicate": false, "conflict": false}
    """
    record = {
        "path": str(arrival.path),
        "SOPClassUID": arrival.sop_class_uid,
        "SOPInstanceUID": arrival.sop_instance_uid,
        "StudyInstanceUID": arrival.study_instance_uid,
        "SeriesInstanceUID": arrival.series_instance_uid,
        "TransferSyntaxUID": arrival.transfer_syntax_uid,
        "size": arrival.size,
        "sha256": arrival.sha256 or None,
        "calling_ae_title": arrival.calling_ae_title,
        "duplicate": arrival.duplicate,
        "conflict": arrival.conflict,
    }
    return json.dumps(record)


def _oddities(already: int, beside: int, refused: int) -> list[str]:
    words = ((already, "here already"), (beside, "kept beside another of the same UID"), (refused, "refused"))
    return [f"{number:,} {what}" for number, what in words if number]


def _nothing(_: str) -> None:
    pass

"""The journal of a batch: what became of every request, in one SQLite file that outlives a killed kernel.

Records, leases, what is here by series (`holdings`), and the pure decision what a rerun does. A request is decided by
what it comes to: by the instances that are here of it, whichever row brought them, from the same archive and of the
same patient. The order that keeps two kernels from moving the same: claim it, look at what is here, decide, move,
record.

Never here: the network, and a verdict of its own; complete is what `outcome` calls complete.
"""

from dicomover.errors import JournalError
from dicomover.journal.costs import HEADERS_ONLY, Cost, Costs
from dicomover.journal.decision import Decision, Missing, decide, is_complete, is_verified, list_missing
from dicomover.journal.holdings import Holding
from dicomover.journal.journal import Journal, Sync
from dicomover.journal.leases import BELOW, list_above
from dicomover.journal.manifest import File, FileCheck, Manifest, check_files
from dicomover.journal.rows import Entry
from dicomover.journal.scopes import Place, Scope
from dicomover.privacy import Asked, Privacy

__all__ = [
    "BELOW",
    "HEADERS_ONLY",
    "Asked",
    "Cost",
    "Costs",
    "Decision",
    "Entry",
    "File",
    "FileCheck",
    "Holding",
    "Journal",
    "JournalError",
    "Manifest",
    "Missing",
    "Place",
    "Privacy",
    "Scope",
    "Sync",
    "check_files",
    "decide",
    "is_complete",
    "is_verified",
    "list_above",
    "list_missing",
]

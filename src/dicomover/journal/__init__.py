"""The journal of a batch: what became of every request, in one SQLite file that outlives a killed kernel.

Records, leases, the files that came, and the pure decision what a rerun does. The order that keeps two kernels from
moving the same request: claim it, read its entry, decide, move, record.

Never here: the network, and a verdict of its own; complete is what `outcome` calls complete.
"""

from dicomover.errors import JournalError
from dicomover.journal.decision import Decision, Missing, decide, is_verified, list_missing
from dicomover.journal.journal import Journal, Sync
from dicomover.journal.manifest import Details, File, FileCheck, Manifest, check_files
from dicomover.journal.rows import Entry
from dicomover.privacy import Asked, Privacy

__all__ = [
    "Asked",
    "Decision",
    "Details",
    "Entry",
    "File",
    "FileCheck",
    "Journal",
    "JournalError",
    "Manifest",
    "Missing",
    "Privacy",
    "Sync",
    "check_files",
    "decide",
    "is_verified",
    "list_missing",
]

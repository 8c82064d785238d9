"""The journal of a batch: what became of every request, in one SQLite file that outlives a killed kernel.

It knows requests, results and files, never the network and never the mover. Its parts:

- `Journal` keeps the records and the leases, and answers in batches; every method may be called from any thread.
- `decide`, `is_verified` and `missing` are pure: the same facts give the same answer.
- `check_files` looks at the disk, and is the only one that does.

The order that keeps two kernels from moving the same request is: claim it, read its entry, decide, move, record.
"""

from dicomover.errors import JournalError
from dicomover.journal.decision import Decision, Missing, decide, is_verified, missing
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
    "missing",
]

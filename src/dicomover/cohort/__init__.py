"""Cohorts and lockfiles: what requests came to on one day, to the instance, so that a later day can be compared.

The lockfile, what the archive or a folder has instead by now, and the C-MOVEs that bring exactly what was locked.

Never here: how a batch runs, and what became of a C-MOVE.
"""

from dicomover.cohort.cohort import Cohort
from dicomover.cohort.content import LockState
from dicomover.cohort.document import FIELDS, VERSION
from dicomover.cohort.drift import Kind

__all__ = ["FIELDS", "VERSION", "Cohort", "Kind", "LockState"]

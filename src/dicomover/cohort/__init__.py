"""Cohorts and lockfiles: what requests came to on one day, to the instance, so that a later day can be compared.

`Mover.lock` makes a `Cohort` and writes the lockfile, `Mover.move` moves exactly that, `Mover.verify` says what has
changed in the archive since, `Cohort.check` what has changed on the disk. The parts:

- `content` and `document` say what stands in the file, and read and write it;
- `lookup` asks the archive; `lock` and `verify` do so for a whole batch;
- `drift` compares what was locked with what is there now, and is pure; `folder` looks at the disk;
- `resolver` asks for exactly what was locked.
"""

from dicomover.cohort.cohort import Cohort
from dicomover.cohort.content import State
from dicomover.cohort.document import FIELDS, VERSION, schema_table
from dicomover.cohort.drift import Kind

__all__ = ["FIELDS", "VERSION", "Cohort", "Kind", "State", "schema_table"]

"""How fast dicomover is, beside DCMTK and pynetdicom: `python -m benchmarks` from the folder of the project."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests"))  # the peers of the tests are those of the benchmarks

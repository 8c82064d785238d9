"""`python -m dicomover` is the same as `dicomover`."""

import sys

from dicomover.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m dicomover` is the same as `dicomover`."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process; an interrupt while it is still being imported is a line too."""
    try:
        from dicomover.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())

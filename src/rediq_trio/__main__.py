"""`python -m rediq_trio` is the command `rediq`."""

import sys

from rediq_trio.cli.main import run_process

if __name__ == "__main__":
    sys.exit(run_process())

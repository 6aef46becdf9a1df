"""`python -m rediq_trio` is the command `rediq`."""

import sys

from rediq_trio.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

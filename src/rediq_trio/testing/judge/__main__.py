"""Judge a folder of observations: `python -m rediq_trio.testing.judge FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rediq_trio.testing.judge import judge


def main() -> int:
    """Print the verdict; return the exit status, 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m rediq_trio.testing.judge")
    parser.add_argument("folder", type=Path)
    verdict = judge(parser.parse_args().folder)
    print(verdict.report())
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""Judge a folder of observations: `python -m benchmarks.chaos.judge FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.chaos.judge import judge


def main() -> int:
    """Print the verdict, and give the exit status: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos.judge")
    parser.add_argument("folder", type=Path)
    verdict = judge(parser.parse_args().folder)
    print(verdict.report())
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())

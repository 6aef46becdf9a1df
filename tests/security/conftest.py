"""What the tests of security borrow from those of the command line."""

from tests.cli.conftest import cli_start

__all__ = ["cli_start"]

"""The command line. No other part of the library imports it."""

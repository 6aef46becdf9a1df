"""The command line: a door to the library, which nothing imports."""

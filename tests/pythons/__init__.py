"""A part of the suite on other versions of Python, and with the oldest dependencies.

Each run has a virtual environment of its own, with the library installed as a user installs it.

    python -m tests.pythons                    each supported version that this machine has
    python -m tests.pythons --lowest           this Python, with the lowest versions of dependencies
    python -m tests.pythons --debian FOLDER    the versions of Debian unstable, installed in a folder
"""

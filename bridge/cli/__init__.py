"""The command line: `neural-fx render | demo | info | pedals | export | train | bench`.

Bad input means one line and exit status 2.
"""

from bridge.cli.main import app, main

__all__ = ["app", "main"]

"""Command line `neural-fx`; `bridge.cli.main` lists its subcommands.

Bad input ends a command with one line on standard error and exit status 2.
"""

from bridge.cli.main import app, main

__all__ = ["app", "main"]

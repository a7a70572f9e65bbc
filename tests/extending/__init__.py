"""The examples of `docs/extending`, installed and run as a stranger's package."""

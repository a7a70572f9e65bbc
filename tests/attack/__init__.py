"""Attacks on a running worker: `python -m tests.attack.run --minutes 10`."""

"""Check tokens, and slow down peers that guess them."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from bridge import limits
from bridge.security.addresses import is_loopback, machine_of


def new_token() -> str:
    """Return a random token of 256 bits that fits into a URL."""
    return secrets.token_urlsafe(32)


def same_token(given: str, token: str) -> bool:
    """Return whether two tokens are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), token.encode("utf-8", "surrogatepass"))


@dataclass
class _Bucket:
    """Number of attempts left at a time."""

    left: float
    since: float

    def refill(self, now: float, most: float, per_second: float) -> None:
        self.left = min(most, self.left + (now - self.since) * per_second)
        self.since = now


class GuessLimiter:
    """Check tokens, and slow down peers that guess them. Thread-safe, with constant memory.

    The tokens of a peer without attempts left are not checked until it has earned a new attempt. Only wrong tokens cost
    an attempt. Peers on this machine are counted separately, so that other machines cannot slow them down.

    Args:
        clock: returns rising seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.refused = 0
        self._machines: OrderedDict[str, _Bucket] = OrderedDict()
        self._all = _Bucket(limits.ALL_GUESSES_AT_ONCE, clock())
        self._lock = threading.Lock()

    def problem(self, peer: str, given: str, token: str) -> str:
        """Check a token.

        Args:
            peer: numeric address of the machine that sent it.
            given: the token that it sent.
            token: the right token; empty if none is needed.

        Returns:
            A sentence that says why the peer is refused; empty if the token is right.
        """
        if not token:  # there is nothing to guess
            return "wrong token: the worker has none" if given else ""
        remote = not is_loopback(peer)
        with self._lock:
            now = self.clock()
            bucket = self._bucket(machine_of(peer), now)
            wait = (1 - bucket.left) / limits.GUESSES_PER_SECOND
            if remote:
                self._all.refill(now, limits.ALL_GUESSES_AT_ONCE, limits.ALL_GUESSES_PER_SECOND)
                wait = max(wait, (1 - self._all.left) / limits.ALL_GUESSES_PER_SECOND)
            if wait > 1e-9:
                self.refused += 1
                return f"too many wrong tokens; wait {max(wait, 0.1):.1f} seconds, then try again"
            if same_token(given, token):
                return ""
            bucket.left -= 1
            if remote:
                self._all.left -= 1
        return "wrong token"

    def _bucket(self, machine: str, now: float) -> _Bucket:
        """Return the attempts of a machine. If there are too many machines, the one heard longest ago is removed."""
        bucket = self._machines.pop(machine, None) or _Bucket(limits.GUESSES_AT_ONCE, now)
        bucket.refill(now, limits.GUESSES_AT_ONCE, limits.GUESSES_PER_SECOND)
        self._machines[machine] = bucket
        while len(self._machines) > limits.GUESSING_MACHINES:
            self._machines.popitem(last=False)
        return bucket

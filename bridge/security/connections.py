"""Limit the connections of all peers together and of each machine."""

from __future__ import annotations

import threading
from collections import Counter

from bridge.security.addresses import is_loopback, machine_of


class ConnectionLimit:
    """Count open connections, and reserve some of them for this machine.

    Args:
        most: largest number for all peers. Other machines together get three quarters of it, and one of them a quarter.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.count = 0
        self._remote: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, peer: str) -> bool:
        """Count a new connection of a peer. Return False if there is no room for it."""
        with self._lock:
            if self.count >= self.most:
                return False
            if not is_loopback(peer):
                machine = machine_of(peer)
                if self._remote[machine] >= self.most // 4 or self._remote.total() >= 3 * self.most // 4:
                    return False
                self._remote[machine] += 1
            self.count += 1
            return True

    def start(self, peer: str, thread: threading.Thread) -> None:
        """Start the thread of a connection that was counted. If it cannot start, the connection is not counted.

        Args:
            peer: as for `enter`.
            thread: serves the connection, and calls `leave` at its end.

        Raises:
            RuntimeError: the system allows no more threads.
        """
        try:
            thread.start()
        except RuntimeError:
            self.leave(peer)
            raise

    def leave(self, peer: str) -> None:
        """Count a closed connection. Call this once for every `enter` that returned True."""
        with self._lock:
            self.count -= 1
            if not is_loopback(peer):
                machine = machine_of(peer)
                self._remote[machine] -= 1
                if not self._remote[machine]:
                    del self._remote[machine]

"""Use a board of a worker as a processor. Audio goes to the worker over TCP and comes back processed."""

from bridge.client.remote import RemoteBoard, connect

__all__ = ["RemoteBoard", "connect"]

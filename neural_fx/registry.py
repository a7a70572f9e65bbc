"""Registries: what the project has several of, built in and from other packages.

A registry finds its members when it is first used. It imports the built-in ones, then those that installed packages
announce as entry points. So the order of imports never matters, and adding a member touches no existing file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Generic, Protocol, TypeVar

from neural_fx.errors import reason


class Named(Protocol):
    """What every member has."""

    @property
    def name(self) -> str:
        """Name by which users and files refer to it."""


Member = TypeVar("Member", bound=Named)


class Registry(Generic[Member]):
    """Members of one kind, by name.

    Args:
        group: entry-point group of other packages' members, such as ``neural_fx.formats``.
        kind: class that every member is an instance of.
        built_in: where the package's own members are, as ``module:attribute``, in the order in which they are tried.
    """

    def __init__(self, group: str, kind: type[Member], built_in: Sequence[str] = ()) -> None:
        self.group = group
        self.kind = kind
        self.built_in = tuple(built_in)
        self._members: dict[str, Member] = {}
        self._lock = RLock()
        self._found = False

    def add(self, member: Member) -> Member:
        """Add a member; a script can do this without being an installed package.

        Args:
            member: the member.

        Returns:
            The same member, so that this can be used as a decorator.

        Raises:
            TypeError: it is not of the registry's kind.
            ValueError: another member has its name.
        """
        self._find()  # so that the names of all others are known
        return self._add(member)

    def _add(self, member: Member) -> Member:
        if not isinstance(member, self.kind):
            raise TypeError(f"{self.group}: expected a {self.kind.__name__}, found {type(member).__name__}")
        known = self._members.get(member.name)
        if known is not None and known is not member:
            raise ValueError(f"{self.group}: there is another member called {member.name!r}")
        self._members[member.name] = member
        return member

    def replace(self, member: Member) -> Member:
        """Put a member in the place of the one of its name, as tests do.

        Args:
            member: the new member.

        Returns:
            The old member.

        Raises:
            TypeError: it is not of the registry's kind.
            KeyError: there is no member of this name.
        """
        if not isinstance(member, self.kind):
            raise TypeError(f"{self.group}: expected a {self.kind.__name__}, found {type(member).__name__}")
        old = self[member.name]
        self._members[member.name] = member
        return old

    def __iter__(self) -> Iterator[Member]:
        """Iterate over the members: built-in ones first."""
        self._find()
        return iter(list(self._members.values()))

    def __len__(self) -> int:
        """Return how many members there are."""
        self._find()
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        """Return whether a member has this name."""
        self._find()
        return name in self._members

    def __getitem__(self, name: str) -> Member:
        """Return the member of this name.

        Raises:
            KeyError: there is none.
        """
        self._find()
        return self._members[name]

    def names(self) -> list[str]:
        """Return the members' names, built-in ones first."""
        return [member.name for member in self]

    def _find(self) -> None:
        """Import all members once. A broken one of another package is reported and left out."""
        with self._lock:
            if self._found:
                return
            self._found = True
            for place in self.built_in:
                module, _, attribute = place.partition(":")
                self._add(getattr(import_module(module), attribute))
            for entry in sorted(entry_points(group=self.group), key=_order):
                self._add_entry(entry)

    def _add_entry(self, entry: EntryPoint) -> None:
        try:
            self._add(entry.load())
        except Exception as error:  # other people's code may raise anything while it is imported
            package = entry.dist.name if entry.dist is not None else "an installed package"
            problem = f"{type(error).__name__}: {reason(error)}"
            warnings.warn(
                f"{package}: its {self.group} entry point {entry.name!r} is left out: {problem}", stacklevel=4
            )


def _order(entry: EntryPoint) -> tuple[str, str]:
    """Sort key that does not depend on the order of folders on the disk."""
    return (entry.dist.name if entry.dist is not None else "", entry.name)

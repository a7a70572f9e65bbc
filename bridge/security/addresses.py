"""Parse and compare network addresses."""

from __future__ import annotations

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def as_address(text: str) -> Address | None:
    """Parse an IP address. Removes the scope, and converts IPv4 inside IPv6. Returns None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def plain_address(text: str) -> str:
    """Return a numeric address without scope, an IPv4 address inside IPv6 as IPv4. A name stays as it is."""
    return str(as_address(text) or text)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address can be reached from this machine only."""
    address = as_address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"


def machine_of(peer: str) -> str:
    """Return the key under which a peer is counted: its address, or for IPv6 its network of 64 bits."""
    address = as_address(peer)
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address or peer)


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family to bind a host with: IPv4 where the host has both.

    Raises:
        OSError: the name cannot be resolved.
    """
    found = {info[0] for info in socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    return socket.AF_INET if socket.AF_INET in found else socket.AF_INET6


def in_url(host: str) -> str:
    """Return a host for a URL, with IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host

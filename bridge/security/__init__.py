"""Decide who may control a worker: check tokens and web origins, limit guesses and connections, and clean text.

`docs/security.md` describes the rules for users. The servers apply them with the functions of this module.
"""

from bridge.security.addresses import Address, as_address, family_of, in_url, is_loopback, machine_of, plain_address
from bridge.security.connections import ConnectionLimit
from bridge.security.text import clean, cleaned
from bridge.security.tokens import GuessLimiter, new_token, same_token
from bridge.security.web import HeaderFields, WebRequest, host_and_port, query_fields, web_refusal

__all__ = [
    "Address",
    "ConnectionLimit",
    "GuessLimiter",
    "HeaderFields",
    "WebRequest",
    "as_address",
    "clean",
    "cleaned",
    "family_of",
    "host_and_port",
    "in_url",
    "is_loopback",
    "machine_of",
    "new_token",
    "plain_address",
    "query_fields",
    "same_token",
    "web_refusal",
]

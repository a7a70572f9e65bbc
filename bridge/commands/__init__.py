"""Remote commands: one table that OSC, OSCQuery and the documentation read."""

from bridge.commands.registry import (
    ALL_COST,
    COMMANDS,
    FILE_COST,
    Argument,
    Asker,
    Call,
    Command,
    Connection,
    Reply,
    Scope,
    Target,
    board_command,
    commands_of,
    find_command,
    reserved_names,
    worker_command,
)

__all__ = [
    "ALL_COST",
    "COMMANDS",
    "FILE_COST",
    "Argument",
    "Asker",
    "Call",
    "Command",
    "Connection",
    "Reply",
    "Scope",
    "Target",
    "board_command",
    "commands_of",
    "find_command",
    "reserved_names",
    "worker_command",
]

"""Count the bytes that torch's operations read and write."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class TrafficCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Add up the sizes of all tensors that operations take and return while the block runs.

    Views move no data and don't count. Weights count once per operation, as if the cache kept them during it.

    Attributes:
        moved: bytes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket is not torch.ops.aten.detach:
            self.moved += sum(part.nbytes for part in tree_leaves((args, kwargs, found)) if isinstance(part, Tensor))
        return found

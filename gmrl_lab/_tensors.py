"""Three tensor helpers with types, shared by the core."""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=1024)
def broadcast_shapes(*shapes: torch.Size | tuple[int, ...]) -> torch.Size:
    """The shape that all `shapes` broadcast to; remembered, for torch takes 0.1 ms to say it."""
    return torch.Size(torch.broadcast_shapes(*shapes))


def stack(parts: list[Tensor], dim: int = 0) -> Tensor:
    """Tensors of broadcastable shapes along a new dimension."""
    return torch.stack(torch.broadcast_tensors(*parts), dim)


def split_last(x: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """`(..., a·b)` as `(..., a, b)`."""
    return x.reshape(*x.shape[:-1], *shape)

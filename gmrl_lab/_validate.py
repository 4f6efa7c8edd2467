"""Clear errors: each names the argument, the value that was given, and what is allowed."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes

Number = int | float


def bad(name: str, value: object, allowed: str) -> ValueError:
    """The one form of every error message: argument, value, what is allowed."""
    return ValueError(f"{name}: got {value}, allowed is {allowed}")


@contextmanager
def lab_extra() -> Iterator[None]:
    """Around imports of what only the lessons need: say how to get what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: pip install 'gmrl_lab[lab]'", name=error.name) from error


def check_whole(name: str, value: int, least: int) -> None:
    """Raise unless `value` is a whole number, NumPy's included, of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise bad(name, repr(value), f"a whole number >= {least}")


def check_interval(
    name: str, value: Number | Tensor, low: float, high: float, *, open_low: bool = False, open_high: bool = False
) -> None:
    """Raise unless every entry of `value` lies in [low, high], without an end that is `open_low` or `open_high`."""
    values = value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    inside = ((values > low) if open_low else (values >= low)) & ((values < high) if open_high else (values <= high))
    if not bool(inside.all()):  # NaN compares false, so it lands here too
        worst = values[~inside].flatten()[0].item()
        raise bad(name, worst, f"the interval {'[('[open_low]}{low:g}, {high:g}{'])'[open_high]}")


def check_positive(name: str, value: Number) -> None:
    """Raise unless `value` is a finite number above zero."""
    if not (math.isfinite(value) and value > 0):
        raise bad(name, value, "a finite number > 0")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise bad(name, repr(value), "one of " + ", ".join(map(repr, choices)))


def check_finite(name: str, value: Tensor, where: str = "") -> None:
    """Raise if `value` holds NaN or an infinity; the message counts them and gives the first index."""
    if bool(torch.isfinite(value.detach().sum())):  # fast: one NaN or infinity would make the sum one
        return
    wrong = ~torch.isfinite(value.detach())
    if bool(wrong.any()):
        first = tuple(wrong.nonzero()[0].tolist())
        entry = value.detach()[first].item()
        raise bad(
            f"{name}{where}", f"{entry} at index {first} ({int(wrong.sum())} entries not finite)", "finite numbers"
        )


def check_like(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Raise unless `value` has the dtype and the device of `other`."""
    if value.dtype != other.dtype or value.device != other.device:
        raise bad(
            name,
            f"{value.dtype} on {value.device}",
            f"{other.dtype} on {other.device}, as {other_name} (move one with .to(...))",
        )


def check_broadcast(name: str, batch: torch.Size, other_name: str, other: torch.Size) -> torch.Size:
    """The shape that the leading dimensions of two arguments broadcast to; raise if there is none."""
    if batch == other:
        return other
    try:
        return broadcast_shapes(batch, other)
    except RuntimeError:
        allowed = f"leading dimensions that broadcast with {tuple(other)} of {other_name}"
        raise bad(name, f"leading dimensions {tuple(batch)}", allowed) from None


def check_trailing(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless the last dimensions of `value` are `shape`."""
    if tuple(value.shape[value.ndim - len(shape) :]) != shape or value.ndim < len(shape):
        wanted = ", ".join(map(str, shape))
        raise bad(name, f"shape {tuple(value.shape)}", f"shape (..., {wanted})")

"""Two ways to draw from many categorical distributions at once, one uniform number each.

`InverseCDF` is monotone: the same uniform number gives the same outcome, or a neighbouring one, after a small change
of the probabilities. Policies use it, so that a slider moved a little changes few trajectories. `Alias` (Walker 1977)
needs five operations however many outcomes there are, but a table that is dear to build: an MDP builds it once.

Rows, slots and outcomes are int32 here: on a CPU that halves the time of every look-up.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class InverseCDF:
    """Cumulative distributions, one per row, padded to a power of two and laid end to end.

    `halves` are views of that table, each shifted to the entry that a step of the bisection looks at.
    """

    halves: tuple[Tensor, ...]
    width: int

    @classmethod
    def of(cls, probabilities: Tensor) -> "InverseCDF":
        """From probabilities `(..., n)`; a row is the flattened leading index."""
        n = probabilities.shape[-1]
        width = 1 << (n - 1).bit_length()
        padded = torch.nn.functional.pad(cumulative(probabilities).reshape(-1, n), (0, width - n), value=1.0)
        table = padded.flatten()
        return cls(tuple(table[(width >> step) - 1 :] for step in range(1, width.bit_length())), width)

    def draw(self, first: Tensor, uniform: Tensor) -> Tensor:
        """The first outcome whose cumulative probability exceeds the uniform number, by bisection.

        `first` is where each one's row begins, its number times `width`.
        """
        return self.place(first, uniform) - first

    def place(self, first: Tensor, uniform: Tensor) -> Tensor:
        """Where in the table the outcome of `draw` stands: its number counted from the beginning of the first row."""
        position = first
        jump = self.width
        for half in self.halves:
            jump //= 2
            below = half.index_select(0, position) <= uniform
            position = torch.add(position, below, alpha=jump)
        return position


@dataclass(frozen=True, eq=False)
class Alias:
    """Alias tables over the outcomes of positive probability.

    Slot k of a row gives its own outcome below a threshold, and another outcome above it. `threshold` is flat, one
    entry per slot; `outcome` two entries per slot, (own, other).
    """

    threshold: Tensor
    outcome: Tensor
    width: int

    @classmethod
    def of(cls, probabilities: Tensor) -> "Alias":
        """From probabilities `(..., n)`; a row is the flattened leading index."""
        rows = precise(probabilities).reshape(-1, probabilities.shape[-1])
        width = int((rows > 0).sum(-1).max())
        share, own = rows.topk(width, sorted=False)
        left = share * (width / share.sum(-1, keepdim=True))
        threshold, other = torch.ones_like(left), own.clone()
        is_open = torch.ones_like(left, dtype=torch.bool)
        for _ in range(width - 1):  # the poorest open slot is topped up by the richest, and closed
            poor = left.masked_fill(~is_open, torch.inf).argmin(-1, keepdim=True)
            rich = left.masked_fill(~is_open, -torch.inf).argmax(-1, keepdim=True)
            amount = left.gather(-1, poor).clamp(max=1.0)
            threshold.scatter_(-1, poor, amount)
            other.scatter_(-1, poor, own.gather(-1, rich))
            left.scatter_add_(-1, rich, amount - 1)
            is_open.scatter_(-1, poor, False)
        return cls(threshold.flatten(), torch.stack([own, other], -1).flatten().int(), width)

    def spread(self, n: int, step: int) -> "Alias":
        """The same rows further apart, `step` where there were `n`: row i·n + j becomes i·step + j."""

        def apart(table: Tensor, size: int) -> Tensor:
            return torch.nn.functional.pad(table.view(-1, n, size), (0, 0, 0, step - n)).flatten()

        return Alias(apart(self.threshold, self.width), apart(self.outcome, 2 * self.width), self.width)

    def split(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """A uniform number as a slot and the uniform number that is left over; neither matters for one outcome."""
        if self.width == 1:
            return uniform, uniform
        scaled = uniform * self.width
        return scaled.int(), scaled.frac_()

    def draw(self, row: Tensor, slot: Tensor, rest: Tensor) -> Tensor:
        """One outcome for each row, from the parts of `split`."""
        if self.width == 1:
            return self.own.index_select(0, row)
        index = torch.add(slot, row, alpha=self.width)
        over = rest >= self.threshold.index_select(0, index)
        return self.outcome.index_select(0, torch.add(over, index, alpha=2))

    @cached_property
    def own(self) -> Tensor:
        """The own outcome of each slot."""
        return self.outcome[::2].contiguous()


def cumulative(probabilities: Tensor) -> Tensor:
    """Cumulative sums over the last dimension that end in exactly 1."""
    sums = precise(probabilities).cumsum(-1)
    # Dividing, not clamping: outcomes of probability zero at the end of a row keep exactly none.
    return sums / sums[..., -1:]


def precise(x: Tensor) -> Tensor:
    """Detached, in float64 where the device has it."""
    return x.detach() if x.device.type == "mps" else x.detach().double()

"""Optimisers as pure functions, so that a meta-gradient can pass through their steps: Adam, SGD, the gradient clip.

Parameters are dictionaries of tensors. Nothing is changed in place: a step returns new parameters and a new state,
both with the graph of the gradients that it was given.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_interval, check_positive

Parameters = dict[str, Tensor]
"""Tensors by name."""


@dataclass(frozen=True, eq=False)
class OptimiserState:
    """How many steps were taken, and the running means of the gradients and of their squares (none for SGD)."""

    step: int
    mean: Parameters
    square: Parameters

    def detach(self) -> "OptimiserState":
        """The same numbers without a graph."""
        return OptimiserState(self.step, detach(self.mean), detach(self.square))


class Optimiser(Protocol):
    """A rule that moves parameters along gradients."""

    def init(self, parameters: Parameters) -> OptimiserState:
        """The state before the first step."""
        ...

    def step(
        self, parameters: Parameters, gradients: Parameters, state: OptimiserState, lr: float
    ) -> tuple[Parameters, OptimiserState]:
        """One step down the gradients: the new parameters and the new state."""
        ...


@dataclass(frozen=True)
class SGD:
    """Plain gradient descent, the inner step of Theorem 4.5.

        θ' = θ − α g

    Taught in lesson 13.
    """

    def init(self, parameters: Parameters) -> OptimiserState:
        """Nothing to remember but the number of steps."""
        return OptimiserState(0, {}, {})

    def step(
        self, parameters: Parameters, gradients: Parameters, state: OptimiserState, lr: float
    ) -> tuple[Parameters, OptimiserState]:
        """One step down the gradients."""
        moved = {name: x - lr * gradients[name] for name, x in parameters.items()}
        return moved, OptimiserState(state.step + 1, {}, {})


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), step for step `torch.optim.Adam`, and differentiable in the gradients.

        m' = β₁ m + (1 − β₁) g,   v' = β₂ v + (1 − β₂) g²,   θ' = θ − α m̂ / (√v̂ + ε)

    with m̂ = m' / (1 − β₁ᵗ) and v̂ = v' / (1 − β₂ᵗ). Where v' is 0 the gradient has been 0 at every step: there the
    parameter stays, and no derivative flows (√ has none at 0, which would make the meta-gradient NaN).

    Args:
        beta_1, beta_2: decay of the two running means, in [0, 1).
        eps: ε > 0.

    Raises:
        ValueError: naming the argument, for one outside its range.

    Taught in lesson 13.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        check_interval("beta_1", self.beta_1, 0.0, 1.0, open_high=True)
        check_interval("beta_2", self.beta_2, 0.0, 1.0, open_high=True)
        check_positive("eps", self.eps)

    def init(self, parameters: Parameters) -> OptimiserState:
        """Both running means at zero."""
        mean, square = ({name: torch.zeros_like(x) for name, x in parameters.items()} for _ in range(2))
        return OptimiserState(0, mean, square)

    def step(
        self, parameters: Parameters, gradients: Parameters, state: OptimiserState, lr: float
    ) -> tuple[Parameters, OptimiserState]:
        """One step down the gradients."""
        step = state.step + 1
        scale_1, scale_2 = 1 - self.beta_1**step, 1 - self.beta_2**step
        mean = {name: self.beta_1 * x + (1 - self.beta_1) * gradients[name] for name, x in state.mean.items()}
        square = {name: self.beta_2 * x + (1 - self.beta_2) * gradients[name] ** 2 for name, x in state.square.items()}
        moved = {
            name: x - lr * (mean[name] / scale_1) / (root(square[name] / scale_2) + self.eps)
            for name, x in parameters.items()
        }
        return moved, OptimiserState(step, mean, square)


def clip_by_norm(gradients: Parameters, max_norm: float | None, n_batch: int = 0) -> tuple[Parameters, Tensor]:
    """Scale gradients down to a norm, all together, as `torch.nn.utils.clip_grad_norm_` does, but differentiably.

        g · min(1, c / (‖g‖ + 10⁻⁶))

    Args:
        gradients: by name; the first `n_batch` dimensions of each are a batch.
        max_norm: c > 0; None leaves them as they are.
        n_batch: number of leading dimensions; each element has a norm of its own.

    Returns:
        The clipped gradients, and the norm before clipping, `(*batch)`.

    Raises:
        ValueError: for no gradients, or a norm that is not above zero.

    Taught in lesson 13.
    """
    if not gradients:
        raise bad("gradients", "none", "at least one")
    norm = root(sum((x**2).flatten(n_batch).sum(-1) for x in gradients.values()))  # type: ignore[arg-type]
    if max_norm is None:
        return gradients, norm
    check_positive("max_norm", max_norm)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1)
    return {name: x * factor.reshape(*factor.shape, *[1] * (x.ndim - n_batch)) for name, x in gradients.items()}, norm


def linear_decay(start: float, done: int, total: int) -> float:
    """A rate that falls on a straight line from `start` to 0 when all of `total` is done, and stays there."""
    return start * max(0.0, 1 - done / total)


def detach(parameters: Parameters) -> Parameters:
    """The same numbers without a graph."""
    return {name: x.detach() for name, x in parameters.items()}


def root(square: Tensor) -> Tensor:
    """√x, with derivative 0 instead of ∞ at x = 0."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)

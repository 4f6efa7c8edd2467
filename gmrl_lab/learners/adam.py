"""Adam for one tensor. `torch.optim` takes seconds to import what it needs for its first optimiser."""

from torch import Tensor, zeros_like

from gmrl_lab.learners import optimisers


class Adam:
    """Steps of Adam (Kingma & Ba 2015), coordinate by coordinate, so that elements of a batch do not touch each other.

        m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   x ← x − lr m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ), v̂ likewise

    Args:
        like: a tensor of the shape, dtype and device of x.
        lr: step size.
        betas, eps: β₁, β₂ and ε, by default those of PyTorch.

    Raises:
        ValueError: for a β or an ε out of range.

    Taught in lesson 11.
    """

    def __init__(self, like: Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.lr = lr
        self._rule, self._still = optimisers.Adam(*betas, eps), {"": zeros_like(like)}
        self._state = self._rule.init(self._still)

    def step(self, gradient: Tensor) -> Tensor:
        """The change −lr m̂ / (√v̂ + ε) to add to x, `(...)`; its negative climbs."""
        moved, self._state = self._rule.step(self._still, {"": gradient}, self._state, self.lr)
        return moved[""]

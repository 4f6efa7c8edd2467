"""Adam for one tensor. `torch.optim` takes seconds to import what it needs for its first optimiser."""

from torch import Tensor, zeros_like


class Adam:
    """Steps of Adam (Kingma & Ba 2015), coordinate by coordinate, so that elements of a batch do not touch each other.

        m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   x ← x − lr m̂ / (√v̂ + ε),   m̂ = m / (1 − β₁ᵗ), v̂ likewise

    Args:
        like: a tensor of the shape, dtype and device of x.
        lr: step size.
        betas, eps: β₁, β₂ and ε, by default those of PyTorch.

    Taught in lesson 11.
    """

    def __init__(self, like: Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        self._steps = 0
        self._mean, self._square = zeros_like(like), zeros_like(like)

    def step(self, gradient: Tensor) -> Tensor:
        """The change −lr m̂ / (√v̂ + ε) to add to x, `(...)`; its negative climbs."""
        self._steps += 1
        first, second = self.betas
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient**2
        mean, square = self._mean / (1 - first**self._steps), self._square / (1 - second**self._steps)
        return -self.lr * mean / (square.sqrt() + self.eps)

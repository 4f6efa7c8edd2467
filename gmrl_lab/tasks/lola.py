"""LOLA: learn a policy that shapes how the opponent learns (Foerster et al. 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes
from gmrl_lab._validate import check_finite, check_like, check_trailing
from gmrl_lab.games import MatrixGame
from gmrl_lab.problem import Problem
from gmrl_lab.tasks.base import Task


@dataclass(frozen=True, eq=False)
class LOLA(Task):
    """φ is the ego's policy, θ the opponent's: J^In = V²(φ, θ) is what the opponent climbs, J^Out = V¹(φ, θ).

    Args:
        game: both players' payoffs and the discount.
        initial_theta: the opponent's logits of COOPERATE at θ⁰, `(..., 5)`, its own action first.

    φ is `(..., 5)`, the ego's logits in the same form. An estimator sees the joint policy of both, so that a ratio
    or a score function belongs to both. Only DiCE and Loaded DiCE keep the mixed derivative ∇_φ ∇_θ V² on which LOLA
    rests; with AD it is zero in every sample.

    Raises:
        ValueError: if `initial_theta` does not fit the game.

    Taught in lessons 03 and 11.
    """

    game: MatrixGame
    initial_theta: Tensor

    def __post_init__(self) -> None:
        check_trailing("initial_theta", self.initial_theta, (5,))
        check_like("initial_theta", self.initial_theta, "the game", self.like)
        check_finite("initial_theta", self.initial_theta)

    @property
    def phi_shape(self) -> tuple[int, ...]:
        """(5,)."""
        return (5,)

    @property
    def theta_shape(self) -> tuple[int, ...]:
        """(5,)."""
        return (5,)

    @property
    def batch_shape(self) -> torch.Size:
        """That of the game and of θ⁰ together."""
        return broadcast_shapes(self.game.batch_shape, self.initial_theta.shape[:-1])

    @property
    def like(self) -> Tensor:
        """The game's payoffs."""
        return self.game.mdps[0].rewards

    def theta_0(self, phi: Tensor) -> Tensor:
        """θ⁰, free of φ."""
        return self.initial_theta.detach()

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The game as the opponent sees it."""
        return self.game.problem(phi, theta, 2)

    def outer(self, phi: Tensor, theta: Tensor) -> Problem:
        """The game as the ego sees it."""
        return self.game.problem(phi, theta, 1)

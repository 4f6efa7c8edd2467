"""LIRPG: meta-learn an intrinsic reward (Zheng et al. 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes
from gmrl_lab.exact import check_theta
from gmrl_lab.problem import Problem
from gmrl_lab.tasks.base import TabularTask


@dataclass(frozen=True, eq=False)
class LIRPG(TabularTask):
    """φ is an intrinsic reward table: the inner objective uses R + φ, the outer one R.

    Args:
        mdp: one MDP or a batch.
        initial_theta: the policy logits θ⁰, `(..., S, A)`, which do not depend on φ.

    φ is `(..., S, A)`; the paper starts it at zero.

    Raises:
        ValueError: if `initial_theta` does not fit the MDP.

    Taught in lessons 03 and 10.
    """

    initial_theta: Tensor

    def __post_init__(self) -> None:
        check_theta(self.mdp, self.initial_theta, "initial_theta")

    @property
    def batch_shape(self) -> torch.Size:
        """That of the MDP and of θ⁰ together."""
        return broadcast_shapes(self.mdp.batch_shape, self.initial_theta.shape[:-2])

    def theta_0(self, phi: Tensor) -> Tensor:
        """θ⁰, free of φ."""
        return self.initial_theta.detach()

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP with rewards R + φ."""
        return Problem(self.mdp.replace(rewards=self.mdp.rewards + phi), theta)

    def outer(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP with its own rewards."""
        return Problem(self.mdp, theta)

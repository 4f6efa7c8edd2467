"""LIRPG: meta-learn an intrinsic reward (Zheng et al. 2018)."""

from dataclasses import dataclass

from torch import Tensor

from gmrl_lab.problem import Problem
from gmrl_lab.tasks.base import GivenStartTask


@dataclass(frozen=True, eq=False)
class LIRPG(GivenStartTask):
    """φ is an intrinsic reward table: the inner objective uses R + φ, the outer one R.

    Args:
        mdp: one MDP or a batch.
        initial_theta: the policy logits θ⁰, `(..., S, A)`, which do not depend on φ.

    φ is `(..., S, A)`; the paper starts it at zero.

    Raises:
        ValueError: if `initial_theta` does not fit the MDP.

    Taught in lessons 03 and 10.
    """

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP with rewards R + φ."""
        return Problem(self.mdp.replace(rewards=self.mdp.rewards + phi), theta)

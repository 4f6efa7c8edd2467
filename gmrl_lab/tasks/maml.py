"""MAML: meta-learn the initial policy (Finn et al. 2017)."""

from dataclasses import dataclass

from torch import Tensor

from gmrl_lab.problem import Problem
from gmrl_lab.tasks.base import TabularTask


@dataclass(frozen=True, eq=False)
class MAML(TabularTask):
    """φ is the initial policy: θ⁰ = φ, and both objectives are the return of the same MDP.

    Args:
        mdp: one MDP or a batch.

    φ and θ are logits `(..., S, A)`.

    Taught in lesson 02.
    """

    def theta_0(self, phi: Tensor) -> Tensor:
        """φ itself."""
        return phi

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP under the policy of θ."""
        return Problem(self.mdp, theta)

"""MGRL: meta-learn the discount and the GAE λ of the update (Xu et al. 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab._validate import check_choice, check_interval
from gmrl_lab.problem import Problem
from gmrl_lab.tasks.base import GivenStartTask

DERIVATIVES = ("full", "return")


@dataclass(frozen=True, eq=False)
class MGRL(GivenStartTask):
    """φ = (logit γ_φ, logit λ_φ): the inner update uses γ_φ and λ_φ, the outer return the true γ.

        g(φ, θ) = Σ_t γ_φᵗ E[Â_t(γ_φ, λ_φ) ∇ log π_θ(a_t|s_t)]

    Args:
        mdp: one MDP or a batch; its discount is that of the outer objective.
        initial_theta: the policy logits θ⁰, `(..., S, A)`, which do not depend on φ.
        derivative: "full" differentiates all of g in φ, "return" (the paper's) only Â_t, with the weights γ_φᵗ held
            fixed. The values agree, the meta-gradients do not. DiCE has no return apart from its weights, so that
            nothing is left of it.

    φ is `(..., 2)`; `MGRL.phi(discount, gae_lambda)` makes it. The exact objective knows no λ, so that its exact
    λ-derivative is zero; an estimator's is not, unless V̂ is exact.

    Raises:
        ValueError: if `initial_theta` does not fit the MDP, or for an unknown derivative.

    Taught in lessons 03 and 13.
    """

    derivative: str = "full"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("derivative", self.derivative, DERIVATIVES)

    @staticmethod
    def phi(discount: Tensor | float, gae_lambda: Tensor | float) -> Tensor:
        """The meta-parameters of a discount and a GAE λ, numbers in (0, 1) or `(...)`: logits `(..., 2)`.

        Raises:
            ValueError: for either outside (0, 1), where it has no logit.
        """
        for name, value in (("discount", discount), ("gae_lambda", gae_lambda)):
            check_interval(name, value, 0.0, 1.0, open_low=True, open_high=True)
        pair = torch.broadcast_tensors(*(torch.as_tensor(x, dtype=torch.float64) for x in (discount, gae_lambda)))
        return torch.stack(pair, -1).logit()

    @property
    def phi_shape(self) -> tuple[int, ...]:
        """(2,)."""
        return (2,)

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP with discount γ_φ, for estimators with λ_φ."""
        discount, gae_lambda = phi.sigmoid().unbind(-1)
        return Problem(self.mdp.replace(discount=discount), theta, gae_lambda, self.derivative == "return")

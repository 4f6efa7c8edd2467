"""LPG: meta-learn the update rule itself (Oh et al. 2020)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gmrl_lab import lstm
from gmrl_lab._tensors import stack
from gmrl_lab._validate import check_whole
from gmrl_lab.field import score_sum, weighted_trajectories
from gmrl_lab.oracles import Oracle
from gmrl_lab.problem import Problem
from gmrl_lab.rollout import log_prob, lookup
from gmrl_lab.seeding import Generators, Streams
from gmrl_lab.tasks.base import GivenStartTask


@dataclass(frozen=True, eq=False)
class LPG(GivenStartTask):
    """φ are the weights of an LSTM that reads a trajectory backwards and says what each step was worth.

        g(φ, θ) = E_τ[Σ_t y_t ∇ log π_θ(a_t|s_t)],   y_t = LSTM_φ(x_T, …, x_t),   x_t = (r_t, π_θ(a_t|s_t), γ)

    y is a target: ∇ acts on log π alone, as in the original. So g is the gradient of nothing, and H_ab = ∂g_b/∂θ_a is
    not symmetric. But y reads π_θ, and a meta-gradient goes back through the update: H sees y move with θ.
    `Exact` and `Expected` sum over all trajectories of a tiny MDP; which derivative each keeps, see `gmrl_lab.field`.

    Args:
        mdp: one MDP or a batch.
        initial_theta: the policy logits θ⁰, `(..., S, A)`, which do not depend on φ.
        hidden: units of the LSTM.
        horizon: T of the exact update.

    φ is one flat vector `(..., n)`; `initial_phi(generator)` draws one from N(0, 1/hidden).

    Raises:
        ValueError: for an `initial_theta` that does not fit the MDP, no unit or no step.

    Taught in lesson 03.
    """

    hidden: int = 4
    horizon: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("hidden", self.hidden, 1)
        check_whole("horizon", self.horizon, 1)

    @property
    def phi_shape(self) -> tuple[int, ...]:
        """(number of weights,)."""
        return (lstm.n_weights(self.hidden),)

    def initial_phi(self, generator: torch.Generator) -> Tensor:
        """Random weights, `(n,)`."""
        weights: Tensor = torch.randn(self.phi_shape, generator=generator, dtype=self.mdp.dtype, device=self.mdp.device)
        return weights / math.sqrt(self.hidden)

    def inner(self, phi: Tensor, theta: Tensor) -> Problem:
        """The MDP under the policy of θ."""
        return Problem(self.mdp, theta)

    def inner_update(
        self, phi: Tensor, theta: Tensor, oracle: Oracle, generator: Streams | Generators | None = None
    ) -> Tensor:
        """g(φ, θ), `(..., S, A)`, differentiable in both; errors as `field.weighted_trajectories`."""
        seen, weight = weighted_trajectories(self.inner(phi, theta), oracle, self.horizon, generator)
        chosen = log_prob(theta, seen.states, seen.actions).exp()
        reward = lookup(self.mdp.rewards, seen.states, seen.actions)
        inputs = stack([reward, chosen, self.mdp.discount[..., None, None]], -1)
        return score_sum(theta, seen, weight.unsqueeze(-1) * lstm.targets(phi, inputs, self.hidden))

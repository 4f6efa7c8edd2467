"""Exact values, gradients and Hessians of a tabular softmax policy: closed form, batched, differentiable.

Every function takes a policy as logits `theta` (..., S, A), π(·|s) = softmax(θ_s), whose leading dimensions
broadcast against the MDP's. With `horizon=None` the horizon is infinite; with `horizon=T` a return is the sum of
T discounted rewards plus γᵀ · terminal(s_T), where `terminal` (..., S) is zero by default.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab._validate import check_broadcast, check_finite, check_interval, check_like, check_trailing
from gmrl_lab.chain import Chain
from gmrl_lab.mdp import TabularMDP


def value(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """State values of the policy.

        V = (I − γ P_π)⁻¹ r_π,   or over T steps   V_t = r_π + γ P_π V_{t+1},  V_T = terminal

    Args:
        mdp: batch of MDPs, `(...)`.
        theta: policy logits, `(..., S, A)`.
        horizon, terminal: see the module.

    Returns:
        `(..., S)`, differentiable in `theta`, rewards, discount and `terminal`.

    Raises:
        ValueError: if `theta` or `terminal` has another shape, dtype or device than `mdp`, or is not finite.

    Taught in lesson 01.
    """
    chain = chain_of(mdp, theta, terminal=terminal)
    return chain.value() if horizon is None else chain.values(horizon, terminal)[0]


def action_value(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Action values of the policy, Q = R + γ P V, where V is one step shorter if the horizon is finite.

    Arguments and errors as for `value`.

    Returns:
        `(..., S, A)`, differentiable.

    Taught in lesson 01.
    """
    chain = chain_of(mdp, theta, terminal=terminal)
    return chain.action_value(chain.value() if horizon is None else chain.values(horizon, terminal)[1])


def occupancy(mdp: TabularMDP, theta: Tensor, horizon: int | None = None) -> Tensor:
    """Discounted state occupancy from the start state.

        d = (I − γ P_πᵀ)⁻¹ e_{s₀},   or over T steps   d = Σ_{t<T} γᵗ P(s_t = · | s₀)

    Returns:
        `(..., S)`, differentiable; sums to 1/(1 − γ), or to (1 − γᵀ)/(1 − γ).

    Taught in lesson 01.
    """
    chain = chain_of(mdp, theta)
    return chain.occupancy() if horizon is None else chain.visits(horizon).sum(0)


def objective(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Expected return from the start state, J = V(s₀).

    Arguments and errors as for `value`.

    Returns:
        `(...)`, differentiable.

    Taught in lesson 01.
    """
    return (mdp.start_distribution * value(mdp, theta, horizon, terminal)).sum(-1)


def gradient(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Exact policy gradient of the start-state value (the policy gradient theorem, Sutton et al. 2000).

        ∂J/∂θ[s, a] = d(s) · π(a|s) · (Q(s, a) − V(s)),   over T steps   Σ_t γᵗ d_t(s) · π(a|s) · (Q_t − V_t)(s, a)

    Arguments and errors as for `value`; `terminal` is held fixed, it is not differentiated.

    Returns:
        `(..., S, A)`, differentiable. Each row sums to zero.

    Taught in lesson 01.
    """
    return chain_of(mdp, theta, terminal=terminal).weighted_advantage(horizon, terminal).sum(0)


def hessian(mdp: TabularMDP, theta: Tensor, horizon: int | None = None, terminal: Tensor | None = None) -> Tensor:
    """Exact Hessian of the start-state value in the logits, in closed form: the sum of its `hessian_parts`.

        ∇²J = H₁ + H₂ + H₁₂ + H₁₂ᵀ

    Arguments and errors as for `gradient`.

    Returns:
        `(..., S·A, S·A)`, index s·A + a; symmetric, each row sums to zero over the actions of every state.

    Taught in lessons 01 and 05.
    """
    return hessian_parts(mdp, theta, horizon, terminal).total


class HessianParts(NamedTuple):
    """The parts of an exact Hessian, each `(..., S·A, S·A)`: what an estimator of it may keep or forget.

    `score` is H₁ and `curvature` H₂: both have blocks on the diagonal alone, one for each state. `across` is H₁₂, row
    the later step and column the earlier one.

    Taught in lesson 05.
    """

    score: Tensor
    curvature: Tensor
    across: Tensor

    @property
    def total(self) -> Tensor:
        """∇²J where λ = 1, whatever the baseline."""
        return self.score + self.curvature + self.across + self.across.transpose(-1, -2)


def hessian_parts(
    mdp: TabularMDP,
    theta: Tensor,
    horizon: int | None = None,
    terminal: Tensor | None = None,
    baseline: Tensor | None = None,
    lambda_: float = 1.0,
) -> HessianParts:
    """The exact Hessian in three parts, by where its two derivatives land (the paper's Appendix C, Eq. 18-21).

        H₁ = Σ_t γᵗ E[A_t g_t g_tᵀ],   H₂ = Σ_t γᵗ E[A_t ∇² log π_t],   H₁₂ = Σ_t γᵗ E[A_t g_t (Σ_{i<t} λᵗ⁻ⁱ g_i)ᵀ]

    with g_t = ∇ log π(a_t|s_t) and A_t = Q_t − baseline. The baseline moves weight between H₁ and H₂ alone: their sum,
    and H₁₂, are the same for each. AD keeps H₂, LVC H₁ + H₂, Loaded DiCE all; with λ < 1, what Loaded DiCE(λ) keeps.

    Args:
        mdp, theta, horizon, terminal: as for `gradient`.
        baseline: b, `(..., S)`; None for the policy's own value of the steps to go, for which H₂ = 0.
        lambda_: λ in [0, 1], which fades what lies far back; 1 for the true Hessian.

    Returns:
        `HessianParts`, differentiable.

    Raises:
        ValueError: as `value`, and if `baseline` has another shape, dtype or device than `mdp`, or is not finite; for λ
            outside [0, 1].

    Taught in lesson 05.
    """
    check_interval("lambda_", lambda_, 0.0, 1.0)
    chain = chain_of(mdp, theta, terminal=terminal, baseline=baseline)
    score, curvature = chain.same_time_hessians(horizon, terminal, baseline)
    return HessianParts(score, curvature, chain.across_time_hessian(horizon, terminal, lambda_))


def transition_matrix(mdp: TabularMDP, policy: Tensor) -> Tensor:
    """State-to-state transition probabilities P_π(s'|s) = Σ_a π(a|s) P(s'|s, a), `(..., S, S)`.

    Taught in lesson 01.
    """
    return torch.einsum("...sa,...sat->...st", policy, mdp.transitions)


def check_theta(mdp: TabularMDP, theta: Tensor, name: str = "theta") -> torch.Size:
    """The leading dimensions of both, once `theta` are finite logits (..., S, A) of the MDP's dtype and device."""
    check_trailing(name, theta, (mdp.n_states, mdp.n_actions))
    check_like(name, theta, "the MDP", mdp.transitions)
    check_finite(name, theta)
    return check_broadcast(name, theta.shape[:-2], "the MDP", mdp.batch_shape)


def chain_of(mdp: TabularMDP, theta: Tensor, **tables: Tensor | None) -> Chain:
    """The policy's chain with the whole batch, that of the value tables included."""
    batch = check_theta(mdp, theta)
    for name, table in tables.items():
        if table is not None:
            check_trailing(name, table, (mdp.n_states,))
            check_like(name, table, "the MDP", mdp.transitions)
            check_finite(name, table)
            batch = check_broadcast(name, table.shape[:-1], "the MDP and theta", batch)
    policy = theta.softmax(-1).expand(*batch, -1, -1)  # then all that follows has the whole batch
    return Chain(mdp, policy, transition_matrix(mdp, policy), (policy * mdp.rewards).sum(-1))


__all__ = [
    "HessianParts",
    "action_value",
    "gradient",
    "hessian",
    "hessian_parts",
    "objective",
    "occupancy",
    "transition_matrix",
    "value",
]

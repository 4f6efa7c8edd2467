"""Assumptions 4.1 to 4.3 as numbers: how steep a gradient is, how biased and noisy an estimate, how heavy a ratio."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_whole
from gmrl_lab.exact import transition_matrix
from gmrl_lab.flow import Flow
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.oracles import Oracle, Sampled
from gmrl_lab.problem import Problem
from gmrl_lab.rollout import enumerate_samples


class Moments(NamedTuple):
    """Mean error and variance of a gradient estimate, exact.

    Taught in lesson 07.
    """

    bias: Tensor
    """E ĝ − g, `(S, A)`."""
    variance: Tensor
    """tr Cov(ĝ), `()`; with one trajectory it is the σ²_In of Assumption 4.3."""


def steepness(field: Callable[[Tensor], Tensor], points: Tensor, event_dims: int = 2) -> Tensor:
    """Largest ‖f(x) − f(y)‖ / ‖x − y‖ over all pairs of points: a Lipschitz constant is at least this, `()`.

    Args:
        field: maps `(n, *x)` to `(n, *f)`, each row on its own; a gradient for Assumptions 4.1 and 4.2.
        points: `(n, *x)`, two or more, no two the same.
        event_dims: dimensions of one x, and of one f.

    Returns:
        The largest ratio that was seen: a lower bound from finitely many pairs, no certificate.

    Raises:
        ValueError: for fewer than two points.

    Taught in lesson 07.
    """
    if points.shape[0] < 2:
        raise bad("points", f"{points.shape[0]} points", "two or more")
    flat, values = points.flatten(-event_dims), field(points).flatten(-event_dims)
    ratio = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist") / torch.cdist(
        flat, flat, compute_mode="donot_use_mm_for_euclid_dist"
    )
    return ratio.nan_to_num(nan=0.0).max()  # a point and itself: 0/0


def gradient_moments(mdp: TabularMDP, theta: Tensor, oracle: Sampled, target: Oracle, acting_theta: Tensor) -> Moments:
    """Bias and variance of a sampled policy gradient, by every sample of a tiny MDP (Assumption 4.3).

    Args:
        mdp: one MDP.
        theta: logits of the policy whose gradient is wanted, `(S, A)`.
        oracle: estimator, n and horizon; trajectories of its own are not used. Its baseline must draw no fresh noise.
        target: whose exact θ-gradient is g, such as `Exact(horizon=2)`.
        acting_theta: logits of the policy that acts, `(S, A)`; `theta` itself is on-policy.

    Raises:
        ValueError: for a batch, too many samples, or a baseline with fresh noise.

    Taught in lesson 07.
    """
    if oracle.baseline is not None and oracle.baseline.is_random:
        raise bad("oracle", repr(oracle.baseline), "a baseline without fresh noise: noise=0.0, a fixed seed, or None")
    every, probability = enumerate_samples(mdp, acting_theta, oracle.horizon, oracle.n_trajectories)
    stored = Sampled(
        oracle.estimator,
        oracle.n_trajectories,
        oracle.horizon,
        oracle.gae_lambda,
        oracle.baseline,
        clip=oracle.clip,
        trajectories=every,
    )
    estimates = _gradient(stored, mdp, theta.expand(len(probability), *theta.shape))
    mean = torch.einsum("m,msa->sa", probability, estimates)
    spread = (probability * (estimates - mean).square().sum((-1, -2))).sum()
    return Moments(mean - _gradient(target, mdp, theta), spread)


def ratio_second_moment(mdp: TabularMDP, theta: Tensor, behaviour: Tensor, horizon: int) -> Tensor:
    """E_μ[ρ²_{0:T}], the second moment of the ratio of a whole trajectory, `(...)`; its mean is 1.

        E_μ[ρ²] = s₀ᵀ M^T 1,   M(s'|s) = Σ_a π(a|s)²/μ(a|s) · P(s'|s, a)

    n trajectories from μ are worth about n / E_μ[ρ²] of π's own (Kong 1992), and the moment grows like a power of T.

    Args:
        mdp: batch of MDPs.
        theta: logits of π, `(..., S, A)`.
        behaviour: μ, probabilities `(..., S, A)`.
        horizon: T.

    Raises:
        ValueError: for shapes that do not fit, or a μ that is 0 where π is not.

    Taught in lesson 07.
    """
    check_whole("horizon", horizon, 1)
    flow = Flow.of(mdp, theta, behaviour, None, horizon, 1.0)
    policy = flow.covered_policy()
    weights = torch.where(policy > 0, policy.square() / flow.behaviour, 0.0)
    matrix, state = transition_matrix(mdp, weights), flow.start
    for _ in range(horizon):
        state = (state.unsqueeze(-2) @ matrix).squeeze(-2)
    return state.sum(-1)


def _gradient(oracle: Oracle, mdp: TabularMDP, theta: Tensor) -> Tensor:
    leaf = theta.detach().clone().requires_grad_()
    return torch.autograd.grad(oracle.surrogate(Problem(mdp, leaf)).sum(), leaf)[0]


__all__ = ["Moments", "gradient_moments", "ratio_second_moment", "steepness"]

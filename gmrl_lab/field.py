"""Updates that are no gradient: E_τ[Σ_t y_t ∇ log π_θ(a_t|s_t)] for any y, over sampled trajectories or over all."""

import math

import torch
from torch import Tensor

from gmrl_lab._tensors import broadcast_shapes, split_last
from gmrl_lab._validate import bad
from gmrl_lab.estimators import AD, DiCE
from gmrl_lab.oracles import Exact, Expected, Oracle, Sampled
from gmrl_lab.problem import Problem
from gmrl_lab.rollout import Trajectories, check_stored, log_prob, sample
from gmrl_lab.seeding import Generators, Streams

MOST_PATHS = 256
"""Trajectories from a state that are summed over: those of two states and two actions in four steps."""


def weighted_trajectories(
    problem: Problem, oracle: Oracle, horizon: int, generator: Streams | Generators | None = None
) -> tuple[Trajectories, Tensor]:
    """Trajectories, and the weight of each in a mean: what an oracle is for an update that has no surrogate.

    `Exact` lists all trajectories with their probability, a function of θ. `Expected(AD())` holds the probability
    fixed, as automatic differentiation of a sample does; `Expected(DiCE())` does not. `Sampled` draws n of them:
    fixed weights 1/n for AD, with the ratio of the whole trajectory for DiCE, since y_t may read all of it. It
    matters: a constant y has g = 0 at every θ, and AD sees −y Σ_t d_t(s) (diag π − π πᵀ) as its derivative.

    Args:
        problem: a batch of MDPs, logits `(..., S, A)`.
        oracle: `Exact`, `Expected` or `Sampled`.
        horizon: T, for `Exact()` without a horizon of its own.

    Returns:
        Trajectories `(N, T)` or `(..., n, T)`, and weights `(..., N)` or `(..., n)`.

    Raises:
        ValueError: for another oracle or estimator, or more than MOST_PATHS trajectories to list.

    Taught in lesson 03.
    """
    if isinstance(oracle, Exact):
        return _all(problem, oracle.horizon or horizon)
    if not isinstance(oracle, Expected | Sampled):
        raise bad(
            "oracle", repr(oracle), "gl.Exact(), gl.Expected(...) or gl.Sampled(...): the update has no surrogate"
        )
    if not isinstance(oracle.estimator, AD | DiCE):
        raise bad("estimator", repr(oracle.estimator), "gl.AD() or gl.DiCE(): the update has no advantage")
    if isinstance(oracle, Expected):
        trajectories, weight = _all(problem, oracle.horizon)
        return trajectories, weight.detach() if isinstance(oracle.estimator, AD) else weight
    trajectories = _drawn(problem, oracle, generator)
    current = log_prob(problem.logits, trajectories.states, trajectories.actions).sum(-1)
    if isinstance(oracle.estimator, AD):
        return trajectories, torch.full_like(current.detach(), 1 / oracle.n_trajectories)
    return trajectories, (current - trajectories.behaviour_log_prob.sum(-1)).exp() / oracle.n_trajectories


def score_sum(theta: Tensor, trajectories: Trajectories, target: Tensor) -> Tensor:
    """Σ_n Σ_t y_t ∇ log π_θ(a_t|s_t), in closed form for the tabular softmax.

        W[s, a] − π(a|s) Σ_b W[s, b],   W[s, a] = Σ y_t over the steps where a was taken in s

    Args:
        theta: `(..., S, A)`.
        trajectories: `(..., n, T)`.
        target: y, `(..., n, T)`.

    Returns:
        `(..., S, A)`, differentiable in `theta` and `target`.

    Taught in lesson 03.
    """
    n_states, n_actions = theta.shape[-2:]
    index = (trajectories.states[..., :-1] * n_actions + trajectories.actions).flatten(-2)
    values = target.flatten(-2)
    batch = broadcast_shapes(theta.shape[:-2], index.shape[:-1], values.shape[:-1])
    empty = torch.zeros(*batch, n_states * n_actions, dtype=theta.dtype, device=theta.device)
    taken = empty.scatter_add(-1, index.expand(*batch, -1), values.expand(*batch, -1))
    table = split_last(taken, (n_states, n_actions))
    return table - theta.softmax(-1) * table.sum(-1, keepdim=True)


def _all(problem: Problem, horizon: int) -> tuple[Trajectories, Tensor]:
    """Every trajectory, and its probability under π_θ, differentiable: `(N, T)`, `(..., N)`."""
    mdp, n_states, n_actions = problem.mdp, problem.mdp.n_states, problem.mdp.n_actions
    n_pairs = n_states * n_actions
    if n_pairs**horizon > MOST_PATHS:
        asked = f"{n_states} states, {n_actions} actions, horizon {horizon}"
        raise bad(
            "horizon", asked, f"at most {MOST_PATHS} trajectories to list, such as 2 states, 2 actions, horizon 3"
        )
    sizes = [n_pairs] * horizon + [n_states]
    pairs, last = torch.cartesian_prod(*(torch.arange(n, device=mdp.device) for n in sizes)).split([horizon, 1], -1)
    states, actions = torch.cat([pairs // n_actions, last], -1), pairs % n_actions
    moves = mdp.transitions.flatten(-3)[..., pairs * n_states + states[:, 1:]].prod(-1)
    current = log_prob(problem.logits, states, actions).sum(-1)
    uniform = torch.full_like(actions, -math.log(n_actions), dtype=mdp.dtype)
    return Trajectories(states, actions, uniform), mdp.start_distribution[..., states[:, 0]] * moves * current.exp()


def _drawn(problem: Problem, oracle: Sampled, generator: Streams | Generators | None) -> Trajectories:
    if oracle.trajectories is not None:
        check_stored(oracle.trajectories, problem.mdp, problem.logits)
        return oracle.trajectories
    streams = Streams.of(generator, "Sampled")
    return sample(problem.mdp, problem.logits, oracle.n_trajectories, oracle.horizon, generator=streams.rollout)

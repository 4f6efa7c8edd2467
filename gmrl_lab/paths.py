"""Where the inner loop goes: θ⁰ … θ^K with exact or sampled updates, and every place where it can end."""

from dataclasses import replace

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_finite
from gmrl_lab.meta import EXACT, ROLES, begun, check_call
from gmrl_lab.oracles import Oracle, Sampled
from gmrl_lab.rollout import Trajectories, enumerate_samples, log_prob
from gmrl_lab.seeding import Generators, spawn_roles
from gmrl_lab.tasks import Task

MOST_PATHS = 40_000
"""Sequences of samples that `every_end` lists at most."""


def inner_path(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    inner: Oracle = EXACT,
    n_trials: int | None = None,
    generator: Generators | None = None,
) -> Tensor:
    """The inner parameters that the inner loop visits, without any derivative.

        θᵏ⁺¹ = θᵏ + α g(φ, θᵏ)   or   θ̂ᵏ⁺¹ = θ̂ᵏ + α ĝ(φ, θ̂ᵏ; τ_k)

    With the same generator these are the θ̂ᵏ of `meta_gradient`.

    Args:
        task, phi, n_inner_steps, inner_lr, inner, n_trials, generator: as for `meta_gradient`.

    Returns:
        `(K + 1, n_trials, *batch, *theta_shape)`, without the second for None.

    Raises:
        ValueError: as `meta_gradient`.

    Taught in lesson 04.
    """
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (inner, EXACT, EXACT), n_trials, generator).detach()
    streams, oracle = spawn_roles(generator, ROLES)["inner"], begun(inner)
    batch = leaf.shape[: leaf.ndim - len(task.phi_shape)]
    path = [task.theta_0(leaf).expand(*batch, *task.theta_shape)]
    for k in range(n_inner_steps):
        step = task.inner_update(leaf, path[-1].clone().requires_grad_(), oracle, streams).detach()
        path.append(path[-1] + inner_lr * step)
        check_finite("theta", path[-1], f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    return torch.stack(path)


def every_end(task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, inner: Sampled) -> tuple[Tensor, Tensor]:
    """Every θ̂^K that sampled inner steps can reach on a tiny MDP, and its probability: expectations without sampling.

    Args:
        task: of one MDP, with the policy θ.
        phi: one φ.
        n_inner_steps, inner_lr: K and α.
        inner: estimator, n and horizon; its baseline must draw no fresh noise.

    Returns:
        `(M, *theta_shape)` and `(M,)`, for M sequences of K samples.

    Raises:
        ValueError: for a batch, more than MOST_PATHS sequences, or a baseline with fresh noise.

    Taught in lesson 04.
    """
    if inner.baseline is not None and inner.baseline.is_random:
        raise bad("inner", repr(inner.baseline), "a baseline without fresh noise: noise=0.0, a fixed seed, or None")
    theta = task.theta_0(phi).detach().unsqueeze(0)
    mdp = task.inner(phi, theta[0]).mdp
    every, uniform = enumerate_samples(mdp, torch.zeros_like(theta[0]), inner.horizon, inner.n_trajectories)
    if len(uniform) ** n_inner_steps > MOST_PATHS:
        asked = f"{len(uniform)} samples in each of {n_inner_steps} steps"
        raise bad("n_inner_steps", asked, f"at most {MOST_PATHS} sequences: fewer steps, trajectories or a shorter T")
    chance = uniform / every.behaviour_log_prob.sum((-1, -2)).exp()  # without the policy: model and orders alone
    probability = torch.ones(1, dtype=theta.dtype, device=theta.device)
    for _ in range(n_inner_steps):
        here = theta.unsqueeze(1).expand(-1, len(chance), *task.theta_shape).clone().requires_grad_()
        drawn = _on_policy(every, here.detach())
        step = task.inner_update(phi.expand(*here.shape[:2], *phi.shape), here, replace(inner, trajectories=drawn))
        log_p = drawn.behaviour_log_prob.sum((-1, -2))
        probability = (probability.unsqueeze(-1) * chance * log_p.exp()).flatten()
        theta = (here + inner_lr * step).detach().flatten(0, 1)
    return theta, probability


def _on_policy(every: Trajectories, theta: Tensor) -> Trajectories:
    """The listed samples as ones of the policies θ `(B, M, S, A)`, `(B, M, n, T)`."""
    behaviour = log_prob(theta, every.states, every.actions)
    states = every.states.expand(*behaviour.shape[:-1], -1)
    return Trajectories(states, every.actions.expand_as(behaviour), behaviour)

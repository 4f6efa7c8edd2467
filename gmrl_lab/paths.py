"""Where the inner loop goes: θ⁰ … θ^K with exact or sampled updates, and every place where it can end."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_finite
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.meta import EXACT, ROLES, begun, check_call
from gmrl_lab.oracles import Oracle, Sampled
from gmrl_lab.problem import Problem
from gmrl_lab.reuse import Reused, ReusedRun
from gmrl_lab.rollout import Trajectories, enumerate_samples, log_prob
from gmrl_lab.seeding import Generators, Streams, spawn_roles
from gmrl_lab.tasks import Task

MOST_PATHS = 50_000
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


def every_end(
    task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, inner: Sampled | Reused | ReusedRun
) -> tuple[Tensor, Tensor]:
    """Every θ̂^K that sampled inner steps can reach on a tiny MDP, and its probability: expectations without sampling.

    Args:
        task: of one MDP, with the policy θ.
        phi: one φ.
        n_inner_steps, inner_lr: K and α.
        inner: estimator, n and horizon, with fresh samples or reused ones; its baseline must draw no fresh noise. A
            `Reused(…).begin()` has the effective sizes of all M ends afterwards.

    Returns:
        `(M, *theta_shape)` and `(M,)`, for M sequences of K samples.

    Raises:
        ValueError: for a batch, more than MOST_PATHS sequences, or a baseline with fresh noise.

    Taught in lesson 04.
    """
    run = inner.begin() if isinstance(inner, Reused) else inner
    own, buffer = (run, 0) if isinstance(run, Sampled) else (run.oracle.sampled, run.oracle.buffer)
    if own.baseline is not None and own.baseline.is_random:
        raise bad("inner", repr(own.baseline), "a baseline without fresh noise: noise=0.0, a fixed seed, or None")
    theta = task.theta_0(phi).detach()
    steps = _every_sequence(task.inner(phi, theta).mdp, theta, own, n_inner_steps, buffer)
    n_paths = len(steps[0].sample) if steps else 1
    theta, phi = theta.expand(n_paths, *theta.shape), phi.expand(n_paths, *phi.shape)
    probability = torch.ones(n_paths, dtype=theta.dtype, device=theta.device)
    for every, chance, sample in steps:
        states, actions = every.states[sample], every.actions[sample]
        drawn = Trajectories(states, actions, log_prob(theta, states, actions))
        oracle = replace(run, trajectories=drawn) if isinstance(run, Sampled) else _Given(run, drawn)
        here = theta.clone().requires_grad_()
        probability = probability * chance[sample] * drawn.behaviour_log_prob.sum((-1, -2)).exp()
        theta = theta + inner_lr * task.inner_update(phi, here, oracle).detach()
    return theta, probability


class _Step(NamedTuple):
    """Every sample of one step, the chance of its transitions and orders, and which one each sequence has here."""

    every: Trajectories
    chance: Tensor
    sample: Tensor


@dataclass(frozen=True, eq=False)
class _Given:
    """The next step of a run, with these as its fresh trajectories."""

    run: ReusedRun
    fresh: Trajectories
    is_random = False

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        return self.run.surrogate_with(self.fresh, problem)


def _every_sequence(mdp: TabularMDP, theta: Tensor, own: Sampled, n_inner_steps: int, buffer: int) -> list[_Step]:
    listed = {}
    sizes = [own.n_trajectories + (0 if k else buffer) for k in range(n_inner_steps)]
    for n in set(sizes):
        every, uniform = enumerate_samples(mdp, torch.zeros_like(theta), own.horizon, n)
        listed[n] = every, uniform / every.behaviour_log_prob.sum((-1, -2)).exp()  # without the policy's part
    counts = [len(listed[n][1]) for n in sizes]
    if math.prod(counts) > MOST_PATHS:
        allowed = f"at most {MOST_PATHS} sequences: fewer steps, trajectories or a shorter T"
        raise bad("n_inner_steps", f"{' · '.join(map(str, counts))} sequences of samples", allowed)
    ranges = [torch.arange(count, device=theta.device) for count in counts]
    grid = torch.meshgrid(ranges, indexing="ij") if ranges else ()
    return [_Step(*listed[n], sample.flatten()) for n, sample in zip(sizes, grid, strict=True)]

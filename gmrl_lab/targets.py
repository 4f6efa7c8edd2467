"""Which gradient is meant? The paper's target, the one of a learner with K samples, and what a short window sees.

With the paper (its Appendix B) the inner loop of the *target* takes expected updates, J^K(φ) = J^Out(φ, θ^K): EPG.
A learner that will adapt from n trajectories a step has another objective, the mean over those trajectories,

    J^{K-sample}(φ) = E_{τ_0 … τ_{K−1}}[J^Out(φ, θ̂^K(τ))],

whose gradient has a second part, since φ also moves the *probability* of what is sampled (E-MAML, Stadie et al. 2018).
"""

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_finite, check_whole
from gmrl_lab.estimators import DiCE
from gmrl_lab.mdp import TabularMDP
from gmrl_lab.meta import EXACT, check_call
from gmrl_lab.oracles import Exact, Oracle, Sampled
from gmrl_lab.rollout import Trajectories, enumerate_samples, log_prob, sample
from gmrl_lab.seeding import Generators, Streams, spawn_roles
from gmrl_lab.tasks import Task

MOST_SAMPLES = 40_000
"""Sequences of samples that `k_sample_objective` sums over at most."""


def k_sample_gradient(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    *,
    inner: Sampled,
    outer: Oracle = EXACT,
    score: float = 1.0,
    control: bool = False,
    n_trials: int | None = None,
    generator: Generators,
) -> Tensor:
    """Estimate of ∇_φ J^{K-sample}: the path of the samples themselves, plus a part for their probability.

        ∇_φ J^Out(φ, θ̂^K)  +  score · (J^Out(φ, θ̂^K) − b) · Σ_k ∇_φ log p(τ_k | θ̂ᵏ)

    Every derivative is total, through θ̂ᵏ⁺¹ = θ̂ᵏ + α ĝ(φ, θ̂ᵏ; τ_k) with τ_k held fixed, and log p is summed over the n
    trajectories. With AD in `inner` and `score` 1 it is unbiased (Stadie et al. 2018; the paper's Appendix B); at 0 it
    is what autodiff through the samples gives. Between them variance is traded for bias (Vuorio et al. 2021).

    Args:
        task, phi, n_inner_steps, inner_lr, n_trials, generator: as for `meta_gradient`.
        inner: samples and estimator of the inner update, without baseline, which would move with θ as well.
        outer: judges θ̂^K; its surrogate must have the return as its value: `Exact`, or `Sampled` with DiCE.
        score: coefficient of the second part, 0 for none.
        control: subtract b = J^Out(φ, θ⁰), which leaves the mean as it is and lowers the variance.

    Returns:
        `(n_trials, *batch, *phi_shape)` without the first for None, detached.

    Raises:
        ValueError: for an inner oracle with a baseline or stored trajectories for more than one step, an outer oracle
            whose value is no return, and as `meta_gradient`.

    Taught in lesson 07.
    """
    _check_oracles(inner, outer, n_inner_steps)
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (inner, inner, outer), n_trials, generator)
    streams = spawn_roles(generator, ("inner", "outer"))
    theta = _start(task, leaf)
    reference = EXACT.surrogate(task.outer(leaf, theta)).detach() if control else torch.zeros((), dtype=leaf.dtype)
    log_p = torch.zeros((), dtype=leaf.dtype, device=leaf.device)
    for k in range(n_inner_steps):
        problem = task.inner(leaf, theta)
        seen = inner.trajectories or _draw(inner, problem.mdp, theta, streams["inner"])
        surrogate = inner.estimator.surrogate(inner.steps(problem, seen))
        (step,) = torch.autograd.grad(surrogate.sum(), theta, create_graph=True)
        log_p = log_p + log_prob(theta, seen.states, seen.actions).sum((-1, -2))
        theta = theta + inner_lr * step
        check_finite("theta", theta, f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    reached = outer.surrogate(task.outer(leaf, theta), streams["outer"])
    objective = reached + score * (reached.detach() - reference) * log_p
    (gradient,) = torch.autograd.grad(objective.sum(), leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()


def k_sample_objective(
    task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, *, inner: Sampled, outer: Exact = EXACT
) -> Tensor:
    """J^{K-sample}(φ) exactly, by every sequence of samples of a tiny MDP, `()`; differentiable in φ.

    Args:
        task: of one MDP, no batch.
        phi: one φ.
        n_inner_steps, inner_lr: K and α.
        inner: the estimator, n and horizon of the inner update; nothing is drawn.
        outer: judges θ̂^K.

    Raises:
        ValueError: for a batch, or more than MOST_SAMPLES sequences; and for oracles as `k_sample_gradient`.

    Taught in lesson 07.
    """
    _check_oracles(inner, outer, n_inner_steps)
    mdp = task.inner(phi, task.theta_0(phi)).mdp
    uniform = torch.zeros(task.theta_shape, dtype=phi.dtype, device=phi.device)
    every, probability = enumerate_samples(mdp, uniform, inner.horizon, inner.n_trajectories)
    if len(probability) ** n_inner_steps > MOST_SAMPLES:
        asked = f"{len(probability)} samples in each of {n_inner_steps} steps"
        raise bad("n_inner_steps", asked, f"at most {MOST_SAMPLES} sequences: fewer steps, trajectories or a shorter T")
    chance = probability / every.behaviour_log_prob.sum((-1, -2)).exp()  # without the policy: model and orders alone
    theta, weight = task.theta_0(phi).unsqueeze(0), torch.ones(1, dtype=phi.dtype, device=phi.device)
    for _ in range(n_inner_steps):
        theta = theta.unsqueeze(1).expand(-1, len(chance), *task.theta_shape)  # each path so far, then each sample
        theta = theta if theta.requires_grad else theta.clone().requires_grad_()
        problem = task.inner(phi, theta)
        own = Sampled(inner.estimator, inner.n_trajectories, inner.horizon, inner.gae_lambda, None, trajectories=every)
        (step,) = torch.autograd.grad(own.surrogate(problem).sum(), theta, create_graph=True)
        log_p = log_prob(theta, every.states, every.actions).sum((-1, -2))
        weight = (weight.unsqueeze(-1) * chance * log_p.exp()).flatten()
        theta = (theta + inner_lr * step).flatten(0, 1)
    return (weight * outer.surrogate(task.outer(phi, theta))).sum()


def truncated_gradient(task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, window: int) -> Tensor:
    """The exact meta-gradient that a window of the last steps sees: what came before is taken as given.

        ∇_φ J^Out + α Σ_{i ≥ N − window} D_i Π_{j > i} (I + α H_j) v

    It drops the terms of Proposition 3.1 with i < N − window, and the start where the window does not reach it (the
    paper's Appendix B; Wu et al. 2018 on the bias of short horizons).

    Args:
        task, phi, inner_lr: as for `meta_gradient`.
        n_inner_steps: N, the lifetime.
        window: K of the N steps that are differentiated.

    Returns:
        `(*batch, *phi_shape)`.

    Raises:
        ValueError: for a window longer than the lifetime, and as `meta_gradient`.

    Taught in lesson 07.
    """
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (EXACT, EXACT, EXACT), None, None)
    check_whole("window", window, 0)
    if window > n_inner_steps:
        raise bad("window", window, f"a whole number from 0 to n_inner_steps = {n_inner_steps}")
    theta = _start(task, leaf)
    for k in range(n_inner_steps):
        if k >= n_inner_steps - window:
            theta = theta + inner_lr * task.inner_update(leaf, theta, EXACT)
            continue
        step = task.inner_update(leaf.detach(), theta.detach().requires_grad_(), EXACT)
        theta = (theta + inner_lr * step).detach().requires_grad_()
    surrogate = EXACT.surrogate(task.outer(leaf, theta))
    (gradient,) = torch.autograd.grad(surrogate.sum(), leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()


def _start(task: Task, leaf: Tensor) -> Tensor:
    batch = leaf.shape[: leaf.ndim - len(task.phi_shape)]
    theta = task.theta_0(leaf).expand(*batch, *task.theta_shape)
    return theta if theta.requires_grad else theta.clone().requires_grad_()


def _draw(inner: Sampled, mdp: TabularMDP, theta: Tensor, streams: Streams | None) -> Trajectories:
    rollout = Streams.of(streams, "Sampled").rollout
    return sample(mdp, theta, inner.n_trajectories, inner.horizon, generator=rollout)


def _check_oracles(inner: Oracle, outer: Oracle, n_inner_steps: int) -> None:
    if not isinstance(inner, Sampled) or inner.baseline is not None:
        raise bad("inner", repr(inner), "gl.Sampled(..., baseline=None): V̂ would move with θ, and the path with it")
    if inner.trajectories is not None and n_inner_steps > 1:
        raise bad("inner", "stored trajectories", "fresh ones where n_inner_steps > 1: each step has its own policy")
    if not (isinstance(outer, Exact) or (isinstance(outer, Sampled) and isinstance(outer.estimator, DiCE))):
        raise bad("outer", repr(outer), "gl.Exact() or gl.Sampled(gl.DiCE(), ...): its value must be the return")


__all__ = ["k_sample_gradient", "k_sample_objective", "truncated_gradient"]

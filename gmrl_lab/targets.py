"""Which gradient is meant? The paper's target, the one of a learner with K samples, and what a short window sees.

With the paper (its Appendix B) the inner loop of the *target* takes expected updates, J^K(φ) = J^Out(φ, θ^K): EPG.
A learner that will adapt from n trajectories a step has another objective, the mean over those trajectories,

    J^{K-sample}(φ) = E_{τ_0 … τ_{K−1}}[J^Out(φ, θ̂^K(τ))],

whose gradient has a second part, since φ also moves the *probability* of what is sampled (E-MAML, Stadie et al. 2018).
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from gmrl_lab._validate import bad, check_choice, check_finite, check_whole
from gmrl_lab.estimators import DiCE
from gmrl_lab.meta import EXACT, check_call
from gmrl_lab.oracles import Exact, Oracle, Sampled
from gmrl_lab.problem import Problem
from gmrl_lab.rollout import Trajectories, enumerate_samples, log_prob, sample
from gmrl_lab.seeding import Generators, Streams, spawn_roles
from gmrl_lab.tasks import Task

CONTROLS = ("none", "start", "end")

MOST_SEQUENCES = 40_000
"""Sequences of samples that are listed at most."""


def k_sample_gradient(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    *,
    inner: Sampled,
    outer: Oracle = EXACT,
    score: float = 1.0,
    control: str = "none",
    n_trials: int | None = None,
    generator: Generators,
) -> Tensor:
    """Estimate of ∇_φ J^{K-sample}: the path of the samples themselves, plus a part for their probability.

        ∇_φ J^Out(φ, θ̂^K)  +  score · (J^Out(φ, θ̂^K) − b) · Σ_k ∇_φ log p(τ_k | φ, θ̂ᵏ)

    Every derivative is total, through θ̂ᵏ⁺¹ = θ̂ᵏ + α ĝ(φ, θ̂ᵏ; τ_k) with τ_k held fixed, and log p is summed over the n
    trajectories. With AD in `inner` and `score` 1 it is unbiased (Stadie et al. 2018; the paper's Appendix B); at 0 it
    is what autodiff through the samples gives. Between them variance is traded for bias (Vuorio et al. 2021).

    Args:
        task: of Table 1, with the default update, the gradient of a surrogate.
        phi, n_inner_steps, inner_lr, n_trials, generator: as for `meta_gradient`.
        inner: samples and estimator of the inner update, without baseline, which would move with θ as well.
        outer: judges θ̂^K; its surrogate must have the return as its value: `Exact`, or `Sampled` with DiCE.
        score: coefficient of the second part, 0 for none.
        control: what b is, which leaves the mean as it is and changes the variance: "none" for 0, "start" for J^Out at
            θ⁰, "end" for J^Out at θ^K of the expected path. Without the last, the variance grows like n.

    Returns:
        `(n_trials, *batch, *phi_shape)` without the first for None, detached.

    Raises:
        ValueError: for a task with an update of its own, an inner oracle with a baseline or stored trajectories, an
            outer oracle whose value is no return, and as `meta_gradient`.

    Taught in lesson 07.
    """
    _check_kinds(task, inner, outer, control)
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (inner, inner, outer), n_trials, generator)
    streams = spawn_roles(generator, ("inner", "outer"))
    rollout = Streams.of(streams["inner"], "Sampled").rollout

    def draw(k: int, problem: Problem) -> Trajectories:
        return sample(problem.mdp, problem.logits, inner.n_trajectories, inner.horizon, generator=rollout)

    theta, log_p = _adapt(task, leaf, n_inner_steps, inner_lr, inner, draw)
    reached = outer.surrogate(task.outer(leaf, theta), streams["outer"])
    reference = _reference(task, leaf, n_inner_steps, inner_lr, inner.horizon, control)
    return _two_parts(leaf, reached, log_p, score, reference)


def every_estimate(
    task: Task,
    phi: Tensor,
    n_inner_steps: int = 1,
    inner_lr: float = 10.0,
    *,
    inner: Sampled,
    outer: Exact = EXACT,
    score: float = 1.0,
    control: str = "none",
) -> tuple[Tensor, Tensor]:
    """Every value that `k_sample_gradient` can take on a tiny MDP, with its probability: bias and variance exactly.

    Args:
        task, phi, n_inner_steps, inner_lr, outer, score, control: as for `k_sample_gradient`, without a batch.
        inner: estimator, n and horizon of the inner update; nothing is drawn.

    Returns:
        Estimates `(M, *phi_shape)` and probabilities `(M,)`, for M sequences of K samples, detached.

    Raises:
        ValueError: for a batch, more than MOST_SEQUENCES sequences, and as `k_sample_gradient`.

    Taught in lesson 07.
    """
    _check_kinds(task, inner, outer, control)
    steps, chance = _every_sequence(task, phi, n_inner_steps, inner)
    leaf = check_call(task, phi, n_inner_steps, inner_lr, (EXACT, EXACT, outer), len(chance), None)
    theta, log_p = _adapt(task, leaf, n_inner_steps, inner_lr, inner, lambda k, problem: steps[k])
    reached = outer.surrogate(task.outer(leaf, theta))
    reference = _reference(task, leaf, n_inner_steps, inner_lr, inner.horizon, control)
    return _two_parts(leaf, reached, log_p, score, reference), (chance * log_p.exp()).detach()


def k_sample_objective(
    task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, *, inner: Sampled, outer: Exact = EXACT
) -> Tensor:
    """J^{K-sample}(φ) exactly, by every sequence of samples of a tiny MDP, `()`; differentiable in φ.

    Arguments and errors as for `every_estimate`. With AD in `inner` its gradient, by autodiff through path and
    probabilities, is the target that `k_sample_gradient` estimates. LVC and DiCE take the same steps, so the value is
    the same, but they report another derivative of a step than its own.

    Taught in lesson 07.
    """
    _check_kinds(task, inner, outer)
    steps, chance = _every_sequence(task, phi, n_inner_steps, inner)
    each = phi.expand(len(chance), *task.phi_shape)
    theta, log_p = _adapt(task, each, n_inner_steps, inner_lr, inner, lambda k, problem: steps[k])
    return (chance * log_p.exp() * outer.surrogate(task.outer(each, theta))).sum()


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


def _start(task: Task, phi: Tensor) -> Tensor:
    batch = phi.shape[: phi.ndim - len(task.phi_shape)]
    theta = task.theta_0(phi).expand(*batch, *task.theta_shape)
    return theta if theta.requires_grad else theta.clone().requires_grad_()


def _adapt(
    task: Task,
    phi: Tensor,
    n_inner_steps: int,
    inner_lr: float,
    inner: Sampled,
    draw: Callable[[int, Problem], Trajectories],
) -> tuple[Tensor, Tensor]:
    """θ̂^K and Σ_k log p(τ_k | φ, θ̂ᵏ) without the MDP's own part, `(...)`, with the whole graph to φ."""
    theta = _start(task, phi)
    log_p = torch.zeros((), dtype=phi.dtype, device=phi.device)
    for k in range(n_inner_steps):
        problem = task.inner(phi, theta)
        seen = draw(k, problem)
        surrogate = inner.estimator.surrogate(inner.steps(problem, seen))
        (step,) = torch.autograd.grad(surrogate.sum(), theta, create_graph=True)
        log_p = log_p + log_prob(problem.logits, seen.states, seen.actions).sum((-1, -2))
        theta = theta + inner_lr * step
        check_finite("theta", theta, f" after inner step k = {k} with inner_lr α = {inner_lr:g}")
    return theta, log_p


def _two_parts(leaf: Tensor, reached: Tensor, log_p: Tensor, score: float, reference: Tensor) -> Tensor:
    """∇_φ of the outer value, plus `score` times what it exceeds the reference by, times ∇_φ log p."""
    objective = reached + score * (reached.detach() - reference) * log_p
    (gradient,) = torch.autograd.grad(objective.sum(), leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()


def _reference(task: Task, phi: Tensor, n_inner_steps: int, inner_lr: float, horizon: int, control: str) -> Tensor:
    """b: the outer value that is expected before, or after, K expected updates; or zero."""
    phi = phi.detach()
    if control == "none":
        return torch.zeros((), dtype=phi.dtype, device=phi.device)
    theta = _start(task, phi)
    for _ in range(n_inner_steps if control == "end" else 0):
        step = task.inner_update(phi, theta, Exact(horizon, bootstrap=False))
        theta = (theta + inner_lr * step).detach().requires_grad_()
    return EXACT.surrogate(task.outer(phi, theta)).detach()


def _every_sequence(task: Task, phi: Tensor, n_inner_steps: int, inner: Sampled) -> tuple[list[Trajectories], Tensor]:
    """All M sequences of K samples: those of each step `(M, n, T)`, and the MDP's own part of their probability `(M,)`.

    Samples that differ in their last states alone are one: without bootstrap nothing looks at these.
    """
    check_whole("n_inner_steps", n_inner_steps, 0)
    problem = task.inner(phi, task.theta_0(phi))
    every, probability = enumerate_samples(
        problem.mdp, torch.zeros_like(problem.logits), inner.horizon, inner.n_trajectories
    )
    chance = probability / every.behaviour_log_prob.sum((-1, -2)).exp()
    looked_at = torch.cat([every.states[..., :-1], every.actions], -1).flatten(1)
    kinds, kind = looked_at.unique(dim=0, return_inverse=True)
    chance = torch.zeros_like(chance[: len(kinds)]).index_add_(0, kind, chance)
    one_of_each = torch.zeros_like(kind[: len(kinds)]).scatter_(0, kind, torch.arange(len(kind), device=kind.device))
    if len(kinds) ** n_inner_steps > MOST_SEQUENCES:
        asked = f"{len(kinds)} samples in each of {n_inner_steps} steps"
        raise bad(
            "n_inner_steps", asked, f"at most {MOST_SEQUENCES} sequences: fewer steps, trajectories or a shorter T"
        )
    index = torch.tensor(
        [*itertools.product(range(len(kinds)), repeat=n_inner_steps)], device=kind.device, dtype=kind.dtype
    )
    parts = (every.states, every.actions, every.behaviour_log_prob)
    picked = [one_of_each[column] for column in index.T]
    return [Trajectories(*(part[rows] for part in parts)) for rows in picked], chance[index].prod(-1)


def _check_kinds(task: Task, inner: Oracle, outer: Oracle, control: str = "none") -> None:
    check_choice("control", control, CONTROLS)
    if isinstance(task, Task) and type(task).inner_update is not Task.inner_update:
        raise bad("task", repr(task), "a task whose update is the gradient of a surrogate")
    if not isinstance(inner, Sampled) or inner.baseline is not None or inner.trajectories is not None:
        raise bad(
            "inner", repr(inner), "gl.Sampled(..., baseline=None) without stored trajectories: V̂ would move with θ"
        )
    if not (isinstance(outer, Exact) or (isinstance(outer, Sampled) and isinstance(outer.estimator, DiCE))):
        raise bad("outer", repr(outer), "gl.Exact() or gl.Sampled(gl.DiCE(), ...): its value must be the return")


__all__ = ["every_estimate", "k_sample_gradient", "k_sample_objective", "truncated_gradient"]

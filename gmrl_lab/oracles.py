"""Oracles: three ways, and a sabotaged one, to supply a derivative of a problem's objective.

An oracle turns a `Problem` into a scalar whose automatic derivatives are used: `Exact` the true objective,
`Sampled` an estimator's surrogate on fresh trajectories, `Expected` that surrogate's expectation. Which oracle
gives the inner update, its Jacobian and the outer gradient is the whole of the paper's decomposition.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._tensors import broadcast_shapes
from gmrl_lab._validate import (
    bad,
    check_finite,
    check_interval,
    check_like,
    check_positive,
    check_trailing,
    check_whole,
)
from gmrl_lab.estimators import Estimator, ExpectedEstimator
from gmrl_lab.problem import PAPER_BASELINE, Baseline, Problem
from gmrl_lab.rollout import Trajectories, check_stored, lookup_pairs, pairs, paths
from gmrl_lab.seeding import Generators, Streams
from gmrl_lab.steps import Steps


class Oracle(Protocol):
    """Supplies a scalar per batch element whose automatic derivatives are used."""

    @property
    def is_random(self) -> bool:
        """Whether `surrogate` needs a generator."""
        ...

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """`(...)`, differentiable in whatever `problem` carries."""
        ...


@dataclass(frozen=True)
class Exact:
    """The true objective.

    Args:
        horizon: None for the infinite horizon; T for the T-step return.
        bootstrap: with a horizon, add γᵀ V(s_T) with V at the detached logits: the target that matches every
            estimator with a bootstrap. False adds nothing: the target of DiCE.

    Raises:
        ValueError: for a horizon below 1.

    Taught in lesson 02.
    """

    horizon: int | None = None
    bootstrap: bool = True
    is_random = False

    def __post_init__(self) -> None:
        if self.horizon is not None:
            check_whole("horizon", self.horizon, 1)

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """J(φ, θ), `(...)`."""
        terminal = None
        if self.horizon is not None and self.bootstrap:
            terminal = exact.value(problem.mdp, problem.logits.detach())
        objective = exact.objective(problem.mdp, problem.logits, self.horizon, terminal)
        return objective - _through_weights(problem, self.horizon, terminal) if problem.fixed_weights else objective


@dataclass(frozen=True, eq=False)
class Sampled:
    """An estimator's surrogate on trajectories rolled out from the detached policy.

    Args:
        estimator: anything with `surrogate(steps)`.
        n_trajectories: n, the sample size |τ|.
        horizon: T.
        gae_lambda: λ of the advantage estimate, in [0, 1].
        baseline: V̂; None for no baseline and no bootstrap. DiCE ignores it.
        grad_baseline: whether meta-parameters are differentiated through V̂.
        clip: cap on the off-policy weight π/μ of each step (its gradient is kept); None for none.
        trajectories: stored trajectories to use instead of fresh ones: the off-policy case.

    Raises:
        ValueError: for numbers outside their range, or an n or horizon that is not that of `trajectories`.

    Taught in lesson 02.
    """

    estimator: Estimator
    n_trajectories: int
    horizon: int = 20
    gae_lambda: float = 1.0
    baseline: Baseline | None = PAPER_BASELINE
    grad_baseline: bool = True
    clip: float | None = None
    trajectories: Trajectories | None = None

    def __post_init__(self) -> None:
        check_whole("n_trajectories", self.n_trajectories, 1)
        _check_settings(self.horizon, self.gae_lambda)
        if self.clip is not None:
            check_positive("clip", self.clip)
        stored = self.trajectories
        if stored is not None and (stored.n_trajectories, stored.horizon) != (self.n_trajectories, self.horizon):
            raise bad(
                "trajectories",
                f"n = {stored.n_trajectories}, horizon = {stored.horizon}",
                f"n_trajectories = {self.n_trajectories}, horizon = {self.horizon}, as this oracle",
            )

    @property
    def is_random(self) -> bool:
        """True, unless trajectories are stored and the baseline has no fresh noise."""
        return self.trajectories is None or _draws(_used(self.baseline, self.estimator))

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """The estimator's surrogate, `(...)`."""
        streams = Streams.of(generator, "Sampled") if self.is_random else None
        stored = self.trajectories
        if stored is not None:
            check_stored(stored, problem.mdp, problem.logits)
            return self.estimator.surrogate(self.steps(problem, stored, streams))
        assert streams is not None
        fresh = paths(problem.mdp, problem.logits, self.n_trajectories, self.horizon, streams.rollout)
        return self.estimator.surrogate(self._steps(problem, *fresh, None, streams))

    def steps(self, problem: Problem, trajectories: Trajectories, streams: Streams | None = None) -> Steps:
        """What the estimator sees of `trajectories` in `problem`."""
        behaviour = None if self.trajectories is None else trajectories.behaviour_log_prob
        return self._steps(problem, trajectories.states, trajectories.actions, behaviour, streams)

    def _steps(
        self, problem: Problem, states: Tensor, actions: Tensor, behaviour: Tensor | None, streams: Streams | None
    ) -> Steps:
        numbers = pairs(states, actions, problem.mdp.n_actions)
        current = lookup_pairs(problem.logits.log_softmax(-1), numbers)
        baseline = _used(self.baseline, self.estimator)
        values = _values(baseline, problem, self.grad_baseline, streams, self.n_trajectories)
        along = _along(values, states)
        if behaviour is not None and self.clip is not None:
            behaviour = torch.maximum(behaviour, current.detach() - math.log(self.clip))
        return Steps(
            log_prob=current,
            reward=lookup_pairs(problem.mdp.rewards, numbers),
            value=along[..., :-1],
            next_value=along[..., 1:],
            discount=problem.mdp.discount,
            behaviour_log_prob=behaviour,
            gae_lambda=self.gae_lambda if problem.gae_lambda is None else problem.gae_lambda,
            weight=_weights(problem.mdp.discount.detach(), self.horizon) if problem.fixed_weights else None,
        )


@dataclass(frozen=True)
class Expected:
    """An estimator's expected surrogate: `Sampled` with infinitely many trajectories ("B", bias only).

    Arguments as for `Sampled`, without n. With noise redrawn per trajectory the expectation is the noiseless one,
    since every surrogate is affine in V̂.

    Raises:
        ValueError: for numbers outside their range, or an estimator without `expected_surrogate`.

    Taught in lesson 02.
    """

    estimator: ExpectedEstimator
    horizon: int = 20
    gae_lambda: float = 1.0
    baseline: Baseline | None = PAPER_BASELINE
    grad_baseline: bool = True

    def __post_init__(self) -> None:
        _check_settings(self.horizon, self.gae_lambda)
        if not isinstance(self.estimator, ExpectedEstimator):
            raise bad("estimator", self.estimator, "an estimator with a method expected_surrogate")

    @property
    def is_random(self) -> bool:
        """Whether the value baseline draws noise at each call."""
        return _draws(self._mean_baseline())

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """The expectation of the estimator's surrogate, `(...)`."""
        streams = Streams.of(generator, "Expected with value noise") if self.is_random else None
        values = _values(self._mean_baseline(), problem, self.grad_baseline, streams, 1)
        own = {"fixed_weights": True} if problem.fixed_weights else {}  # a third party's estimator may not know it
        return self.estimator.expected_surrogate(
            problem.mdp,
            problem.logits,
            behaviour=problem.logits.detach().softmax(-1),
            baseline=values.squeeze(-2),
            horizon=self.horizon,
            gae_lambda=self.gae_lambda if problem.gae_lambda is None else problem.gae_lambda,
            **own,
        )

    def _mean_baseline(self) -> Baseline | None:
        baseline = _used(self.baseline, self.estimator)
        return replace(baseline, noise=0.0) if baseline and baseline.per == "trajectory" else baseline


@dataclass(frozen=True, eq=False)
class Perturbed:
    """Another oracle with a known error in its Hessian (the paper's Figure 2(d)).

    Adds mean(θ² ⊙ M) over the S·A logits to the surrogate, so that the Hessian is off by diag(2 M / (S·A)).

    Args:
        oracle: the oracle to disturb.
        curvature: M, a number or `(..., S, A)`.

    Raises:
        ValueError: if `curvature` is not finite, or no number and no table like the logits.

    Taught in lesson 05.
    """

    oracle: Oracle
    curvature: Tensor | float

    def __post_init__(self) -> None:
        check_finite("curvature", torch.as_tensor(self.curvature))

    @property
    def is_random(self) -> bool:
        """As the oracle within."""
        return self.oracle.is_random

    def surrogate(self, problem: Problem, generator: Streams | Generators | None = None) -> Tensor:
        """The surrogate of the oracle within, plus mean(θ² ⊙ M), `(...)`."""
        if isinstance(self.curvature, Tensor):
            check_like("curvature", self.curvature, "the policy", problem.logits)
            check_trailing("curvature", self.curvature, tuple(problem.logits.shape[-2:]) if self.curvature.ndim else ())
        return self.oracle.surrogate(problem, generator) + (problem.logits**2 * self.curvature).mean((-1, -2))


def _through_weights(problem: Problem, horizon: int | None, terminal: Tensor | None) -> Tensor:
    """Zero, with all derivatives but one: ∂_φ∂_θ is that part of ∂_φ∂_θ J which comes through the weights γᵗ alone.

    Σ_t (γᵗ − ⊥(γᵗ)) Σ_s P(s_t = s) Σ_a π_θ(a|s) A_t(s, a),   with P and A held fixed
    """
    chain = exact.chain_of(problem.mdp, problem.logits.detach())
    visits = chain.occupancy().unsqueeze(0) if horizon is None else chain.visits(horizon)
    advantage = chain.advantage(horizon, terminal).detach()
    gained = (problem.logits.softmax(-1) * advantage).sum(-1)
    return ((visits - visits.detach()) * gained).sum(-1).sum(0)


def _weights(discount: Tensor, horizon: int) -> Tensor:
    """γᵗ, `(..., 1, T)`."""
    return discount[..., None, None] ** torch.arange(horizon, dtype=discount.dtype, device=discount.device)


def _used(baseline: Baseline | None, estimator: Estimator) -> Baseline | None:
    """The baseline, or None for an estimator (DiCE) that says that it has no use for one."""
    return baseline if getattr(estimator, "uses_baseline", True) else None


def _draws(baseline: Baseline | None) -> bool:
    return baseline is not None and baseline.is_random


def _check_settings(horizon: int, gae_lambda: float) -> None:
    check_whole("horizon", horizon, 1)
    check_interval("gae_lambda", gae_lambda, 0.0, 1.0)


def _values(
    baseline: Baseline | None, problem: Problem, grad_baseline: bool, streams: Streams | None, n_trajectories: int
) -> Tensor:
    """V̂ as `(..., 1 or n, S)`, without φ unless `grad_baseline`."""
    if baseline is None:
        return torch.zeros_like(problem.logits.detach()[..., 0]).unsqueeze(-2)
    values = baseline.values(problem, None if streams is None else streams.noise, n_trajectories)
    return values if grad_baseline else values.detach()


def _along(values: Tensor, states: Tensor) -> Tensor:
    """V̂(s_0) … V̂(s_T) along trajectories, `(..., n, T + 1)`."""
    batch = broadcast_shapes(values.shape[:-2], states.shape[:-2])
    rows = states.shape[-2]
    return values.expand(*batch, rows, -1).gather(-1, states.expand(*batch, -1, -1))

"""Two courts for the bias of an estimator's gradient and Hessian: all samples of tiny MDPs, and many of the paper's.

Both compare the derivatives of a surrogate with those of the matching target, the T-step return with or without the
terminal value V̂(s_T).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from gmrl_lab import exact
from gmrl_lab._validate import bad, check_finite
from gmrl_lab.bench_report import FALSE_ALARM
from gmrl_lab.estimators import Estimator, ExpectedEstimator
from gmrl_lab.mdp import TabularMDP, random_mdp
from gmrl_lab.metrics import bias, covariance_trace
from gmrl_lab.oracles import Sampled
from gmrl_lab.problem import Baseline, Problem
from gmrl_lab.rollout import enumerate_samples
from gmrl_lab.seeding import generators

ORDERS = ("first", "second")
HORIZON, N_TRAJECTORIES = 20, 16
TINY_HORIZON, TINY_N_TRAJECTORIES, TINY_SEEDS = 3, 2, (0, 1, 2)


class Derivatives(NamedTuple):
    """Value `(...)`, gradient `(..., d)` and Hessian `(..., d, d)` of a surrogate, detached."""

    value: Tensor
    first: Tensor
    second: Tensor


def derivatives(surrogate: Callable[[Tensor], Tensor], theta: Tensor) -> Derivatives:
    """Of a surrogate at logits `(..., S, A)`, by double backward.

    Raises:
        ValueError: if the surrogate is no tensor `(...)`, is not finite, or has no graph to θ.
    """
    leaf = theta.detach().clone().requires_grad_()
    value = surrogate(leaf)
    _check_surrogate(value, leaf.shape[:-2])
    (gradient,) = torch.autograd.grad(value.sum(), leaf, create_graph=True, allow_unused=True)
    if gradient is None:
        raise bad("estimator", "a surrogate that does not depend on θ", "one with a graph to steps.log_prob")
    check_finite("estimator: the gradient of its surrogate", gradient)
    columns = gradient.flatten(-2).unbind(-1)
    rows = [torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0].flatten(-2) for column in columns]
    hessian = torch.stack(rows, -2)
    check_finite("estimator: the Hessian of its surrogate", hessian)
    return Derivatives(value.detach(), gradient.detach().flatten(-2), hessian)


def _check_surrogate(value: object, batch: torch.Size) -> None:
    if not isinstance(value, Tensor) or value.shape != batch:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        allowed = f"a tensor {tuple(batch)} from steps (..., n, T): sum over T, mean over n"
        raise bad("estimator", f"a surrogate of {got}", allowed)
    check_finite("estimator: its surrogate", value)
    if not value.requires_grad:
        raise bad("estimator", "a surrogate without a graph", "one that differentiates to steps.log_prob (no detach)")


def target(mdp: TabularMDP, theta: Tensor, horizon: int, terminal: Tensor | None) -> Derivatives:
    """Of the T-step return that ends in `terminal` values, or in nothing."""
    gradient = exact.gradient(mdp, theta, horizon, terminal).flatten(-2)
    value = exact.objective(mdp, theta, horizon, terminal)
    return Derivatives(value, gradient, exact.hessian(mdp, theta, horizon, terminal))


def gap(found: Tensor, truth: Tensor) -> float:
    """‖found − truth‖ / ‖truth‖."""
    return float((found - truth).norm() / truth.norm())


# --- all samples --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Tiny:
    """A problem small enough to list every sample: an MDP, the policy in question, the one that acts, and V̂."""

    mdp: TabularMDP
    theta: Tensor
    behaviour: Tensor
    seed: int

    @property
    def baseline(self) -> Baseline:
        """V̂ is off by a tenth of the paper's noise, the same at each call: no claim may lean on exact values."""
        return Baseline(noise=0.1, seed=self.seed)

    @property
    def values(self) -> Tensor:
        """V̂, `(S,)`."""
        return self.baseline.values(Problem(self.mdp, self.theta), None).squeeze(-2)

    def mean(self, estimator: Estimator) -> Derivatives:
        """E over all samples of n = 2 trajectories; two, so that an estimator may compare them with one another."""
        samples, probability = enumerate_samples(self.mdp, self.behaviour, TINY_HORIZON, TINY_N_TRAJECTORIES)
        baseline = self.baseline
        oracle = Sampled(estimator, TINY_N_TRAJECTORIES, TINY_HORIZON, baseline=baseline, trajectories=samples)
        copies = self.theta.expand(len(probability), -1, -1)
        found = derivatives(lambda theta: oracle.surrogate(Problem(self.mdp, theta)), copies)
        return Derivatives(*(torch.tensordot(probability, part, 1) for part in found))

    def closed_form_error(self, estimator: ExpectedEstimator, mean: Derivatives) -> float:
        """How far `expected_surrogate` is from the same mean: the worst of value, gradient and Hessian.

        The value is compared on the scale of the gradient: that of Loaded DiCE is zero on-policy.
        """
        values = self.values if getattr(estimator, "uses_baseline", True) else None
        policy = self.behaviour.softmax(-1)
        found = derivatives(
            lambda theta: estimator.expected_surrogate(self.mdp, theta, policy, values, TINY_HORIZON), self.theta
        )
        scales = (mean.first, mean.first, mean.second)
        return max(float((a - b).norm() / c.norm()) for a, b, c in zip(found, mean, scales, strict=True))

    def squares(self, found: Derivatives, order: str, bootstrap: bool) -> Tensor:
        """‖E ĝ − g‖² and ‖g‖² of one derivative, for the target with or without V̂ at its end."""
        truth = getattr(target(self.mdp, self.theta, TINY_HORIZON, self.values if bootstrap else None), order)
        return torch.stack([(getattr(found, order) - truth).square().sum(), truth.square().sum()])


def tiny_problems() -> Iterator[tuple[str, Tiny]]:
    """Three random MDPs, each on-policy and off-policy; the suffix says which."""
    for seed in TINY_SEEDS:
        mdp = random_mdp(2, 2, concentration=1.0, seed=seed)
        theta, step = torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        yield "", Tiny(mdp, theta, theta, seed)
        yield " off-policy", Tiny(mdp, theta, theta + 0.5 * step, seed)


# --- many samples -------------------------------------------------------------------------------------------------
class Tested(NamedTuple):
    """What samples say of one derivative; fields as of `Finding`."""

    squared_bias: float
    standard_error: float
    statistic: float
    critical: float
    resolution: float
    variance: float


def sample_test(
    estimator: Estimator, mdp: TabularMDP, baseline: Baseline, bootstrap: bool, n_trials: int, seed: int
) -> dict[str, Tested]:
    """Both orders at θ = 0 on the paper's MDP, from independent trials of n = 16 trajectories."""
    theta = torch.zeros(mdp.n_states, mdp.n_actions, dtype=mdp.dtype)
    oracle, streams = Sampled(estimator, N_TRAJECTORIES, HORIZON, baseline=baseline), generators(seed, n_trials)
    copies = theta.expand(n_trials, -1, -1)
    found = derivatives(lambda leaf: oracle.surrogate(Problem(mdp, leaf), streams), copies)
    truth = target(mdp, theta, HORIZON, terminal_values(mdp, theta, baseline) if bootstrap else None)
    return {order: _tested(getattr(found, order).flatten(1), getattr(truth, order).flatten()) for order in ORDERS}


def terminal_values(mdp: TabularMDP, theta: Tensor, baseline: Baseline) -> Tensor:
    """V̂ where it is fixed; its mean, the exact values, where its noise is redrawn: the target is affine in V̂."""
    fixed = Baseline(noise=0.0) if baseline.is_random or baseline.per == "trajectory" else baseline
    return fixed.values(Problem(mdp, theta), None).squeeze(-2)


def _tested(estimates: Tensor, truth: Tensor) -> Tested:
    """Two tests share `FALSE_ALARM`: of the error along the truth, and along the mean error of the first half of the
    trials, seen in the second. The second has power against a bias in any direction."""
    errors, half = estimates - truth, len(estimates) // 2
    along_truth = errors @ truth / truth.square().sum()
    along_error = errors[half:] @ errors[:half].mean(0)
    critical = student_quantile(1 - FALSE_ALARM / 4, len(along_error) - 1)
    scale = float(truth.square().sum())
    squared, error = (float(x) / scale for x in bias(estimates, truth))
    resolution = critical * float(along_truth.std() / len(along_truth) ** 0.5)
    variance = float(covariance_trace(estimates)) / scale
    statistic = max(t_statistic(along_truth), t_statistic(along_error))
    return Tested(squared, error, statistic, critical, resolution, variance)


def t_statistic(sample: Tensor) -> float:
    """|mean| in standard errors; infinite for a constant that is not zero, zero for zeros."""
    mean, error, size = sample.mean().abs(), sample.std() / len(sample) ** 0.5, sample.abs().max()
    if error <= 1e-12 * size:
        return 0.0 if mean == 0 else float("inf")
    return float(mean / error)


def student_quantile(probability: float, dof: int) -> float:
    """Of Student's t, from the normal quantile by the first three terms of Cornish and Fisher's expansion."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(sum(term / dof**power for power, term in enumerate(terms)))

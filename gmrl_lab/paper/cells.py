"""One point of each tabular experiment: settings and a seed in, a row for each MDP out."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab._validate import check_choice
from gmrl_lab.estimators import Estimator
from gmrl_lab.paper.settings import Table2
from gmrl_lab.permutations import permutations

ESTIMATORS: dict[str, Estimator] = {
    "AD": gl.AD(),
    "LVC": gl.LVC(),
    "DiCE": gl.DiCE(),
    "Loaded DiCE": gl.LoadedDiCE(),
    "TayPO-2": gl.TayPO2(),
}
"""By the name that tables and pictures use."""

TRAJECTORY_STEPS = 500_000
"""Steps of trajectories that are in memory together: about 150 MB with what autodiff keeps. Larger ones are slower."""
PUBLISHED_TRIALS = 10
"""Trials whose mean the published script takes for the expectation."""

Row = dict[str, object]


def maml(*, estimator: str, n_trajectories: int, parts: str, seed: int, **table2: float | str) -> list[Row]:
    """MAML's meta-gradient, a row for each MDP and each of `parts` ("SEE ESE"); the rest are fields of `Table2`."""
    table = Table2(**table2)  # type: ignore[arg-type]
    task, phi = gl.MAML(mdps(table)), _zeros(table)
    oracle = sampled(table, estimator, n_trajectories)
    names = tuple(parts.split())
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    for trials in _batches(seed, table.n_trials, table, n_trajectories):
        settings = (table.n_inner_steps, table.inner_lr, oracle, names)
        for name, x in permutations(task, phi, *settings, n_trials=len(trials), generator=trials).items():
            found[name].append(x)
    exact = gl.meta_gradient(task, phi, table.n_inner_steps, table.inner_lr)
    return [{"parts": name} | row for name, x in found.items() for row in _summaries(torch.cat(x), exact)]


def lirpg(
    *,
    estimator: str,
    n_trajectories: int,
    gae_lambda: float,
    grad_baseline: bool,
    seed: int,
    **table2: float | str,
) -> list[Row]:
    """LIRPG's meta-gradient at φ = 0 with sampled Jacobians and Hessians alone (ESE), a row for each MDP."""
    table = Table2(**table2)  # type: ignore[arg-type]
    task, phi = gl.LIRPG(mdps(table), _zeros(table)), _zeros(table)
    hessian = sampled(table, estimator, n_trajectories, gae_lambda, grad_baseline)
    step = (table.n_inner_steps, table.inner_lr)
    found = [
        gl.meta_gradient(task, phi, *step, hessian=hessian, n_trials=len(trials), generator=trials)
        for trials in _batches(seed, table.n_trials, table, n_trajectories)
    ]
    return list(_summaries(torch.cat(found), gl.meta_gradient(task, phi, *step)))


def compositional_bias(*, n_trajectories: int, seed: int, **table2: float | str) -> list[Row]:
    """MAML with sampled inner updates alone (SEE): the bias as published and debiased, a row for each MDP.

    The debiased one is measured against the target with the samples' own horizon, so that what is left is the
    composition; `horizon_squared` is the squared distance between that target and the infinite-horizon one.

    Taught in lesson 09.
    """
    table = Table2(**table2)  # type: ignore[arg-type]
    task, phi = gl.MAML(mdps(table)), _zeros(table)
    step = (table.n_inner_steps, table.inner_lr)
    inner = sampled(table, "LVC", n_trajectories)
    one_step = replace(table, n_inner_steps=1)  # a step's samples are gone when it is taken
    found = torch.cat(
        [
            gl.meta_gradient(task, phi, *step, inner=inner, n_trials=len(trials), generator=trials)
            for trials in _batches(seed, table.n_trials, one_step, n_trajectories)
        ]
    )
    exact = gl.meta_gradient(task, phi, *step)
    matched = gl.meta_gradient(task, phi, *step, inner=gl.Exact(table.horizon))
    published = (found[:PUBLISHED_TRIALS].mean(0) - exact).square().sum((-1, -2))
    horizon = (matched - exact).square().sum((-1, -2))
    rows = zip(_summaries(found, matched), published.tolist(), horizon.tolist(), strict=True)
    return [row | {"published_bias_squared": p, "horizon_squared": h} for row, p, h in rows]


def injected_error(*, curvature: float, n_draws: int, seed: int, **table2: float | str) -> list[Row]:
    """MAML, all exact but for a known error of the Hessian, diag(2M/(S·A)) with M = c + 0.3 N(0, 1), for each MDP.

    `hessian_error` is the norm of that error, `bias` that of what it does to the meta-gradient; means over the draws.

    Taught in lesson 09.
    """
    table = Table2(**table2)  # type: ignore[arg-type]
    task, phi = gl.MAML(mdps(table)), _zeros(table)
    step = (table.n_inner_steps, table.inner_lr)
    draws = torch.stack(
        [torch.randn(phi.shape, generator=one, dtype=phi.dtype) for one in gl.generators(seed, n_draws)]
    )
    wrong = curvature + 0.3 * draws
    hessian = gl.Perturbed(gl.Exact(), wrong.unsqueeze(1))
    exact = gl.meta_gradient(task, phi, *step)
    found = gl.meta_gradient(task, phi, *step, hessian=hessian, n_trials=n_draws)
    bias = (found - exact).flatten(2).norm(dim=-1)
    error = (2 * wrong.abs() / phi.numel()).amax((-1, -2))
    return [
        {"mdp": i, "bias": b.mean().item(), "bias_std": b.std().item(), "hessian_error": error.mean().item()}
        for i, b in enumerate(bias.unbind(1))
    ]


@lru_cache(maxsize=8)
def mdps(table: Table2) -> gl.TabularMDP:
    """MDPs 0 … n − 1, each from the seed of its number: the same whatever else is drawn."""
    return gl.random_mdp(table.n_states, table.n_actions, table.discount, table.concentration, seed=range(table.n_mdps))


def _zeros(table: Table2) -> Tensor:
    return torch.zeros(table.n_states, table.n_actions, dtype=torch.float64)


def sampled(
    table: Table2, estimator: str, n_trajectories: int, gae_lambda: float = 1.0, grad_baseline: bool = True
) -> gl.Sampled:
    """The oracle S of these settings."""
    check_choice("estimator", estimator, tuple(ESTIMATORS))
    baseline = gl.Baseline(table.value_noise, per=table.noise_per)
    return gl.Sampled(
        ESTIMATORS[estimator], n_trajectories, table.horizon, gae_lambda, baseline, grad_baseline=grad_baseline
    )


def _batches(seed: int, n_trials: int, table: Table2, n_trajectories: int) -> Iterator[list[torch.Generator]]:
    """Generators of all trials, as many at a time as fit into memory; the cut changes no number."""
    generators = gl.generators(seed, n_trials)
    steps = table.n_mdps * n_trajectories * table.horizon * max(table.n_inner_steps, 1)
    size = max(1, TRAJECTORY_STEPS // steps)
    for first in range(0, n_trials, size):
        yield generators[first : first + size]


def _summaries(estimates: Tensor, exact: Tensor) -> Iterator[Row]:
    """What M trials `(M, n_mdps, S, A)` say, MDP by MDP: accuracy, bias and variance, each under its own name."""
    pearson, cosine = (gl.accuracy(estimates, exact, kind, event_dims=2) for kind in ("pearson", "cosine"))
    bias, split = gl.bias(estimates, exact, event_dims=2), gl.mse_split(estimates, exact, event_dims=2)
    columns = {
        "pearson": pearson.mean(0),
        "pearson_std": pearson.std(0),
        "cosine": cosine.mean(0),
        "cosine_std": cosine.std(0),
        "covariance_trace": gl.covariance_trace(estimates, event_dims=2),
        "sum_of_std": gl.sum_of_std(estimates, event_dims=2),
        "bias_squared": bias.squared_norm,
        "bias_squared_error": bias.standard_error,
        "mse": split.mse,
        "exact_squared": exact.square().sum((-1, -2)),
    }
    for i in range(estimates.shape[1]):
        yield {"mdp": i} | {name: column[i].item() for name, column in columns.items()}

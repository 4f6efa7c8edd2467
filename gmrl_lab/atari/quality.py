"""How good is the meta-gradient at a frozen checkpoint: bias, variance and direction of AD and LVC (Fig. 1(c, d)).

    table = meta_gradient_quality("runs/qbert/checkpoint.pt", n_windows=(16, 64, 256), n_inner=5, inner_lr=…)

φ = (γ, λ) of the inner update, at (γ of the outer objective, 1). The objective is that of T steps from fixed start
states, with the frozen critic V̂ at the end, and the inner steps are plain gradient ascent on fresh windows:

    J(γ, θ) = E_{s₀, π_θ}[Σ_{t<T} γᵗ r_t + γᵀ V̂(s_T)],   θᵏ⁺¹ = θᵏ + α ∇_θ Ĵ(φ, θᵏ),   wanted: ∇_φ J(γ, θᴷ)

At λ = 1 Loaded DiCE has the right derivatives in θ, γ and λ, so that with many windows it tends to the truth. AD with
more windows does not: it tends to its own bias. On a tabular MDP, where the truth is known, a test shows both.
"""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from gmrl_lab import metrics
from gmrl_lab._validate import check_positive, check_whole
from gmrl_lab.atari.windows import HORIZON, Source, TabularSource, Windows
from gmrl_lab.estimators import AD, LVC, Estimator, LoadedDiCE
from gmrl_lab.learners.optimisers import Parameters
from gmrl_lab.mdp import random_mdp
from gmrl_lab.seeding import Generators, generators
from gmrl_lab.sweep import Scalar, sweep

ESTIMATORS: Mapping[str, Estimator] = {"AD": AD(), "LVC": LVC(), "LoadedDiCE": LoadedDiCE(1.0)}
"""What is measured. All three draw the same windows and take the same inner steps; their second derivatives differ."""
REFERENCE = "LoadedDiCE"
META = ("discount", "gae_lambda")
TRIALS_PER_CELL = 4
CHUNK = 256
"""Windows that are differentiated at a time."""


def meta_gradients(
    source: Source, n_windows: int, n_inner: int, inner_lr: float, generator: Generators
) -> dict[str, Tensor]:
    """Meta-gradients after 1 … K inner steps, by each estimator, from the same fresh windows.

        Dᵏ⁺¹ = Dᵏ + α (Ĥᵏ Dᵏ + ∂_φ ĝᵏ),   D⁰ = 0,   ĝ_φ = Dᴷᵀ ĝᴷ

    with D = ∂θ/∂φ carried forward (Prop. 3.1 multiplied from the left), so that memory does not grow with K. The
    windows that give the outer gradient after K steps are new to θᴷ and Dᴷ; they then make the inner step K + 1.

    Args:
        source: policy, critic and windows.
        n_windows: n, of each update.
        n_inner: K.
        inner_lr: α.
        generator: one, or a list with one for each trial (tabular sources).

    Returns:
        For each estimator `(K, *trials, 2)`.

    Taught in lesson 14.
    """
    batch = (len(generator),) if isinstance(generator, Sequence) else ()
    theta = {name: x.expand(*batch, *x.shape) for name, x in source.parameters.items()}
    dtype = next(iter(theta.values())).dtype
    phi = torch.tensor([source.discount, 1.0], dtype=dtype).expand(*batch, 2)
    zero = [{name: torch.zeros_like(x) for name, x in theta.items()} for _ in META]
    tangents = dict.fromkeys(ESTIMATORS, zero)
    found: dict[str, list[Tensor]] = {name: [] for name in ESTIMATORS}
    for k in range(n_inner + 1):
        windows = source.draw(theta, n_windows, generator)
        gradient, moves = _derivatives(source, windows, theta, phi, tangents)
        if k:
            for name, tangent in tangents.items():
                found[name].append(torch.stack([_dot(each, gradient, len(batch)) for each in tangent], -1))
        theta = _add(theta, gradient, inner_lr)
        tangents = {
            name: [_add(each, move, inner_lr) for each, move in zip(tangent, moves[name], strict=True)]
            for name, tangent in tangents.items()
        }
    return {name: torch.stack(each) for name, each in found.items()}


def exact_meta_gradients(source: TabularSource, n_inner: int, inner_lr: float) -> Tensor:
    """The truth on a tabular MDP, `(K, 2)`: exact inner gradients, differentiated exactly.

    The inner gradient is the expectation over all T-step windows in closed form (Loaded DiCE's, λ = 1).

    Taught in lesson 14.
    """
    phi = torch.tensor([source.discount, 1.0], dtype=source.critic.dtype, requires_grad=True)
    parameters = {name: x.detach().requires_grad_() for name, x in source.parameters.items()}
    found = []
    for _ in range(n_inner):
        value = _expected(source, parameters, phi)
        gradients = torch.autograd.grad(value, list(parameters.values()), create_graph=True)
        parameters = _add(parameters, dict(zip(parameters, gradients, strict=True)), inner_lr)
        outer = _expected(source, parameters, phi.detach())
        found.append(torch.autograd.grad(outer, phi, retain_graph=True)[0])
    return torch.stack(found)


def meta_gradient_quality(
    source: str | os.PathLike[str],
    n_windows: Sequence[int] = (16, 64, 256),
    n_inner: int = 5,
    inner_lr: float = 1.0,
    n_trials: int = 32,
    n_reference: int = 2048,
    n_references: int = 8,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Bias, variance and direction of the meta-gradient of AD, LVC and Loaded DiCE at a frozen policy.

    Args:
        source: a checkpoint of a training run, or "RandomMDP".
        n_windows: sample sizes n.
        n_inner: K; all of 1 … K are measured.
        inner_lr: α of the plain gradient steps.
        n_trials: independent meta-gradients at each n.
        n_reference, n_references: windows of the reference's updates, and how many independent ones make it.
        seed: of all windows.
        cache: a folder for finished cells, from which an interrupted measurement goes on.
        n_jobs, progress: as for `sweep`.

    Returns:
        A row for each n, estimator and K: `bias_squared` (debiased, of estimate and reference), `variance`, `cosine`
        (mean over trials) with `_se` (jackknife over trials and references), and `reference_norm`.

    Raises:
        ValueError: for numbers out of range, or a file that is no checkpoint.

    Taught in lesson 14.
    """
    for name, value, least in (("n_inner", n_inner, 1), ("n_trials", n_trials, 3), ("n_references", n_references, 3)):
        check_whole(name, value, least)
    check_positive("inner_lr", inner_lr)
    common: dict[str, Scalar] = {"source": os.fspath(source), "n_inner": n_inner, "inner_lr": inner_lr}
    sizes = [*((n, n_trials, "estimate") for n in n_windows), (n_reference, n_references, "reference")]
    grid: list[dict[str, Scalar]] = [
        {**common, "n_windows": n, "role": role, "first": first, "trials": min(TRIALS_PER_CELL, total - first)}
        for n, total, role in sizes
        for first in range(0, total, TRIALS_PER_CELL)
    ]
    return compare(sweep(_quality, grid, seed=seed, cache=cache, n_jobs=n_jobs, progress=progress))


def compare(trials: pd.DataFrame) -> pd.DataFrame:
    """The table of `meta_gradient_quality` from single meta-gradients, a row each.

    Args:
        trials: columns `role` ("estimate" or "reference"), `n_windows`, `estimator`, `K`, `discount`, `gae_lambda`.

    Taught in lesson 14.
    """
    wanted = trials[(trials["role"] == "reference") & (trials["estimator"] == REFERENCE)]
    references = {int(k): _vectors(wanted[wanted["K"] == k]) for k in wanted["K"].unique()}
    rows = []
    groups = trials[trials["role"] == "estimate"].groupby(["n_windows", "estimator", "K"])
    for (n, estimator, k), group in groups:
        estimates, reference = _vectors(group), references[int(group["K"].iloc[0])]
        values, errors = _statistics(estimates, reference), _jackknife(estimates, reference)
        row: dict[str, object] = {"n_windows": n, "estimator": estimator, "K": k}
        for name, value, error in zip(("bias_squared", "variance", "cosine"), values, errors, strict=True):
            row |= {name: value.item(), f"{name}_se": error.item()}
        rows.append(row | {"reference_norm": reference.mean(0).norm().item(), "n_trials": len(group)})
    return pd.DataFrame(rows)


def _quality(
    source: str, n_windows: int, role: str, first: int, trials: int, n_inner: int, inner_lr: float, seed: int
) -> list[dict[str, object]]:
    """A cell: some trials, a row for each, each estimator and each K."""
    opened, own = open_source(source), generators(seed, trials)
    if opened.batched:
        found = meta_gradients(opened, n_windows, n_inner, inner_lr, own)
    else:
        each = [meta_gradients(opened, n_windows, n_inner, inner_lr, one) for one in own]
        found = {name: torch.stack([trial[name] for trial in each], 1) for name in ESTIMATORS}
    return [
        {"trial": first + i, "estimator": name, "K": k + 1} | dict(zip(META, values[k, i].tolist(), strict=True))
        for name, values in found.items()
        for k in range(n_inner)
        for i in range(trials)
    ]


@lru_cache(maxsize=1)
def open_source(source: str) -> Source:
    """A checkpoint, or "RandomMDP": the paper's (Table 2), from any state, with a uniform policy and a wrong critic."""
    if source == "RandomMDP":
        mdp = random_mdp(seed=0)
        start = torch.full((mdp.n_states,), 1 / mdp.n_states, dtype=mdp.dtype)
        generator = torch.Generator().manual_seed(0)
        theta, noise = (torch.randn(size, generator=generator, dtype=mdp.dtype) for size in (mdp.rewards.shape, 20))
        return TabularSource(mdp.replace(start_state=start), theta, mdp.rewards.mean(-1) / (1 - mdp.discount) + noise)
    from gmrl_lab.atari.emulator import EmulatorSource

    return EmulatorSource.load(Path(source))


def _derivatives(
    source: Source, windows: Windows, theta: Parameters, phi: Tensor, tangents: Mapping[str, list[Parameters]]
) -> tuple[Parameters, dict[str, list[Parameters]]]:
    """ĝ, and for each estimator and each φ_j: Ĥ D_j + ∂ĝ/∂φ_j; means over all windows, some at a time."""
    gradient: Parameters = {}
    moves: dict[str, list[Parameters]] = {name: [{} for _ in META] for name in tangents}
    total = windows.actions.shape[-2]
    for part in windows.split(CHUNK):
        share = part.actions.shape[-2] / total
        leaf = {name: x.detach().requires_grad_() for name, x in theta.items()}
        values, own_phi = list(leaf.values()), phi.detach().requires_grad_()
        steps = part.steps(source.network, leaf, *own_phi.unbind(-1))
        for name, tangent in tangents.items():
            surrogate = ESTIMATORS[name].surrogate(steps).sum()
            *slopes, by_phi = torch.autograd.grad(surrogate, [*values, own_phi], create_graph=True)
            for j, direction in enumerate(tangent):
                along = sum(
                    ((direction[key] * x).sum() for key, x in zip(leaf, slopes, strict=True)), by_phi[..., j].sum()
                )
                move = torch.autograd.grad(along, values, retain_graph=True)
                moves[name][j] = _add(moves[name][j], dict(zip(leaf, move, strict=True)), share)
        gradient = _add(gradient, {key: x.detach() for key, x in zip(leaf, slopes, strict=True)}, share)
    return gradient, moves


def _expected(source: TabularSource, parameters: Parameters, phi: Tensor) -> Tensor:
    mdp = source.mdp.replace(discount=phi[0])
    theta = source.theta(parameters)
    return LoadedDiCE(1.0).expected_surrogate(mdp, theta, None, source.critic, HORIZON, phi[1])


def _add(a: Parameters, b: Parameters, factor: float) -> Parameters:
    """a + factor · b; nothing counts as zero."""
    return {name: a[name] + factor * x if a else factor * x for name, x in b.items()}


def _dot(a: Parameters, b: Parameters, n_batch_dims: int) -> Tensor:
    return torch.stack([(a[name] * b[name]).flatten(n_batch_dims).sum(-1) for name in a]).sum(0)


def _vectors(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[list(META)].to_numpy(), dtype=torch.float64)


def _statistics(estimates: Tensor, reference: Tensor) -> Tensor:
    """Debiased squared bias, variance, mean cosine; the noise of both samples is taken out of the first."""
    target = reference.mean(0)
    excess = metrics.covariance_trace(reference) / len(reference)
    squared = metrics.bias(estimates, target).squared_norm - excess
    cosine = metrics.accuracy(estimates, target, kind="cosine").mean()
    return torch.stack([squared, metrics.covariance_trace(estimates), cosine])


def _jackknife(estimates: Tensor, reference: Tensor) -> Tensor:
    """Standard errors, from leaving out each estimate and each reference in turn."""
    without = [_statistics(_but(estimates, i), reference) for i in range(len(estimates))]
    other = [_statistics(estimates, _but(reference, i)) for i in range(len(reference))]
    return torch.stack([_spread(torch.stack(part)) for part in (without, other)]).sum(0).sqrt()


def _spread(values: Tensor) -> Tensor:
    return (values - values.mean(0)).square().sum(0) * (len(values) - 1) / len(values)


def _but(x: Tensor, i: int) -> Tensor:
    return torch.cat([x[:i], x[i + 1 :]])

"""How good is the meta-gradient at a frozen checkpoint: bias, variance and direction of AD and LVC (Fig. 1(c, d)).

    grow(EmulatorSource.load("runs/qbert/checkpoint.pt")).save("qbert.npz")          # gmrl_lab.atari.grow
    table = meta_gradient_quality("qbert.npz", n_windows=(16, 64, 256), n_inner=5, inner_lr=…)

φ = (γ, λ) of the inner update, at (γ of the outer objective, 1). The objective is that of T steps from fixed start
states, with the frozen critic V̂ at the end, and the inner steps are plain gradient ascent on fresh windows:

    J(γ, θ) = E_{s₀, π_θ}[Σ_{t<T} γᵗ r_t + γᵀ V̂(s_T)],   θᵏ⁺¹ = θᵏ + α ∇_θ Ĵ(φ, θᵏ),   wanted: ∇_φ J(γ, θᴷ)

At λ = 1 Loaded DiCE has the right derivatives in θ, γ and λ, so that with many windows it tends to the truth. AD with
more windows does not: it tends to its own bias. Where all windows can be summed over, on a tabular MDP and on the graph
of a deterministic game, the truth is exact, and so is what each estimator tends to.
"""

import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from gmrl_lab import metrics
from gmrl_lab._validate import bad, check_choice, check_positive, check_whole
from gmrl_lab.atari.recursion import ESTIMATORS, META, REFERENCE, expected_meta_gradients, meta_gradients
from gmrl_lab.atari.tree import GameTree
from gmrl_lab.atari.windows import KnownSource, Source, TabularSource
from gmrl_lab.mdp import random_mdp
from gmrl_lab.seeding import generators
from gmrl_lab.sweep import Scalar, sweep

TRIALS_PER_CELL = 4


def meta_gradient_quality(
    source: str | os.PathLike[str],
    n_windows: Sequence[int] = (16, 64, 256),
    n_inner: int = 5,
    inner_lr: float = 1.0,
    n_trials: int = 32,
    reference: str = "exact",
    n_reference: int = 2048,
    n_references: int = 8,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Bias, variance and direction of the meta-gradient of AD, LVC and Loaded DiCE at a frozen policy.

    Args:
        source: the file of a `GameTree`, a checkpoint of a training run, or "RandomMDP".
        n_windows: sample sizes n.
        n_inner: K; all of 1 … K are measured.
        inner_lr: α of the plain gradient steps.
        n_trials: independent meta-gradients at each n.
        reference: "exact", for sources whose windows can all be summed over; or "LoadedDiCE", a sampled one, for
            checkpoints of games whose graph is too large.
        n_reference, n_references: windows of a sampled reference's updates, and how many independent ones make it.
        seed: of all windows.
        cache: a folder for finished cells, from which an interrupted measurement goes on.
        n_jobs, progress: as for `sweep`.

    Returns:
        A row for each n, estimator and K: `bias_squared` (debiased, of estimate and reference), `variance`, `cosine`
        (mean over trials) with `_se` (jackknife over trials and references), `reference_norm` and `n_trials`. With an
        exact reference there are also rows with n = ∞: what each estimator tends to.

    Raises:
        ValueError: for numbers out of range, a file that is neither tree nor checkpoint, or a checkpoint with an exact
            reference.

    Taught in lesson 14.
    """
    for name, value, least in (("n_inner", n_inner, 1), ("n_trials", n_trials, 3), ("n_references", n_references, 3)):
        check_whole(name, value, least)
    check_positive("inner_lr", inner_lr)
    check_choice("reference", reference, ("exact", REFERENCE))
    if reference == "exact" and not isinstance(open_source(os.fspath(source)), KnownSource):
        raise bad("reference", "'exact' for a checkpoint", f"{REFERENCE!r}, or the file of a tree: see `grow`")
    common: dict[str, Scalar] = {"source": os.fspath(source), "n_inner": n_inner, "inner_lr": inner_lr}
    compared = (0, 1, "expected") if reference == "exact" else (n_reference, n_references, "reference")
    sizes = [*((n, n_trials, "estimate") for n in n_windows), compared]
    grid: list[dict[str, Scalar]] = [
        {**common, "n_windows": n, "role": role, "first": first, "trials": min(TRIALS_PER_CELL, total - first)}
        for n, total, role in sizes
        for first in range(0, total, TRIALS_PER_CELL)
    ]
    trials = sweep(_quality, grid, seed=seed, paired=("source",), cache=cache, n_jobs=n_jobs, progress=progress)
    return compare(trials)


def compare(trials: pd.DataFrame) -> pd.DataFrame:
    """The table of `meta_gradient_quality` from single meta-gradients, a row each.

    Args:
        trials: columns `role`, `n_windows`, `estimator`, `K`, `discount`, `gae_lambda`. Roles: "estimate"; "reference",
            samples of the truth; "expected", what each estimator tends to, and of Loaded DiCE the truth itself.

    Taught in lesson 14.
    """
    wanted = trials[(trials["role"] != "estimate") & (trials["estimator"] == REFERENCE)]
    references = {int(k): _vectors(wanted[wanted["K"] == k]) for k in wanted["K"].unique()}
    rows = []
    groups = trials[trials["role"] != "reference"].groupby(["role", "n_windows", "estimator", "K"])
    for (role, n, estimator, k), group in groups:
        estimates, reference = _vectors(group), references[int(group["K"].iloc[0])]
        values, errors = _statistics(estimates, reference), _jackknife(estimates, reference)
        row: dict[str, object] = {"n_windows": n if role == "estimate" else math.inf, "estimator": estimator, "K": k}
        for name, value, error in zip(("bias_squared", "variance", "cosine"), values, errors, strict=True):
            row |= {name: value.item(), f"{name}_se": error.item()}
        rows.append(row | {"reference_norm": reference.mean(0).norm().item(), "n_trials": len(group)})
    return pd.DataFrame(rows)


def _quality(
    source: str, n_windows: int, role: str, first: int, trials: int, n_inner: int, inner_lr: float, seed: int
) -> list[dict[str, object]]:
    """A cell: some trials, a row for each, each estimator and each K."""
    opened, own = open_source(source), generators(seed, trials)
    if role == "expected":
        assert isinstance(opened, KnownSource)
        exact = opened.to(torch.float64) if isinstance(opened, GameTree) else opened
        expected = expected_meta_gradients(exact, n_inner, inner_lr)
        found = {name: values.unsqueeze(1) for name, values in expected.items()}
    elif opened.batched:
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
    """A tree, a checkpoint, or "RandomMDP": the paper's (Table 2), from any state, with a critic that is wrong."""
    if source == "RandomMDP":
        mdp = random_mdp(seed=0)
        start = torch.full((mdp.n_states,), 1 / mdp.n_states, dtype=mdp.dtype)
        generator = torch.Generator().manual_seed(0)
        theta, noise = (torch.randn(size, generator=generator, dtype=mdp.dtype) for size in (mdp.rewards.shape, 20))
        return TabularSource(mdp.replace(start_state=start), theta, mdp.rewards.mean(-1) / (1 - mdp.discount) + noise)
    if source.endswith(".npz"):
        return GameTree.load(Path(source))
    from gmrl_lab.atari.emulator import EmulatorSource

    return EmulatorSource.load(Path(source))


def _vectors(rows: pd.DataFrame) -> Tensor:
    return torch.tensor(rows[list(META)].to_numpy(), dtype=torch.float64)


def _statistics(estimates: Tensor, reference: Tensor) -> Tensor:
    """Debiased squared bias, variance, mean cosine; the noise of both samples is taken out of the first."""
    target = reference.mean(0)
    cosine = metrics.accuracy(estimates, target, kind="cosine").mean()
    noise = [_trace(x) / len(x) for x in (estimates, reference)]
    squared = (estimates.mean(0) - target).square().sum() - noise[0] - noise[1]
    return torch.stack([squared, _trace(estimates), cosine])


def _trace(sample: Tensor) -> Tensor:
    """tr Σ̂; a sample of one is no sample, but an exact value."""
    return metrics.covariance_trace(sample) if len(sample) > 1 else sample.new_zeros(())


def _jackknife(estimates: Tensor, reference: Tensor) -> Tensor:
    """Standard errors, from leaving out each estimate and each reference in turn; an exact value has none."""
    without = [_statistics(_but(estimates, i), reference) for i in range(len(estimates)) if len(estimates) > 1]
    other = [_statistics(estimates, _but(reference, i)) for i in range(len(reference)) if len(reference) > 1]
    parts = [_spread(torch.stack(part)) for part in (without, other) if part]
    return torch.stack([estimates.new_zeros(3), *parts]).sum(0).sqrt()


def _spread(values: Tensor) -> Tensor:
    return (values - values.mean(0)).square().sum(0) * (len(values) - 1) / len(values)


def _but(x: Tensor, i: int) -> Tensor:
    return torch.cat([x[:i], x[i + 1 :]])

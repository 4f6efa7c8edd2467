"""The Hessian in parts: against every trajectory counted, against each estimator's expectation, with any baseline."""

import pytest
import torch
from helpers import batch_of_mdps, close, derivatives, differ, normal, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact

MDP = batch_of_mdps()
POLICIES = normal(4, 3, 2, seed=4)
VALUE = exact.value(MDP, POLICIES)
BASELINES = {"none": 0 * VALUE, "exact": VALUE, "inexact": VALUE + normal(4, 3, seed=5)}


def counted_parts(mdp: gl.TabularMDP, theta: Tensor, horizon: int, terminal: Tensor, baseline: Tensor) -> list[Tensor]:
    """H₁, H₂ and H₁₂ as sums over all trajectories: p(τ) Σ_t γᵗ Â_t times what their definitions say."""
    paths, probability = gl.enumerate_samples(mdp, theta, horizon)
    states, actions = paths.states.squeeze(1), paths.actions.squeeze(1)
    policy, n_actions = theta.softmax(-1), theta.shape[-1]
    parts = [torch.zeros(theta.numel(), theta.numel(), dtype=theta.dtype) for _ in range(3)]
    to_go = terminal[states[:, horizon]]
    gains = []
    for t in reversed(range(horizon)):
        to_go = mdp.rewards[states[:, t], actions[:, t]] + mdp.discount * to_go
        gains.append(to_go - baseline[states[:, t]])
    before = torch.zeros(len(probability), theta.numel(), dtype=theta.dtype)
    for t in range(horizon):
        weight = probability * mdp.discount**t * gains[horizon - 1 - t]
        visited = torch.nn.functional.one_hot(states[:, t], len(theta)).to(theta.dtype)
        taken = torch.nn.functional.one_hot(actions[:, t], n_actions).to(theta.dtype)
        score = (visited.unsqueeze(-1) * (taken - policy[states[:, t]]).unsqueeze(-2)).flatten(1)
        spread = -torch.stack([p.diag() - p.outer(p) for p in policy])
        parts[0] += torch.einsum("n,ni,nj->ij", weight, score, score)
        parts[1] += torch.block_diag(*torch.einsum("n,ns,sab->sab", weight, visited, spread))
        parts[2] += torch.einsum("n,ni,nj->ij", weight, score, before)
        before = before + score
    return parts


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_parts_are_sums_over_all_trajectories(horizon: int) -> None:
    mdp, theta, terminal, baseline = tiny_mdp(), normal(2, 2, seed=1), normal(2, seed=2), normal(2, seed=3)
    found = exact.hessian_parts(mdp, theta, horizon, terminal, baseline)
    for got, wanted in zip(found, counted_parts(mdp, theta, horizon, terminal, baseline), strict=True):
        assert (got - wanted).abs().max() < 1e-13
    assert (found.across.abs().max() > 1e-3) == (horizon > 1)


@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
@pytest.mark.parametrize("horizon", [None, 1, 5])
def test_parts_add_up_whatever_the_baseline(horizon: int | None, baseline: Tensor) -> None:
    terminal = None if horizon is None else normal(4, 3, seed=7)
    parts = exact.hessian_parts(MDP, POLICIES, horizon, terminal, baseline)
    wanted = derivatives(lambda x: exact.objective(MDP, x, horizon, terminal), POLICIES)[2]
    assert close(parts.total, wanted, 1e-12)
    usual = exact.hessian_parts(MDP, POLICIES, horizon, terminal)
    assert close(parts.score + parts.curvature, usual.score + usual.curvature, 1e-12)
    assert torch.equal(parts.across, usual.across)
    assert usual.curvature.abs().max() < 1e-14


def test_baseline_moves_weight_between_the_first_two() -> None:
    exactly, inexact = (exact.hessian_parts(MDP, POLICIES, baseline=BASELINES[name]) for name in ("exact", "inexact"))
    assert differ(exactly.score, inexact.score)
    assert exactly.curvature.abs().max() < 1e-14
    assert inexact.curvature.abs().max() > 1e-2


@pytest.mark.parametrize("baseline", BASELINES.values(), ids=BASELINES)
def test_what_each_estimator_keeps(baseline: Tensor) -> None:
    """AD: H₂. LVC, and Loaded DiCE at λ = 0: H₁ + H₂. Loaded DiCE and TayPO-2: all. To 1e-12, no sampling."""
    parts = exact.hessian_parts(MDP, POLICIES, 5, baseline, baseline)
    kept = {gl.AD(): parts.curvature, gl.LVC(): parts.score + parts.curvature, gl.LoadedDiCE(0.0): None}
    kept |= {gl.LoadedDiCE(): parts.total, gl.TayPO2(): parts.total}
    for estimator, wanted in kept.items():
        wanted = kept[gl.LVC()] if wanted is None else wanted
        got = expected_hessian(estimator, baseline)
        assert (got - wanted).abs().max() < 1e-12, estimator


def test_dice_keeps_all_of_the_return_without_bootstrap() -> None:
    parts = exact.hessian_parts(MDP, POLICIES, 5, None, BASELINES["none"])
    assert close(expected_hessian(gl.DiCE(), BASELINES["inexact"]), parts.total, 1e-12)


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.7, 1.0])
def test_the_dial_of_loaded_dice(lambda_: float) -> None:
    """Loaded DiCE(λ) keeps H₁ + H₂ and the pairs of steps of H₁₂, each with the weight λ^{t−i}."""
    baseline = BASELINES["inexact"]
    for horizon in (1, 2, 5):
        parts = exact.hessian_parts(MDP, POLICIES, horizon, baseline, baseline, lambda_)
        assert close(expected_hessian(gl.LoadedDiCE(lambda_), baseline, horizon), parts.total, 1e-12)
    long = exact.hessian_parts(MDP, POLICIES, 400, lambda_=lambda_)
    assert close(exact.hessian_parts(MDP, POLICIES, lambda_=lambda_).total, long.total, 1e-12)


def expected_hessian(estimator, baseline: Tensor, horizon: int = 5) -> Tensor:
    return derivatives(lambda x: estimator.expected_surrogate(MDP, x, None, baseline, horizon), POLICIES)[2]


def test_value_tables_bring_their_own_batch() -> None:
    """Three baselines and three bootstraps for one MDP and three steps: none may pass for the dimension of time."""
    mdp, theta = gl.random_mdp(3, 2, seed=0), normal(3, 2)
    tables = normal(3, 3, seed=6)
    together = exact.hessian_parts(mdp, theta, 3, tables, tables)
    gradients = exact.gradient(mdp, theta, 3, tables)
    for i in range(3):
        for got, wanted in zip(together, exact.hessian_parts(mdp, theta, 3, tables[i], tables[i]), strict=True):
            assert close(got[i], wanted, 1e-13)
        assert close(gradients[i], exact.gradient(mdp, theta, 3, tables[i]), 1e-13)


def test_score_part_carries_the_trace_of_the_advantage() -> None:
    """Blocks are symmetric and centred; H₁₂ is not symmetric, and an absorbing end has no row in it."""
    parts = exact.hessian_parts(MDP, POLICIES, 5, VALUE, BASELINES["inexact"])
    for block in (parts.score, parts.curvature):
        assert close(block, block.transpose(-1, -2), 1e-14)
        assert block.unflatten(-1, (3, 2)).sum(-1).abs().max() < 1e-14
    assert differ(parts.across, parts.across.transpose(-1, -2))
    assert parts.across.unflatten(-1, (3, 2)).sum(-1).abs().max() < 1e-14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"baseline": torch.zeros(4)}, r"baseline: got shape \(4,\), allowed is shape \(..., 3\)"),
        ({"baseline": torch.zeros(3)}, "baseline: got torch.float32"),
        ({"baseline": torch.full((3,), torch.nan, dtype=torch.float64)}, "baseline: got nan at index"),
        ({"baseline": torch.zeros(5, 3, dtype=torch.float64)}, r"baseline: got leading dimensions \(5,\)"),
        ({"lambda_": 1.5}, r"lambda_: got 1.5, allowed is the interval \[0, 1\]"),
        ({"horizon": 0}, "horizon: got 0, allowed is a whole number >= 1"),
        ({"horizon": 2, "terminal": torch.zeros(2, dtype=torch.float64)}, r"terminal: got shape \(2,\)"),
        ({"theta": torch.zeros(3, 3, dtype=torch.float64)}, r"theta: got shape \(3, 3\)"),
    ],
)
def test_bad_input(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact.hessian_parts(**{"mdp": MDP, "theta": POLICIES, **arguments})

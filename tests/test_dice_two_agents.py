"""DiCE of two players: every derivative, on- and off-policy, by all trajectories of short games and by samples."""

from dataclasses import replace

import pytest
import torch
from helpers import close, differ, normal, rejects, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.learners.replay import Plays, play
from gmrl_lab.problem import ValueTable
from gmrl_lab.rollout import log_prob, lookup

GAMES = {"IPD": gl.IPD(0.96), "any": gl.MatrixGame(normal(2, 2, seed=5), normal(2, 2, seed=6), 0.9)}
EACH_GAME = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
DICE = [gl.DiCE(), gl.DiCE("first order"), gl.DiCE("any order")]
EACH_DICE = pytest.mark.parametrize("dice", DICE, ids=lambda dice: dice.baseline)
POLICIES = 0.7 * normal(2, 5, seed=1)
ACTED = POLICIES + 0.8 * normal(2, 5, seed=2)
"""What both players did when the off-policy trajectories were drawn."""
TABLE = ValueTable(table=normal(5, seed=3))


def derivatives(surrogate, policies: Tensor) -> tuple[Tensor, Tensor]:
    """First `(..., 10)` and second `(..., 10, 10)` in both players' logits, of a surrogate of `(..., 2, 5)`."""
    leaf = policies.detach().clone().requires_grad_()
    (first,) = torch.autograd.grad(surrogate(leaf).sum(), leaf, create_graph=True)
    flat = first.flatten(-2)
    rows = [torch.autograd.grad(flat[..., i].sum(), leaf, retain_graph=True)[0].flatten(-2) for i in range(10)]
    return flat.detach(), torch.stack(rows, -2)


def problem(game: gl.MatrixGame, policies: Tensor, player: int = 2) -> gl.Problem:
    return game.problems(*policies.unbind(-2))[player - 1]


def truth(game: gl.MatrixGame, horizon: int) -> tuple[Tensor, Tensor]:
    """Of the T-step return without bootstrap; `[1][:5, 5:]` is LOLA's mixed derivative."""
    return derivatives(lambda x: gl.Exact(horizon, bootstrap=False).surrogate(problem(game, x)), POLICIES)


def enumerated(game: gl.MatrixGame, acted: Tensor, horizon: int = 3) -> tuple[gl.Trajectories, Tensor]:
    seen = problem(game, acted)
    return gl.enumerate_samples(seen.mdp, seen.logits, horizon)


def each(estimator, game: gl.MatrixGame, every: gl.Trajectories, **settings) -> tuple[Tensor, Tensor]:
    """The derivatives at POLICIES of each sample's surrogate."""
    settings = {"baseline": TABLE, **settings}
    oracle = gl.Sampled(estimator, every.n_trajectories, every.horizon, trajectories=every, **settings)
    copies = POLICIES.expand(len(every.actions), 2, 5)
    return derivatives(lambda x: oracle.surrogate(problem(game, x)), copies)


# --- unbiased, without any sampling -----------------------------------------------------------------------------------
@EACH_GAME
@EACH_DICE
@pytest.mark.parametrize("acted", [POLICIES, ACTED], ids=["on", "off"])
def test_mean_derivatives_are_those_of_the_return(game: gl.MatrixGame, dice: gl.DiCE, acted: Tensor) -> None:
    """All 64 trajectories of three rounds: gradients and Hessians of both players, and the mixed derivatives."""
    every, chance = enumerated(game, acted)
    for found, wanted in zip(each(dice, game, every), truth(game, 3), strict=True):
        assert close(torch.tensordot(chance, found, 1), wanted, 1e-12)


@EACH_DICE
def test_mean_third_derivative_is_that_of_the_return(dice: gl.DiCE) -> None:
    """Along a line through both policies, off-policy."""
    game, line = GAMES["any"], normal(2, 5, seed=4)
    every, chance = enumerated(game, ACTED)
    oracle = gl.Sampled(dice, 1, 3, trajectories=every, baseline=TABLE)

    def third(value) -> Tensor:
        along = torch.zeros((), dtype=torch.float64, requires_grad=True)
        slope = value(POLICIES + along * line)
        for _ in range(3):
            (slope,) = torch.autograd.grad(slope, along, create_graph=True)
        return slope.detach()

    found = third(lambda x: (oracle.surrogate(problem(game, x)) * chance).sum())
    assert close(found, third(lambda x: exact.objective(problem(game, x).mdp, problem(game, x).logits, 3)), 1e-11)


@EACH_GAME
def test_wrong_estimators_are_told_apart_by_the_same_comparison(game: gl.MatrixGame) -> None:
    """Autodiff and LVC on-policy; off-policy clipped weights, and those that forget the other player's probability."""
    on, off = enumerated(game, POLICIES), enumerated(game, ACTED)
    seen = problem(game, ACTED).logits.unflatten(-1, (2, 2))
    own = (seen.logsumexp(-1) - seen.logsumexp((-2, -1)).unsqueeze(-1)).repeat_interleave(2, -1)
    forgetful = gl.Trajectories(off[0].states, off[0].actions, lookup(own, off[0].states, off[0].actions))
    wrong = {
        "AD": (gl.AD(), *on, {"baseline": None}),
        "LVC": (gl.LVC(), *on, {"baseline": None}),
        "clipped": (gl.DiCE(), *off, {"clip": 1.2}),
        "forgetful": (gl.DiCE(), forgetful, off[1], {}),
    }
    for name, (estimator, every, chance, settings) in wrong.items():
        mixed = torch.tensordot(chance, each(estimator, game, every, **settings)[1], 1)[:5, 5:]
        assert differ(mixed, truth(game, 3)[1][:5, 5:]), name


# --- what the two baselines do, trajectory by trajectory ------------------------------------------------------------
@EACH_GAME
@pytest.mark.parametrize("acted", [POLICIES, ACTED], ids=["on", "off"])
def test_the_one_of_any_order_is_loaded_dice_without_bootstrap(game: gl.MatrixGame, acted: Tensor) -> None:
    every, _ = enumerated(game, acted)
    table = TABLE.table[every.states]
    ahead = table[..., 1:] * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)

    def loaded(policies: Tensor) -> Tensor:
        here = problem(game, policies)
        return gl.LoadedDiCE().surrogate(
            gl.Steps(
                log_prob(here.logits, every.states, every.actions),
                lookup(here.mdp.rewards, every.states, every.actions),
                table[..., :-1],
                ahead,
                here.mdp.discount,
                every.behaviour_log_prob,
            )
        )

    found = each(gl.DiCE("any order"), game, every)
    for got, wanted in zip(found, derivatives(loaded, POLICIES.expand(64, 2, 5)), strict=True):
        assert close(got, wanted, 1e-12)


@EACH_GAME
def test_first_order_baseline_serves_the_gradient_and_not_the_mixed_derivative(game: gl.MatrixGame) -> None:
    """On-policy the gradients agree; of the mixed derivative it moves Σ γᵗ V̂ ∇log π₁ ∇log π₂ᵀ of equal times alone."""
    every, _ = enumerated(game, POLICIES)
    none, first, any_order = (each(dice, game, every) for dice in DICE)
    assert close(first[0], any_order[0], 1e-13)
    assert differ(first[0], none[0])
    turned = torch.tensor(gl.games.AS_THE_OTHER_SEES)
    at = (turned[every.states[:, 0, :-1]], every.states[:, 0, :-1])  # the learner is player 2
    moves = (every.actions[:, 0] % 2, every.actions[:, 0] // 2)
    scores = [
        torch.nn.functional.one_hot(s, 5) * ((a == 0).to(p.dtype) - p.sigmoid()[s]).unsqueeze(-1)
        for s, a, p in zip(at, moves, POLICIES, strict=True)
    ]
    weights = game.mdps[1].discount ** torch.arange(3) * TABLE.table[every.states[:, 0, :-1]]
    moved = torch.einsum("nt,nti,ntj->nij", weights, *scores)
    assert close(none[1][:, :5, 5:] - first[1][:, :5, 5:], moved, 1e-12)


def spread(dice: gl.DiCE, table: Tensor, plays: Plays, game: gl.MatrixGame) -> tuple[float, float]:
    """Variance over trajectories, summed over coordinates, of the learner's gradient and of the mixed derivative."""
    uniform = torch.zeros(len(plays.actions), 2, 5, dtype=torch.float64)
    every, values = plays.trajectories, ValueTable(table=table)
    oracle = gl.Sampled(dice, 1, every.horizon, trajectories=every, baseline=values)
    first, second = derivatives(lambda x: oracle.surrogate(problem(game, x)), uniform)
    return float(first[:, 5:].var(0).sum()), float(second[:, :5, 5:].var(0).sum())


def test_how_much_variance_each_baseline_takes_away() -> None:
    """Two coin-throwers, T = 100, 1000 plays; shares with standard errors below 10% of themselves.

    With the values: first order leaves 1.4% of the gradient's variance, and 96% of the mixed derivative's, where the
    one of any order leaves 2.8%. With a table of immediate rewards, as published, 92% of the gradient's are left.
    """
    game = GAMES["IPD"]
    coin = torch.zeros(1000, 5, dtype=torch.float64)
    plays = play(game, coin, coin, 1, 100, generator=seeded())
    value = exact.value(game.mdps[1], problem(game, torch.zeros(2, 5, dtype=torch.float64)).logits)
    reward = torch.full((5,), -1.5, dtype=torch.float64)  # of a round, wherever it is played
    none = spread(DICE[0], value, plays, game)

    def left(dice: gl.DiCE, table: Tensor) -> list[float]:
        return [a / b for a, b in zip(spread(dice, table, plays, game), none, strict=True)]

    assert left(DICE[1], value) == [pytest.approx(0.014, rel=0.2), pytest.approx(0.96, rel=0.02)]
    assert left(DICE[2], value) == [pytest.approx(0.014, rel=0.2), pytest.approx(0.028, rel=0.3)]
    assert left(DICE[1], reward) == [pytest.approx(0.92, rel=0.02), pytest.approx(0.997, rel=0.02)]


def test_what_that_does_to_the_meta_gradient() -> None:
    """Coin-throwers, one look-ahead from 128 plays, 60 of them: mean cosine with the exact one, and a 5-sigma band.

    0.4 with the published term, fitted to returns or not, 0.93 with the baseline of any order.
    """
    coin = torch.zeros(5, dtype=torch.float64)
    task = gl.LOLA(GAMES["IPD"], coin)
    exactly = gl.meta_gradient(task, coin, 1, 0.3)
    value = ValueTable(table=exact.value(GAMES["IPD"].mdps[1], torch.zeros(5, 4, dtype=torch.float64)))

    def cosine(dice: gl.DiCE) -> Tensor:
        inner = gl.Sampled(dice, 128, 100, baseline=value)
        found = gl.meta_gradient(task, coin, 1, 0.3, inner, inner, n_trials=60, generator=seeded(2), share_samples=True)
        return torch.nn.functional.cosine_similarity(found, exactly.expand(60, 5), dim=-1)

    none, first, any_order = (cosine(dice) for dice in DICE)
    for found, wanted in ((none, 0.4), (first, 0.4), (any_order, 0.93)):
        assert float(found.mean()) == pytest.approx(wanted, abs=5 * float(found.std()) / 60**0.5)
    assert any_order.mean() > 0.9
    assert max(none.mean(), first.mean()) < 0.6


# --- by samples, longer than can be enumerated ------------------------------------------------------------------------
HORIZON, TRIALS, N = 15, 400, 60


def drawn(acted: Tensor) -> gl.Trajectories:
    """Independent samples of N plays by `acted`."""
    seen = problem(GAMES["any"], acted.expand(TRIALS, 2, 5))
    return gl.sample(seen.mdp, seen.logits, N, HORIZON, generator=seeded(7))


def samples(estimator, acted: Tensor, **settings) -> tuple[Tensor, Tensor]:
    """Their derivatives at POLICIES."""
    return each(estimator, GAMES["any"], drawn(acted), **settings)


@EACH_DICE
@pytest.mark.parametrize("acted", [POLICIES, 0.7 * POLICIES + 0.3 * ACTED], ids=["on", "off"])
def test_sampled_mean_is_right(dice: gl.DiCE, acted: Tensor) -> None:
    """False alarms: 1e-6 for each of the twelve comparisons."""
    for found, wanted in zip(samples(dice, acted), truth(GAMES["any"], HORIZON), strict=True):
        assert not rejects(found, wanted)


def test_wrong_estimators_are_rejected() -> None:
    """By the same test: AD and LVC in the mixed derivative, stored plays that pass for fresh ones or are clipped."""
    mixed = truth(GAMES["any"], HORIZON)[1][:5, 5:]
    for estimator in (gl.AD(), gl.LVC()):
        assert rejects(samples(estimator, POLICIES, baseline=None)[1][:, :5, 5:], mixed)
    acted = 0.7 * POLICIES + 0.3 * ACTED
    assert rejects(samples(gl.DiCE(), acted, clip=1.0)[1][:, :5, 5:], mixed)
    every = drawn(acted)
    now = log_prob(problem(GAMES["any"], POLICIES).logits, every.states, every.actions)
    fresh = replace(every, behaviour_log_prob=now)
    assert rejects(each(gl.DiCE(), GAMES["any"], fresh)[1][:, :5, 5:], mixed)


# --- by name ----------------------------------------------------------------------------------------------------------
def test_default_ignores_values() -> None:
    assert gl.DiCE() == gl.DiCE("none")
    assert [dice.uses_baseline for dice in DICE] == [False, True, True]


@pytest.mark.slow
def test_bench_knows_that_none_of_them_bootstraps() -> None:
    claims = dict.fromkeys(("first", "second", "first off-policy", "second off-policy"), "unbiased")
    report = gl.bench_estimator(gl.DiCE("any order"), claims, scale="quick", progress=False)
    assert report.confirmed
    assert report.settings["bootstrap"] is False


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="baseline: got 'second order', allowed is one of 'none', 'first order'"):
        gl.DiCE("second order")
    with pytest.raises(ValueError, match="table: got nan at index"):
        ValueTable(table=torch.full((5,), torch.nan))
    every, _ = enumerated(GAMES["IPD"], POLICIES)
    with pytest.raises(ValueError, match=r"table: got shape \(4,\), allowed is shape \(..., 5\)"):
        each(DICE[1], GAMES["IPD"], every, baseline=ValueTable(table=torch.zeros(4, dtype=torch.float64)))
    with pytest.raises(ValueError, match=r"table: got torch\.float32"):
        each(DICE[1], GAMES["IPD"], every, baseline=ValueTable(table=torch.zeros(5)))

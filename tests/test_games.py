"""Matrix games: values by hand, by playing them out, and from either side."""

import pytest
import torch
from helpers import close, double, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.games import CC, CD, DC, DD, GAMES, STRATEGIES, strategy

SURE = 40.0
DEFECT, COOPERATE = double([-SURE] * 5), double([SURE] * 5)
TIT_FOR_TAT = double([SURE, SURE, -SURE, SURE, -SURE])
GRIM = double([SURE, SURE, -SURE, -SURE, -SURE])
ALTERNATE = double([SURE, -SURE, -SURE, SURE, SURE])
GAMMA = 0.96


def both(*pair: Tensor, game: gl.MatrixGame | None = None) -> list[float]:
    return [v.item() for v in (game or gl.IPD(GAMMA)).value(*pair)]


def replay(game: gl.MatrixGame, theta_1: Tensor, theta_2: Tensor, horizon: int) -> tuple[float, float]:
    """The T-step values by the plainest recursion over what both just played, own action first."""
    payoff = [mdp.rewards[0].tolist() for mdp in game.mdps]
    p_1, p_2 = theta_1.sigmoid().tolist(), theta_2.sigmoid().tolist()
    mirrored = {0: 0, CC: CC, CD: DC, DC: CD, DD: DD}
    share = {0: 1.0}
    totals = [0.0, 0.0]
    for t in range(horizon):
        after: dict[int, float] = {}
        for state, weight in share.items():
            one, two = p_1[state], p_2[mirrored[state]]
            for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
                chance = weight * (1 - one if first else one) * (1 - two if second else two)
                seen = 1 + 2 * first + second
                after[seen] = after.get(seen, 0.0) + chance
                totals[0] += game.mdps[0].discount.item() ** t * chance * payoff[0][2 * first + second]
                totals[1] += game.mdps[1].discount.item() ** t * chance * payoff[1][2 * second + first]
        share = after
    return totals[0], totals[1]


def test_values_by_hand() -> None:
    g = GAMMA
    assert both(DEFECT, DEFECT) == pytest.approx([-2 / (1 - g)] * 2)
    assert both(COOPERATE, COOPERATE) == pytest.approx([-1 / (1 - g)] * 2)
    assert both(TIT_FOR_TAT, TIT_FOR_TAT) == pytest.approx([-1 / (1 - g)] * 2)
    assert both(COOPERATE, DEFECT) == pytest.approx([-3 / (1 - g), 0])
    assert both(TIT_FOR_TAT, DEFECT) == pytest.approx([-3 - 2 * g / (1 - g), -2 * g / (1 - g)])


def test_each_player_sees_its_own_action_first() -> None:
    """Both start with C; ALTERNATE then defects after C, and cooperates again after having defected."""
    g = GAMMA
    assert both(COOPERATE, ALTERNATE) == pytest.approx([(-1 - 3 * g) / (1 - g**2), -1 / (1 - g**2)])
    assert both(ALTERNATE, COOPERATE) == pytest.approx([-1 / (1 - g**2), (-1 - 3 * g) / (1 - g**2)])
    # CC, then DC: grim defects for ever once it has been cheated on, so does not forgive a cooperating partner.
    assert both(ALTERNATE, GRIM)[0] < both(ALTERNATE, TIT_FOR_TAT)[0]


@pytest.mark.parametrize("seed", range(4))
def test_values_agree_with_playing_it_out(seed: int) -> None:
    """An arbitrary game, not symmetric, and arbitrary policies; the horizon leaves less than 1e-9."""
    game = gl.MatrixGame(normal(2, 2, seed=seed), normal(2, 2, seed=10 + seed), 0.7)
    theta_1, theta_2 = normal(5, seed=20 + seed), normal(5, seed=30 + seed)
    assert both(theta_1, theta_2, game=game) == pytest.approx(replay(game, theta_1, theta_2, 70), abs=1e-9)


def test_values_agree_with_sampling() -> None:
    """The rollout of the joint policy: 4.5 standard errors on each player, false alarm below 2e-5."""
    theta_1, theta_2 = normal(5, seed=1), normal(5, seed=2)
    for problem, value in zip(gl.IPD(0.5).problems(theta_1, theta_2), gl.IPD(0.5).value(theta_1, theta_2), strict=True):
        seen = gl.sample(problem.mdp, problem.logits, 4000, 40, generator=seeded(3))
        rewards = problem.mdp.rewards[seen.states[:, :-1], seen.actions]
        returns = (rewards * 0.5 ** torch.arange(40)).sum(-1)
        error = returns.std() / len(returns) ** 0.5
        assert abs(returns.mean() - value) < 4.5 * error
        assert abs(returns.mean() - value - 0.2) > 4.5 * error  # power: a fifth of a year more or less is seen


def test_the_other_side_of_a_game() -> None:
    """Swapping the players swaps the values."""
    payoff_1, payoff_2 = normal(2, 2, seed=1), normal(2, 2, seed=2)
    theta_1, theta_2 = normal(5, seed=3), normal(5, seed=4)
    here = both(theta_1, theta_2, game=gl.MatrixGame(payoff_1, payoff_2, 0.9))
    there = both(theta_2, theta_1, game=gl.MatrixGame(payoff_2.mT, payoff_1.mT, 0.9))
    assert here == pytest.approx(there[::-1])


def test_joint_policy_is_the_product_of_both() -> None:
    theta_1, theta_2 = normal(5, seed=1), normal(5, seed=2)
    first, second = gl.IPD().problems(theta_1, theta_2)
    p, q = theta_1.sigmoid(), theta_2.sigmoid()[[0, CC, DC, CD, DD]]
    wanted = torch.stack([p * q, p * (1 - q), (1 - p) * q, (1 - p) * (1 - q)], -1)
    assert close(first.logits.softmax(-1), wanted, 1e-14)
    assert close(second.logits.softmax(-1)[[0, CC, DC, CD, DD]][:, [0, 2, 1, 3]], wanted, 1e-14)


def test_batches_of_games_and_policies() -> None:
    payoff = normal(3, 1, 2, 2)
    game = gl.MatrixGame(payoff, payoff.mT, double([0.5, 0.9]))
    assert game.batch_shape == (3, 2)
    theta = normal(2, 5)
    values = game.value(theta, theta)
    assert values[0].shape == values[1].shape == (3, 2)
    alone = gl.MatrixGame(payoff[1, 0], payoff[1, 0].mT, 0.9).value(theta[1], theta[1])
    assert close(values[0][1, 1], alone[0], 1e-12)


def test_bad_input() -> None:
    payoff, theta = normal(2, 2), normal(5)
    with pytest.raises(ValueError, match=r"payoff_1: got shape \(3, 2\)"):
        gl.MatrixGame(normal(3, 2), payoff)
    with pytest.raises(ValueError, match="payoff_2: got inf"):
        gl.MatrixGame(payoff, payoff * torch.inf)
    with pytest.raises(ValueError, match=r"payoff_2: got torch\.float32"):
        gl.MatrixGame(payoff, payoff.float())
    with pytest.raises(ValueError, match=r"discount: got 1\.0, allowed is the interval \[0, 1\)"):
        gl.IPD(1.0)
    with pytest.raises(ValueError, match=r"theta_2: got shape \(4,\)"):
        gl.IPD().value(theta, theta[:4])
    with pytest.raises(ValueError, match=r"theta_1: got torch\.float32"):
        gl.IPD().value(theta.float(), theta)
    with pytest.raises(ValueError, match="theta_1: got nan"):
        gl.IPD().value(theta * torch.nan, theta)
    with pytest.raises(ValueError, match=r"initial_theta: got shape \(4,\)"):
        gl.LOLA(gl.IPD(), theta[:4])


# --- famous games and strategies ----------------------------------------------------------------------------------


def payoffs(name: str) -> list[list[list[float]]]:
    """Of both players; rows are player 1's move, as games are printed."""
    first, second = (mdp.rewards[0].unflatten(-1, (2, 2)) for mdp in GAMES[name](0.5, torch.float64).mdps)
    return [first.tolist(), second.mT.tolist()]


def test_games_are_what_their_names_say() -> None:
    """The orderings that define each game, for player 1; all but the pennies look alike to both."""
    (cc, cd), (dc, dd) = payoffs("ipd")[0]
    assert dc > cc > dd > cd
    assert 2 * cc > cd + dc  # taking turns does not pay
    (cc, cd), (dc, dd) = payoffs("stag hunt")[0]
    assert cc > dc >= dd > cd
    (cc, cd), (dc, dd) = payoffs("chicken")[0]
    assert dc > cc > cd > dd
    first, second = map(double, payoffs("matching pennies"))
    assert first.equal(-second)
    assert first.sum(0).tolist() == first.sum(1).tolist() == [0.0, 0.0]
    for name in set(GAMES) - {"matching pennies"}:
        first, second = map(double, payoffs(name))
        assert first.equal(second.mT)


@pytest.mark.parametrize("name", GAMES)
def test_games_agree_with_playing_them_out(name: str) -> None:
    game = GAMES[name](0.6, torch.float64)
    theta_1, theta_2 = normal(5, seed=1), normal(5, seed=2)
    assert both(theta_1, theta_2, game=game) == pytest.approx(replay(game, theta_1, theta_2, 60), abs=1e-9)
    assert GAMES[name](0.6, torch.float32).mdps[0].dtype == torch.float32


def test_values_of_famous_strategies_by_hand() -> None:
    """Against tit-for-tat: peace, −1/(1 − γ); one temptation, then war, −2γ/(1 − γ); taking turns, −3γ/(1 − γ²)."""
    g, tit_for_tat = 0.9, strategy("tit for tat")
    dilemma, stag, chicken = (GAMES[name](g, torch.float64) for name in ("ipd", "stag hunt", "chicken"))
    assert both(tit_for_tat, tit_for_tat, game=dilemma) == pytest.approx([-1 / (1 - g)] * 2)
    assert both(strategy("always defect"), tit_for_tat, game=dilemma)[0] == pytest.approx(-2 * g / (1 - g))
    turns = strategy("DDDCC")  # after DC it cooperates, after CD it defects: D, C, D, C, …
    assert both(turns, tit_for_tat, game=dilemma)[0] == pytest.approx(-3 * g / (1 - g**2))
    assert both(strategy("grim trigger"), tit_for_tat, game=stag)[0] == pytest.approx(4 / (1 - g))
    assert both(strategy("always defect"), tit_for_tat, game=chicken)[0] == pytest.approx(2 - g / (1 - g))


@pytest.mark.parametrize(("name", "moves"), STRATEGIES.items())
def test_strategies_play_their_letters(name: str, moves: str) -> None:
    logits = strategy(name)
    assert ["C" if p > 0.5 else "D" for p in logits.sigmoid().tolist()] == list(moves)
    assert logits.equal(strategy(moves))
    assert strategy(moves, 3.0, torch.float32).abs().tolist() == [3.0] * 5


@pytest.mark.parametrize("player", [1, 2])
def test_against_an_opponent_it_is_an_mdp_of_one_player(player: int) -> None:
    """An arbitrary batch of games: the same values, and the same gradient, as in the game of two."""
    game = gl.MatrixGame(normal(3, 2, 2, seed=1), normal(3, 2, 2, seed=2), double([0.3, 0.6, 0.9]))
    mine, theirs = normal(3, 5, seed=3), normal(3, 5, seed=4)
    mdp = game.against(theirs, player)
    assert (mdp.batch_shape, mdp.n_states, mdp.n_actions) == ((3,), 5, 2)
    logits = torch.stack([mine, torch.zeros_like(mine)], -1)
    order = (mine, theirs) if player == 1 else (theirs, mine)
    assert close(gl.exact.objective(mdp, logits), game.value(*order)[player - 1], 1e-12)
    leaf = mine.clone().requires_grad_()
    order = (leaf, theirs) if player == 1 else (theirs, leaf)
    slope = torch.autograd.grad(game.value(*order)[player - 1].sum(), leaf)[0]
    assert close(gl.exact.gradient(mdp, logits)[..., 0], slope, 1e-10)


def test_peace_pays_against_tit_for_tat_from_a_half_on() -> None:
    """Of the 32 sure strategies none beats peace, −1/(1 − γ), at γ = 0.51, and one does at 0.49."""
    every = [strategy(f"{n:05b}".replace("0", "C").replace("1", "D")) for n in range(32)]
    mine = torch.stack(every)
    for discount, best in ((0.51, -1 / 0.49), (0.49, -2 * 0.49 / 0.51)):
        assert gl.IPD(discount).value(mine, strategy("tit for tat"))[0].max().item() == pytest.approx(best)


def test_unknown_strategy_and_player() -> None:
    with pytest.raises(ValueError, match=r"moves: got 'CCDC', allowed is five letters C or D, or one of 'always coop"):
        strategy("CCDC")
    with pytest.raises(ValueError, match="player: got 0, allowed is 1 or 2"):
        gl.IPD().against(DEFECT, 0)
    with pytest.raises(ValueError, match=r"opponent: got shape \(4,\)"):
        gl.IPD().against(DEFECT[:4])

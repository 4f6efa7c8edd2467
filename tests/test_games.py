"""Matrix games: values by hand, by playing them out, and from either side."""

import pytest
import torch
from helpers import close, double, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.games import CC, CD, DC, DD

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

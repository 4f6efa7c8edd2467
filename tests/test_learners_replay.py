"""Plays that are kept: both players' probabilities, the ring, draws for each seed, and what old plays are worth."""

from dataclasses import fields, replace

import pytest
import torch
from helpers import close, double, normal, rejects, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab.games import AS_THE_OTHER_SEES
from gmrl_lab.learners.replay import Plays, Replay, effective_sizes, expected_shares, play

GAME = gl.IPD(0.96)
POLICIES = normal(3, 2, 5, seed=1)
"""Three seeds, two players."""
OWN, OTHER = POLICIES, POLICIES.flip(-2)


def played(seeds: int = 3, n: int = 4, horizon: int = 5, seed: int = 0) -> Plays:
    return play(GAME, OWN[:seeds], OTHER[:seeds], n, horizon, generator=gl.generators(seed, seeds))


def same(a: Plays, b: Plays) -> bool:
    return all(torch.equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Plays))


def marked(first: int, n: int) -> Plays:
    """n one-round plays of two seeds whose probabilities say which they are: log μ = −1, −2, … of seed 0."""
    mark = -torch.arange(first, first + n, dtype=torch.float64)
    both = torch.stack([mark, 100 * mark]).unsqueeze(-1)
    return Plays(torch.zeros(2, n, 2).long(), torch.zeros(2, n, 1).long(), both, torch.zeros(2, n, 1).double())


def marks(plays: Plays) -> list[list[float]]:
    return (-plays.own_log_prob).squeeze(-1).tolist()


# --- plays ------------------------------------------------------------------------------------------------------------
def test_both_probabilities_are_kept_and_make_the_joint_one() -> None:
    """Each by hand from its player's logits, and together what the sampler says."""
    plays = played(n=50)
    problem = GAME.problems(OWN, OTHER)[0]
    sampled = gl.sample(problem.mdp, problem.logits, 50, 5, generator=gl.generators(0, 3))
    assert torch.equal(plays.states, sampled.states)
    assert close(plays.trajectories.behaviour_log_prob, sampled.behaviour_log_prob, 1e-14)
    seed, player, row, t = 1, 0, 7, 3
    state, action = plays.states[seed, player, row, t], plays.actions[seed, player, row, t]
    mine, theirs = OWN[seed, player, state], OTHER[seed, player, AS_THE_OTHER_SEES[state]]
    for x, defects, kept in (
        (mine, action // 2, plays.own_log_prob),
        (theirs, action % 2, plays.other_log_prob),
    ):
        assert kept[seed, player, row, t] == pytest.approx(float((-x if defects else x).sigmoid().log()), abs=1e-14)


def test_the_other_sees_the_same_plays() -> None:
    """Twice turned is unturned, once is what the other's problem calls them, with its payoffs."""
    plays = play(GAME, OWN[0, 0], OTHER[0, 0], 50, 5, generator=seeded())
    turned = plays.seen_by_the_other()
    assert same(turned.seen_by_the_other(), plays)
    second = GAME.problems(OWN[0, 0], OTHER[0, 0])[1]
    joint = gl.rollout.log_prob(second.logits, turned.states, turned.actions)
    assert close(turned.trajectories.behaviour_log_prob, joint, 1e-14)
    assert torch.equal(turned.states[..., 1:], turned.actions + 1)  # where the joint action leads
    mine, theirs = (gl.rollout.lookup(GAME.mdps[0].rewards, p.states, p.actions) for p in (plays, turned))
    assert set(zip(mine.flatten().tolist(), theirs.flatten().tolist(), strict=True)) == {
        (-1.0, -1.0), (-3.0, 0.0), (0.0, -3.0), (-2.0, -2.0)
    }  # fmt: skip


def test_no_gradient_is_kept() -> None:
    own = OWN.clone().requires_grad_()
    plays = play(GAME, own, own.flip(-2), 2, 3, generator=seeded())
    assert not plays.own_log_prob.requires_grad
    assert not plays.other_log_prob.requires_grad


# --- the ring -------------------------------------------------------------------------------------------------------
def test_the_oldest_make_room() -> None:
    """Five places; batches of two and three, across the end of the ring again and again."""
    buffer = Replay(5)
    buffer.add(marked(1, 2))
    assert len(buffer) == 2
    assert marks(buffer.plays())[0] == [1, 2]
    buffer.add(marked(3, 2))
    buffer.add(marked(5, 2))
    assert len(buffer) == 5
    assert marks(buffer.plays()) == [[2, 3, 4, 5, 6], [200, 300, 400, 500, 600]]
    for first in range(7, 40, 3):
        buffer.add(marked(first, 3))
        assert marks(buffer.plays())[0] == list(range(first - 2, first + 3))
    buffer.add(marked(50, 5))
    assert marks(buffer.plays())[0] == [50, 51, 52, 53, 54]


def test_what_is_in_comes_out_whole() -> None:
    """All four tensors, of plays that lie across the end of the ring."""
    buffer, batches = Replay(6), [played(seed=seed) for seed in range(3)]
    for plays in batches:
        buffer.add(plays)
    kept = [torch.cat([getattr(plays, field.name) for plays in batches], -2)[..., -6:, :] for field in fields(Plays)]
    assert same(buffer.plays(), Plays(*kept))


def test_later_plays_do_not_change_what_was_handed_out() -> None:
    buffer, first = Replay(4), played()
    buffer.add(first)
    handed = buffer.plays(), buffer.draw(4, gl.generators(3, 3))
    before = [[getattr(x, field.name).clone() for field in fields(Plays)] for x in handed]
    buffer.add(played(seed=1))
    assert all(same(x, Plays(*old)) for x, old in zip(handed, before, strict=True))
    assert same(first, played())  # nor what was put in


# --- draws ------------------------------------------------------------------------------------------------------------
def test_draws_are_different_plays_each_as_likely() -> None:
    """2 of 5, 4,000 times over: each of the ten pairs, in either order, as often as the others (false alarm 1e-6).

    And the same test rejects draws with replacement.
    """
    buffer = Replay(5)
    buffer.add(Plays(*(getattr(marked(0, 5), field.name)[:1].expand(4000, -1, -1) for field in fields(Plays))))
    first, second = torch.tensor(marks(buffer.draw(2, seeded()))).long().unbind(-1)
    again = torch.randint(5, (4000,), generator=seeded(1))
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    fair = (pairs[:, 0] != pairs[:, 1]).double() / 20

    def shares(one: Tensor, two: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(5 * one + two, 25).double()

    assert not rejects(shares(first, second), fair)
    assert rejects(shares(first, again), fair)


def test_all_of_them_can_be_drawn() -> None:
    buffer = Replay(5)
    buffer.add(marked(1, 5))
    assert sorted(marks(buffer.draw(5, gl.generators(0, 2)))[1]) == [100, 200, 300, 400, 500]


def filled(seeds: int) -> Replay:
    buffer = Replay(10)
    for seed in range(4):
        buffer.add(played(seeds, seed=seed))
    return buffer


def test_a_seed_alone_plays_and_draws_the_same() -> None:
    together, alone = filled(3).draw(6, gl.generators(5, 3)), filled(1).draw(6, gl.generators(5, 1))
    assert same(Plays(*(getattr(together, field.name)[:1] for field in fields(Plays))), alone)
    assert not same(filled(3).draw(6, gl.generators(6, 3)), together)


def test_draws_serve_an_oracle() -> None:
    """DiCE on all that is stored is the mean of DiCE on each half; on-policy plays make every ratio one."""
    buffer = Replay(8)
    buffer.add(played())
    buffer.add(played(seed=1))
    problem = GAME.problems(OWN, OTHER)[0]

    def on(plays: Plays) -> Tensor:
        n, horizon = plays.trajectories.n_trajectories, plays.trajectories.horizon
        return gl.Sampled(gl.DiCE(), n, horizon, trajectories=plays.trajectories).surrogate(problem)

    halves = on(played()), on(played(seed=1))
    assert close(on(buffer.plays()), (halves[0] + halves[1]) / 2, 1e-13)
    assert close(on(buffer.draw(8, seeded())), on(buffer.plays()), 1e-13)
    assert on(played()).shape == (3, 2)


# --- what old plays are worth -----------------------------------------------------------------------------------------
def test_effective_sizes() -> None:
    """All of them where the policy is still the same, and by hand where one game of two rounds has ratios 2 and 3."""
    plays = played(n=64)
    logits = GAME.problems(OWN, OTHER)[0].logits
    assert close(effective_sizes(logits, plays.trajectories), torch.full((3, 2, 5), 64.0).double(), 1e-12)
    moved = effective_sizes(GAME.problems(OWN + 0.5, OTHER)[0].logits, plays.trajectories)
    assert (moved.diff(dim=-1)[..., 1:] < 5).all()
    assert (moved[..., -1] < 60).all()
    two = gl.Trajectories(
        torch.zeros(2, 3).long(), torch.zeros(2, 2).long(), double([[0.25, 0.25], [0.125, 1 / 12]]).log()
    )
    uniform = torch.zeros(5, 4, dtype=torch.float64)  # ratios 1, 1 and 2, 3
    assert close(effective_sizes(uniform, two), double([3**2 / 5, 7**2 / 37]), 1e-12)


def test_expected_shares_by_enumeration() -> None:
    """1 / E ρ² over all three-round games of two policies, for each length."""
    first, second = (GAME.problems(OWN[seed, 0], OTHER[seed, 0])[0] for seed in (0, 1))
    every, chance = gl.enumerate_samples(second.mdp, second.logits, 3)
    current = gl.rollout.log_prob(first.logits, every.states, every.actions)
    ratio = (current - every.behaviour_log_prob).cumsum(-1).exp().squeeze(-2)
    wanted = 1 / (chance.unsqueeze(-1) * ratio**2).sum(0)
    assert close(expected_shares(first.mdp, first.logits, second.logits, 3), wanted, 1e-12)
    both = expected_shares(first.mdp, first.logits, torch.stack([first.logits, second.logits]), 3)
    assert close(both, torch.stack([torch.ones(3).double(), wanted]), 1e-12)


def test_expected_shares_after_some_updates() -> None:
    """Coin-throwers, T = 100, a step of 0.1 in each logit and update: 61% left after one, 14%, and 0.035% after four.

    1024 plays of each agree after one (within 5%), and overrate what is left after four by more than ten times.
    """
    coin = torch.zeros(20, 5, dtype=torch.float64)
    now = GAME.problems(coin, coin)[0]
    shares = []
    for updates in (1, 2, 4):
        before = coin - 0.1 * updates
        then = GAME.problems(before, before)[0].logits
        shares.append(expected_shares(now.mdp, now.logits, then, 100)[0])
        by_hand = torch.cosh(double(0.05 * updates)) ** (-4 * torch.arange(1, 101))
        assert close(shares[-1], by_hand, 1e-12)
        if updates != 2:
            plays = play(GAME, before, before, 1024, 100, generator=seeded())
            found = float(effective_sizes(now.logits, plays.trajectories)[:, -1].mean()) / 1024
            assert found == pytest.approx(0.607, rel=0.05) if updates == 1 else found > 10 * shares[-1][-1]
    assert [float(share[-1]) for share in shares] == pytest.approx([0.607, 0.136, 0.00035], rel=0.02)


# --- bad input --------------------------------------------------------------------------------------------------------
def test_bad_input() -> None:
    plays, buffer = played(), Replay(6)
    with pytest.raises(ValueError, match="size: got 0, allowed is a whole number >= 1"):
        Replay(0)
    with pytest.raises(ValueError, match="n: got 1, allowed is at most 0, the plays in the buffer"):
        buffer.plays()
    with pytest.raises(ValueError, match="n: got 2, allowed is at most 0"):
        buffer.draw(2, seeded())
    with pytest.raises(ValueError, match="plays: got n = 7, allowed is at most 6"):
        buffer.add(played(n=7))
    buffer.add(plays)
    with pytest.raises(ValueError, match="n: got 5, allowed is at most 4"):
        buffer.draw(5, seeded())
    with pytest.raises(ValueError, match="n: got 0, allowed is a whole number >= 1"):
        buffer.draw(0, seeded())
    with pytest.raises(ValueError, match="generator: got a list of 2, allowed is a list of 3"):
        buffer.draw(2, gl.generators(0, 2))
    with pytest.raises(ValueError, match=r"plays: got batch \(2, 2\), horizon 5, allowed is batch \(3, 2\), horizon 5"):
        buffer.add(played(2))
    with pytest.raises(ValueError, match=r"plays: got batch \(3, 2\), horizon 4"):
        buffer.add(played(horizon=4))
    with pytest.raises(ValueError, match=r"other_log_prob: got shape \(3, 2, 4, 1\), allowed is shape \(3, 2, 4, 5\)"):
        replace(plays, other_log_prob=plays.other_log_prob[..., :1])
    with pytest.raises(ValueError, match="own_log_prob: got -inf at index"):
        replace(plays, own_log_prob=plays.own_log_prob - torch.inf)
    with pytest.raises(ValueError, match="other_log_prob: got nan at index"):
        replace(plays, other_log_prob=plays.other_log_prob * torch.nan)
    with pytest.raises(ValueError, match=r"actions: got torch\.float64"):
        replace(plays, actions=plays.actions.double())
    logits = torch.zeros(5, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match="horizon: got 0"):
        expected_shares(GAME.mdps[0], logits, logits, 0)
    with pytest.raises(ValueError, match=r"then: got shape \(4, 4\)"):
        expected_shares(GAME.mdps[0], logits, logits[:4], 3)
    with pytest.raises(ValueError, match="n_trajectories: got 0"):
        play(GAME, OWN, OTHER, 0, 5, generator=seeded())

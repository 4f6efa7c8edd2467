"""Environments: no dead step, true returns over all lives, the same for a seed, and restored exactly."""

import sys

import numpy as np
import pytest
import torch
from helpers import seeded

from gmrl_lab.atari import backends
from gmrl_lab.atari.environments import GAMES, VectorEnvironment, make

N = 3


def actions_of(environment: VectorEnvironment, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(environment.n_actions, (environment.n_envs,), generator=generator)


def play(environment: VectorEnvironment, n_steps: int, seed: int = 0) -> list:
    generator = seeded(seed)
    return [environment.step(actions_of(environment, generator)) for _ in range(n_steps)]


def same(a: list, b: list) -> bool:
    return all(torch.equal(x, y) for one, other in zip(a, b, strict=True) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("game", GAMES)
def test_all_eight_games_start_and_show_four_frames(game: str) -> None:
    environment = make(game, 1, seed=0, size=42)
    batch = environment.rollout(lambda seen: torch.zeros(len(seen), dtype=torch.long), 4)
    assert batch.observations.shape == (5, 1, 4, 42, 42)
    assert batch.observations.dtype == torch.uint8
    assert batch.observations[-1].float().std() > 0
    assert torch.equal(batch.observations[-1, :, :3], batch.observations[-2, :, 1:])  # frames move up by one


def test_a_batch_holds_the_truncated_steps_last_observations() -> None:
    environment = make("RandomMDP", N, seed=0)  # cut off after 20 steps
    generator = seeded()
    batch = environment.rollout(lambda _: actions_of(environment, generator), 45)
    assert batch.truncated.nonzero()[:, 0].tolist() == [19] * N + [39] * N
    assert torch.equal(batch.truncated, batch.ended)
    assert batch.final_observations.shape == (2 * N, 20)
    assert bool((batch.observations[[20, 40], :, 0] == 1).all())  # at once the start state, 0, of the next game
    assert not bool((batch.final_observations[:, 0] == 1).all())


def test_rewards_are_those_of_the_mdp_and_returns_their_sums() -> None:
    import gmrl_lab as gl

    environment = make("RandomMDP", N, seed=1)
    generator = seeded(1)
    batch = environment.rollout(lambda _: actions_of(environment, generator), 20)
    rewards = gl.random_mdp(seed=0).rewards[batch.observations[:-1].argmax(-1), batch.actions]
    assert torch.equal(batch.rewards, rewards)
    games = environment.pop_finished()
    assert [game.length for game in games] == [20] * N
    np.testing.assert_allclose([game.total_reward for game in games], rewards.sum(0), rtol=1e-12)
    assert environment.pop_finished() == []


def test_termination_and_truncation_are_told_apart() -> None:
    fallen = [step for step in play(make("CartPole", N, seed=0), 60) if step.ended.any()]
    assert fallen
    assert not any(step.truncated.any() for step in fallen)
    assert all(len(step.final_observations) == 0 for step in fallen)


@pytest.mark.parametrize("name", ["CartPole", "RandomMDP"])
def test_an_environment_is_the_same_alone_and_beside_others(name: str) -> None:
    alone, beside = make(name, 1, seed=4), make(name, N, seed=4)
    for action in (0, 1, 1, 0) * 10:
        a, b = alone.step(torch.tensor([action])), beside.step(torch.full((N,), action))
        assert torch.equal(a.observations[0], b.observations[0])


def test_another_seed_plays_other_games() -> None:
    assert not same(play(make("CartPole", 1, seed=4), 30), play(make("CartPole", 1, seed=5), 30))


def test_no_dead_step_in_a_game_and_every_frame_is_counted() -> None:
    """Beside the emulator's own restarts, whose step after a game is over ignores the action and pays nothing."""
    from ale_py import AtariVectorEnv

    ours = make("Seaquest", N, seed=3, size=42, max_steps=25)
    steps = play(ours, 60)
    assert [t for t, step in enumerate(steps) if step.truncated.any()] == [24, 49]
    assert [game.length for game in ours.pop_finished()] == [25] * (2 * N)
    seeds = np.array([backends._seed(3, i, 0) for i in range(N)])
    theirs = AtariVectorEnv(
        "seaquest", N, img_height=42, img_width=42, max_num_frames_per_episode=100, reward_clipping=False
    )
    theirs.reset(seed=seeds)
    generator = seeded()
    for t in range(25):
        seen, *_ = theirs.step(actions_of(ours, generator).numpy())
        wanted = steps[t].final_observations if t == 24 else steps[t].observations
        assert np.array_equal(seen, wanted.numpy())
    dead, *_ = theirs.step(actions_of(ours, generator).numpy())
    assert np.array_equal(dead, steps[24].observations.numpy())  # what they take a step for, we saw a step before


def test_a_lost_life_ends_the_return_and_not_the_game() -> None:
    environment = make("Assault", N, seed=0, size=42)
    generator, total, lost = seeded(2), np.zeros(N), np.zeros(N, int)
    while not (games := environment.pop_finished()):
        step = environment.step(actions_of(environment, generator))
        total += step.rewards.numpy()
        lost += step.ended.numpy()
    first = games[0]
    assert lost[first.environment] == 4  # the lives of Assault; the last one ends the game
    assert first.total_reward == total[first.environment] > 0
    assert not step.truncated.any()


@pytest.mark.parametrize(("name", "n_steps"), [("CartPole", 130), ("RandomMDP", 47), ("Seaquest", 90)])
def test_a_restored_environment_goes_on_exactly(name: str, n_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "BLOCK", 2)  # a new seed every second game: both kinds of start come up
    made = [make(name, N, seed=2, size=42, max_steps=20) for _ in range(2)]
    play(made[0], n_steps)
    state = made[0].state_dict()
    made[1].load_state_dict(state)
    assert made[1].state_dict()["finished"] == state["finished"]
    assert same(play(made[0], 60, seed=1), play(made[1], 60, seed=1))
    assert made[0].pop_finished() == made[1].pop_finished() != []


def test_a_state_that_leads_elsewhere_is_refused() -> None:
    environment = make("CartPole", N, seed=0)
    play(environment, 5)
    state = environment.state_dict()
    state["actions"] = 1 - state["actions"]
    with pytest.raises(ValueError, match="state: got actions that lead elsewhere now"):
        make("CartPole", N, seed=0).load_state_dict(state)
    with pytest.raises(
        ValueError, match=r"state: got \{'seed': 0, 'environments': 3\}, allowed is a state of \{'seed': 1"
    ):
        make("CartPole", N, seed=1).load_state_dict(state)


def test_the_history_is_no_longer_than_the_longest_game() -> None:
    environment = make("CartPole", N, seed=0)
    play(environment, 300)
    state = environment.state_dict()
    assert len(state["actions"]) == max(state["lengths"]) < 300


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="name: got 'Pong', allowed is one of Asteroids, Qbert"):
        make("Pong", 1, seed=0)
    with pytest.raises(ValueError, match="n_envs: got 0, allowed is a whole number >= 1"):
        make("CartPole", 0, seed=0)
    with pytest.raises(ValueError, match="seed: got -1"):
        make("CartPole", 1, seed=-1)
    environment = make("CartPole", 2, seed=0)
    with pytest.raises(ValueError, match=r"actions: got \[0, 2\], allowed is whole numbers from 0 to 1"):
        environment.step(torch.tensor([0, 2]))
    with pytest.raises(ValueError, match=r"actions: got torch.float32 of shape \(2,\), allowed is integers \(2,\)"):
        environment.step(torch.zeros(2))
    with pytest.raises(ValueError, match="n_steps: got 0"):
        environment.rollout(lambda _: torch.zeros(2, dtype=torch.long), 0)


def test_a_missing_emulator_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(ModuleNotFoundError, match=r"Atari games need ale_py: pip install 'gmrl_lab\[atari\]'"):
        make("Qbert", 1, seed=0)

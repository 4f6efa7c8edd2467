"""The Gymnasium view of a tabular MDP, and the way back."""

import builtins
import importlib
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from frequencies import count, fits
from gymnasium.utils.env_checker import check_env
from helpers import double, normal

import gmrl_lab as gl
import gmrl_lab.envs
from gmrl_lab.envs import TabularEnv

TOY_TEXT = ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"]


# --- from Gymnasium ------------------------------------------------------------------------------------------------


def value_iteration(table: Any, discount: float) -> np.ndarray:
    """Optimal values by V(s) = max_a Σ p (r + γ V(s') [not terminated]): the toy-text semantics, no model of ours."""
    rows = [
        [[np.array(column) for column in zip(*table[s][a], strict=True)] for a in range(len(table[s]))]
        for s in range(len(table))
    ]
    values = np.zeros(len(rows))
    while True:
        new = np.array([max((p * (r + discount * values[q] * ~e)).sum() for p, q, r, e in row) for row in rows])
        if np.abs(new - values).max() < 1e-10:
            return new
        values = new


def ends_of(table: Any) -> list[int]:
    """States that end the episode when they are entered."""
    return sorted({q for s in table for a in table[s] for _, q, _, ended in table[s][a] if ended})


def reachable(table: Any, starts: np.ndarray) -> set[int]:
    """States that an episode can act in."""
    found, todo = set(), list(np.flatnonzero(starts))
    while todo:
        if (s := todo.pop()) not in found:
            found.add(s)
            todo += [q for a in table[s] for p, q, _, ended in table[s][a] if p > 0 and not ended]
    return found


@pytest.mark.parametrize("name", TOY_TEXT)
def test_values_of_toy_text(name: str) -> None:
    """The optimal policy, followed in our model, has the optimal values of Gymnasium's table."""
    discount, raw = 0.8, gymnasium.make(name).unwrapped
    table: Any = raw.P  # type: ignore[attr-defined]
    wanted = torch.as_tensor(value_iteration(table, discount))
    mdp = gl.TabularMDP.from_gymnasium(name, discount)
    assert mdp.discount.item() == discount
    wanted[ends_of(table)] = 0.0
    ahead = mdp.rewards + discount * mdp.transitions @ wanted
    best = ahead > ahead.max(-1, keepdim=True).values - 1e-8
    found = gl.exact.value(mdp, torch.where(best, 0.0, -1e4).double())
    acting = sorted(reachable(table, raw.initial_state_distrib))  # type: ignore[attr-defined]
    assert len(acting) > 10
    assert (found - wanted)[acting].abs().max() < 1e-8
    assert (ahead.max(-1).values - wanted)[acting].abs().max() < 1e-8  # and no other policy does better


@pytest.mark.parametrize("name", TOY_TEXT)
def test_ends_of_toy_text_absorb_without_reward(name: str) -> None:
    raw: Any = gymnasium.make(name).unwrapped
    mdp = gl.TabularMDP.from_gymnasium(raw)
    ends = ends_of(raw.P)
    assert ends
    for s in ends:
        assert (mdp.transitions[s, :, s] == 1).all()
        assert (mdp.rewards[s] == 0).all()
    others = [s for s in reachable(raw.P, raw.initial_state_distrib) if s not in ends]
    for s in others:
        for a in raw.P[s]:
            row = np.zeros(mdp.n_states)
            for p, q, _, _ in raw.P[s][a]:
                row[q] += p
            assert np.allclose(mdp.transitions[s, a].numpy(), row, atol=1e-12)
            assert mdp.rewards[s, a].item() == pytest.approx(sum(p * r for p, _, r, _ in raw.P[s][a]))
    assert np.allclose(mdp.start_distribution.numpy(), raw.initial_state_distrib, atol=1e-12)


def test_from_gymnasium_takes_a_wrapped_environment_and_a_type() -> None:
    mdp = gl.TabularMDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=False), dtype=torch.float32)
    assert mdp.dtype == torch.float32
    assert mdp.transitions.max(-1).values.min() == 1


def test_ambiguous_ends_are_refused() -> None:
    env = TabularEnv(gl.random_mdp(2, 1))
    stays = [(1.0, 1, 0.0, False)]
    ambiguous = {0: {0: [(0.5, 1, 0.0, True), (0.5, 1, 0.0, False)]}, 1: {0: stays}}
    env.__class__ = type("Ambiguous", (TabularEnv,), {"P": ambiguous})
    with pytest.raises(ValueError, match=r"env: got states \[1\] entered both .* allowed is states that always end"):
        gl.TabularMDP.from_gymnasium(env)


def test_environments_without_a_table_are_refused() -> None:
    with pytest.raises(ValueError, match=r"env: got .*CartPole.*, allowed is an environment with a `P` table"):
        gl.TabularMDP.from_gymnasium("CartPole-v1")


# --- to Gymnasium --------------------------------------------------------------------------------------------------


def with_an_end() -> gl.TabularMDP:
    """Three states; the last absorbs without reward, the second absorbs with one."""
    transitions = double(
        [[[0.2, 0.5, 0.3], [0.6, 0.0, 0.4]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]]
    )
    return gl.TabularMDP(transitions, double([[1.0, 2.0], [0.5, 0.5], [0.0, 0.0]]), 0.9, double([0.75, 0.25, 0.0]))


@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
@pytest.mark.parametrize("mdp", [gl.random_mdp(5, 3), gl.random_mdp(1, 1), with_an_end()])
def test_environments_pass_the_checker(mdp: gl.TabularMDP) -> None:
    check_env(TabularEnv(mdp))


def test_registered_environment_passes_the_checker() -> None:
    check_env(gymnasium.make("gmrl_lab/RandomMDP-v0").unwrapped)


def test_make_gives_the_random_mdp() -> None:
    env = gymnasium.make("gmrl_lab/RandomMDP-v0", n_states=4, n_actions=3, discount=0.5, concentration=1.0, mdp_seed=7)
    wanted = gl.random_mdp(4, 3, 0.5, 1.0, seed=7)
    mdp = env.unwrapped.mdp  # type: ignore[attr-defined]
    assert mdp.transitions.equal(wanted.transitions)
    assert mdp.rewards.equal(wanted.rewards)
    assert mdp.discount.item() == 0.5
    assert (env.observation_space.n, env.action_space.n) == (4, 3)  # type: ignore[attr-defined]


def test_episodes_are_cut_after_twenty_steps() -> None:
    env = gymnasium.make("gmrl_lab/RandomMDP-v0")
    env.reset(seed=0)
    cut = [env.step(np.int64(0))[2:4] for _ in range(20)]
    assert cut == [(False, False)] * 19 + [(False, True)]


def test_make_vec_steps_four_environments() -> None:
    envs = gymnasium.make_vec("gmrl_lab/RandomMDP-v0", num_envs=4, n_states=6, concentration=1.0)
    states, _ = envs.reset(seed=0)
    assert (states == 0).all()
    following, rewards, ended, cut, _ = envs.step(np.array([0, 1, 2, 3]))
    assert following.shape == ended.shape == cut.shape == (4,)
    assert np.allclose(rewards, gl.random_mdp(6, concentration=1.0).rewards[0, :4].numpy())


def test_environment_follows_the_model() -> None:
    """Starts, transitions and rewards of 4,000 episodes; a row that is off by 0.05 must be rejected."""
    mdp = gl.random_mdp(3, 2, concentration=1.0, seed=1).replace(start_state=double([0.5, 0.2, 0.3]))
    env, actions = TabularEnv(mdp), np.random.default_rng(0).integers(2, size=(4000, 5))
    starts, steps = [], []
    env.reset(seed=0)
    for row in actions:
        state, _ = env.reset()
        starts.append([state])
        for action in row:
            following, reward, ended, cut, info = env.step(action)
            assert reward == mdp.rewards[state, action].item()
            assert (ended, cut, info) == (False, False, {})
            steps.append([state, action, following])
            state = following
    first, moves = count(np.array(starts), 3), count(np.array(steps), 3, 2, 3)
    assert fits(first.unsqueeze(0), mdp.start_distribution.unsqueeze(0))
    assert fits(moves, mdp.transitions)
    assert not fits(first.unsqueeze(0), double([[0.45, 0.25, 0.3]]))
    wrong = mdp.transitions.clone()
    wrong[0, 0] += double([0.05, -0.05, 0.0]) if wrong[0, 0, 1] > 0.05 else double([-0.05, 0.05, 0.0])
    assert not fits(moves, wrong)


@pytest.mark.parametrize(("uniform", "wanted"), [(0.0, 1), (0.5, 3), (1 - 2.0**-53, 3)])
def test_impossible_states_are_never_drawn_even_at_the_edges(
    uniform: float, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = double([0.0, 0.5, 0.0, 0.5, 0.0])
    env = TabularEnv(gl.TabularMDP(row.expand(5, 2, 5), torch.ones(5, 2, dtype=torch.float64), 0.9, row))
    monkeypatch.setattr(env, "_np_random", type("Fixed", (), {"random": lambda self: uniform})())
    assert env.reset()[0] == wanted
    assert env.step(np.int64(0))[0] == wanted


def test_seeds_make_episodes_reproducible() -> None:
    def states(seed: int) -> list[np.int64]:
        env = TabularEnv(gl.random_mdp(5, 2, concentration=1.0))
        return [env.reset(seed=seed)[0], *(env.step(np.int64(t % 2))[0] for t in range(30))]

    assert states(1) == states(1)
    assert states(1) != states(2)


def test_an_episode_terminates_where_nothing_follows() -> None:
    """In the rewardless absorbing state, and not in the one that pays."""
    env = TabularEnv(with_an_end())
    seen = set()
    for seed in range(40):
        env.reset(seed=seed)
        for _ in range(30):
            state, _, ended, _, _ = env.step(np.int64(seed % 2))
            seen.add((int(state), ended))
            if ended:
                break
    assert seen == {(0, False), (1, False), (2, True)}


@pytest.mark.parametrize("name", [*TOY_TEXT, None])
def test_there_and_back(name: str | None) -> None:
    """A model, seen through Gymnasium and read back, is the same model."""
    mdp = with_an_end() if name is None else gl.TabularMDP.from_gymnasium(name, 0.9)
    back = gl.TabularMDP.from_gymnasium(TabularEnv(mdp), 0.9)
    assert torch.allclose(back.transitions, mdp.transitions, atol=1e-12)
    assert torch.allclose(back.rewards, mdp.rewards, atol=1e-12)
    assert torch.allclose(back.start_distribution, mdp.start_distribution, atol=1e-12)


def test_sampler_and_environment_have_the_same_returns() -> None:
    """The mean undiscounted return of 3,000 episodes of each, within five standard errors of the exact one."""
    mdp = gl.random_mdp(4, 2, discount=0.0, concentration=1.0, seed=5)
    theta = torch.zeros(4, 2, dtype=torch.float64)
    env, rng = TabularEnv(mdp), np.random.default_rng(0)
    env.reset(seed=0)
    returns = []
    for _ in range(3000):
        env.reset()
        returns.append(sum(float(env.step(rng.integers(2))[1]) for _ in range(4)))
    state, exact = mdp.start_distribution, 0.0
    for _ in range(4):
        exact += (state * (theta.softmax(-1) * mdp.rewards).sum(-1)).sum().item()
        state = state @ gl.exact.transition_matrix(mdp, theta.softmax(-1))
    found = gl.sample(mdp, theta, 3000, 4, generator=torch.Generator().manual_seed(0))
    sampled = mdp.rewards[found.states[:, :-1], found.actions].sum(-1)
    for values in (torch.tensor(returns), sampled):
        assert abs(values.mean().item() - exact) < 5 * values.std().item() / 3000**0.5


def test_bad_use_is_named() -> None:
    with pytest.raises(ValueError, match=r"mdp: got a batch \(2,\), allowed is a single MDP"):
        TabularEnv(gl.random_mdp(3, 2, seed=[0, 1]))
    with pytest.raises(ValueError, match=r"mdp: got a batch \(4,\)"):
        TabularEnv(gl.random_mdp(3, 2).replace(rewards=normal(4, 3, 2)))
    env = TabularEnv(gl.random_mdp(3, 2))
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.int64(0))
    env.reset()
    for action in (2, -1, 0.5):
        with pytest.raises(ValueError, match=rf"action: got {action}, allowed is a whole number from 0 to 1"):
            env.step(action)  # type: ignore[arg-type]


def test_missing_gymnasium_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "gymnasium":
            raise ModuleNotFoundError("No module named 'gymnasium'", name="gymnasium")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "gmrl_lab.envs")
    monkeypatch.setattr(gl, "envs", gmrl_lab.envs)  # put back afterwards
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"gmrl_lab.envs needs Gymnasium: pip install 'gmrl_lab\[lab\]'"):
        importlib.import_module("gmrl_lab.envs")

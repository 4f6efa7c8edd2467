"""Sampled trajectories follow the model, whatever the chunks, the batch and the type; and all of them, counted."""

import itertools
from collections import Counter

import pytest
import torch
from frequencies import count, fits
from helpers import double, normal, seeded, tiny_mdp
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import rollout
from gmrl_lab.rollout import log_prob, lookup


def one_step(trajectories: gl.Trajectories) -> Tensor:
    """All (s, a, s'), one per row."""
    parts = trajectories.states[..., :-1], trajectories.actions, trajectories.states[..., 1:]
    return torch.stack(parts, -1).flatten(0, -2)


# --- the law ------------------------------------------------------------------------------------------------------


def test_every_conditional_follows_the_model() -> None:
    """Start, π(a|s) and P(s'|s, a) from 150,000 steps; a model that is off by 0.02 in one row must be rejected."""
    mdp = gl.random_mdp(4, 3, concentration=0.5, seed=1).replace(start_state=double([0.4, 0.1, 0.3, 0.2]))
    theta = normal(4, 3)
    found = gl.sample(mdp, theta, 50_000, 3, generator=seeded())
    starts, steps = count(found.states[:, :1], 4), count(one_step(found), 4, 3, 4)
    policy = theta.softmax(-1)
    assert fits(starts.unsqueeze(0), mdp.start_distribution.unsqueeze(0))
    assert fits(steps.sum(-1), policy)
    assert fits(steps, mdp.transitions)

    def shifted(table: Tensor) -> Tensor:
        wrong = table.clone()
        row = wrong.view(-1, wrong.shape[-1])[0]
        row[row.argmax()] -= 0.02
        row[row.argmin()] += 0.02
        return wrong

    assert not fits(starts.unsqueeze(0), shifted(mdp.start_distribution.unsqueeze(0)))
    assert not fits(steps.sum(-1), shifted(policy))
    assert not fits(steps, shifted(mdp.transitions))


def test_whole_trajectories_follow_the_model() -> None:
    """Each of the 32 or more trajectories of a tiny MDP, so that no two draws of one trajectory depend on another."""
    mdp, theta = tiny_mdp().replace(start_state=double([0.3, 0.7])), normal(2, 2)
    paths, probability = gl.enumerate_samples(mdp, theta, horizon=2)
    found = gl.sample(mdp, theta, 60_000, 2, generator=seeded())

    def code(t: gl.Trajectories) -> Tensor:
        digits = torch.cat([t.states, t.actions], -1)
        return (digits * 2 ** torch.arange(digits.shape[-1])).sum(-1).flatten()

    wanted = torch.zeros(32, dtype=torch.float64).scatter(0, code(paths), probability)
    counts = count(code(found).unsqueeze(-1), 32)
    assert fits(counts.unsqueeze(0), wanted.unsqueeze(0))
    wrong = gl.enumerate_samples(mdp, theta + double([[0.0, 0.0], [0.2, 0.0]]), horizon=2)[1]
    assert not fits(counts.unsqueeze(0), torch.zeros_like(wanted).scatter(0, code(paths), wrong).unsqueeze(0))


def test_log_probabilities_are_those_of_the_policy() -> None:
    mdp, theta = gl.random_mdp(4, 3), normal(5, 4, 3)
    found = gl.sample(mdp, theta, 6, 7, generator=seeded())
    for i, n, t in itertools.product(range(5), range(6), range(7)):
        state, action = found.states[i, n, t], found.actions[i, n, t]
        wanted = theta[i, state].log_softmax(-1)[action].item()
        assert found.behaviour_log_prob[i, n, t].item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2.0**-53])
def test_impossible_outcomes_are_never_drawn_even_at_the_edges(uniform: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform numbers at 0, at a step of the distribution, and just below 1."""
    row = double([0.0, 0.5, 0.0, 0.5, 0.0])
    mdp = gl.TabularMDP(row.expand(5, 5, 5), torch.zeros(5, 5, dtype=torch.float64), 0.9, row)
    theta = torch.where(row > 0, 0.0, -1e4).double().expand(5, 5)
    monkeypatch.setattr(rollout, "fill_uniform", lambda buffer, *_: buffer.fill_(uniform))
    found = gl.sample(mdp, theta, 2, 3, generator=seeded())
    wanted = 1 if uniform < 0.5 else 3
    assert (found.states[:, 0] == wanted).all()
    assert (found.actions == wanted).all()
    assert ((found.states == 1) | (found.states == 3)).all()


def test_impossible_outcomes_are_never_drawn() -> None:
    mdp = gl.random_mdp(6, 4, concentration=1.0, seed=2)
    keep = normal(6, 4, 6, seed=3) > 0
    keep[..., 0] |= ~keep.any(-1)
    mdp = mdp.replace(transitions=(mdp.transitions * keep) / (mdp.transitions * keep).sum(-1, keepdim=True))
    theta = torch.zeros(6, 4, dtype=torch.float64).index_fill(1, torch.tensor([0, 3]), -1e4)
    found = gl.sample(mdp, theta, 2000, 10, generator=seeded())
    s, a, following = one_step(found).unbind(-1)
    assert (mdp.transitions[s, a, following] > 0).all()
    assert set(found.actions.unique().tolist()) == {1, 2}


# --- invariances -------------------------------------------------------------------------------------------------


def same(a: gl.Trajectories, b: gl.Trajectories) -> bool:
    return a.states.equal(b.states) and a.actions.equal(b.actions)


@pytest.mark.parametrize("listed", [False, True])
def test_chunks_change_nothing(listed: bool) -> None:
    mdp, theta = gl.random_mdp(4, 3), normal(3, 4, 3)

    def draw(budget: int) -> gl.Trajectories:
        generator = gl.generators(0, 3) if listed else seeded()
        return gl.sample(mdp, theta, 17, 5, generator=generator, memory_budget=budget)

    whole, least = draw(2**30), 8 * (4 * 5 + 4 + 4 + 3)
    for budget in (least, 3 * least, 20 * least, 50 * least):  # chunks within and across batch elements
        assert same(draw(budget), whole)


def test_a_generator_per_element_makes_batch_and_single_equal() -> None:
    mdp, theta = gl.random_mdp(4, 3, seed=[0, 1, 2]), normal(3, 4, 3)
    together = gl.sample(mdp, theta, 6, 5, generator=gl.generators(4, 3))
    for i, generator in enumerate(gl.generators(4, 3)):
        alone = gl.sample(gl.random_mdp(4, 3, seed=i), theta[i], 6, 5, generator=generator)
        assert together.states[i].equal(alone.states)
        assert together.actions[i].equal(alone.actions)
        assert together.behaviour_log_prob[i].equal(alone.behaviour_log_prob)


def test_generators_do_not_depend_on_their_number() -> None:
    few, many = (torch.stack([g.get_state() for g in gl.generators(3, n)]) for n in (2, 5))
    assert few.equal(many[:2])
    assert len({g.initial_seed() for seed in range(20) for g in gl.generators(seed, 20)}) == 400


def test_same_seed_same_trajectories_and_another_seed_others() -> None:
    mdp, theta = gl.random_mdp(4, 3, concentration=1.0), normal(4, 3)
    first, again, other = (gl.sample(mdp, theta, 50, 5, generator=seeded(seed)) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)


def test_a_small_change_of_the_policy_changes_few_trajectories() -> None:
    """Common random numbers: at most 2 % of 2,000 trajectories differ after a change of 0.001 in the logits."""
    mdp, theta = gl.random_mdp(4, 3), normal(4, 3)
    a, b = (
        gl.sample(mdp, theta + 0.001 * shift * normal(4, 3, seed=1), 2000, 10, generator=seeded()) for shift in (0, 1)
    )
    changed = (a.actions != b.actions).any(-1).double().mean()
    assert 0 < changed < 0.02


def test_single_precision_gives_nearly_the_same_trajectories() -> None:
    mdp, theta = gl.random_mdp(6, 3), normal(6, 3)
    wide = gl.sample(mdp, theta, 4000, 10, generator=seeded())
    narrow = gl.sample(mdp.to(torch.float32), theta.float(), 4000, 10, generator=seeded())
    assert narrow.behaviour_log_prob.dtype == torch.float32
    assert (wide.states == narrow.states).all(-1).double().mean() > 0.999


def test_mdp_and_policy_batches_broadcast() -> None:
    """Action a of MDP i adds a + i to the state; policy j always takes action j: all trajectories are known."""
    n_states, n_actions = 7, 4
    state, action, shift = torch.meshgrid(*(torch.arange(n) for n in (n_states, n_actions, 3)), indexing="ij")
    following = ((state + action + shift) % n_states).movedim(-1, 0)
    transitions = torch.nn.functional.one_hot(following, n_states).double()
    mdp = gl.TabularMDP(
        transitions, torch.zeros(n_states, n_actions, dtype=torch.float64), 0.9, torch.tensor([0, 2, 5])
    )
    theta = 100 * torch.eye(n_actions, dtype=torch.float64).unsqueeze(1).expand(n_actions, n_states, n_actions)
    found = gl.sample(mdp, theta.unsqueeze(1), 2, 6, generator=seeded())
    assert found.states.shape == (n_actions, 3, 2, 7)
    for j, i, t in itertools.product(range(n_actions), range(3), range(7)):
        assert (found.states[j, i, :, t] == ([0, 2, 5][i] + t * (i + j)) % n_states).all()
    assert (found.actions == torch.arange(n_actions)[:, None, None, None]).all()
    alone = gl.sample(mdp, theta[0], 2, 6, generator=seeded())  # a batch of MDPs, one policy
    assert alone.states.equal(found.states[0])


# --- edges ---------------------------------------------------------------------------------------------------------


def test_an_absorbing_state_holds() -> None:
    transitions = double([[[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]])
    mdp = gl.TabularMDP(transitions, torch.ones(2, 2, dtype=torch.float64), 0.9)
    states = gl.sample(mdp, torch.zeros(2, 2, dtype=torch.float64), 200, 12, generator=seeded()).states
    assert (states.diff() >= 0).all()
    assert states[:, -1].double().mean() > 0.9


def test_a_deterministic_policy_is_followed() -> None:
    best = torch.randint(3, (5,), generator=seeded())
    theta = torch.full((5, 3), -50.0, dtype=torch.float64).scatter(1, best.unsqueeze(-1), 50.0)
    found = gl.sample(gl.random_mdp(5, 3, concentration=1.0), theta, 300, 8, generator=seeded())
    assert found.actions.equal(best[found.states[..., :-1]])
    assert found.behaviour_log_prob.abs().max() < 1e-40


@pytest.mark.parametrize(("n_states", "n_actions"), [(1, 1), (1, 3), (4, 1), (8, 2), (9, 5)])
def test_sizes_around_powers_of_two(n_states: int, n_actions: int) -> None:
    mdp = gl.random_mdp(n_states, n_actions, concentration=5.0)
    theta = torch.zeros(n_states, n_actions, dtype=torch.float64)
    steps = count(one_step(gl.sample(mdp, theta, 4000, 5, generator=seeded())), n_states, n_actions, n_states)
    assert fits(steps.sum(-1), theta.softmax(-1))
    assert fits(steps, mdp.transitions)


def test_one_trajectory_of_one_step() -> None:
    found = gl.sample(gl.random_mdp(3, 2), torch.zeros(3, 2, dtype=torch.float64), 1, 1, generator=seeded())
    assert (found.n_trajectories, found.horizon) == (1, 1)
    assert found.states.shape == (1, 2)


def test_no_gradient_flows() -> None:
    theta = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    found = gl.sample(gl.random_mdp(3, 2), theta, 2, 2, generator=seeded())
    assert not found.behaviour_log_prob.requires_grad


# --- tables along trajectories ------------------------------------------------------------------------------------


def test_lookup_reads_each_step_and_broadcasts() -> None:
    table, states = normal(4, 1, 3, 2), torch.randint(3, (5, 6, 8), generator=seeded())
    actions = torch.randint(2, (5, 6, 7), generator=seeded(1))
    found = lookup(table, states, actions)
    assert found.shape == (4, 5, 6, 7)
    for index in itertools.product(range(4), range(5), range(6), range(7)):
        i, *rest = index
        b, n, t = rest
        assert found[index] == table[i, 0, states[b, n, t], actions[b, n, t]]


def test_log_prob_differentiates_to_the_score() -> None:
    theta = normal(3, 2).requires_grad_()
    (score,) = torch.autograd.grad(log_prob(theta, torch.tensor([[1, 0]]), torch.tensor([[0]])).sum(), theta)
    wanted = torch.zeros(3, 2, dtype=torch.float64)
    wanted[1] = double([1.0, 0.0]) - theta[1].detach().softmax(-1)
    assert torch.allclose(score, wanted, atol=1e-14)


# --- enumeration ---------------------------------------------------------------------------------------------------


def brute_force(mdp: gl.TabularMDP, theta: Tensor, horizon: int) -> dict[tuple[tuple[int, ...], ...], float]:
    """Every trajectory of positive probability, by counting through all sequences of states and actions."""
    policy, start = theta.softmax(-1), mdp.start_distribution
    found = {}
    for states in itertools.product(range(mdp.n_states), repeat=horizon + 1):
        for actions in itertools.product(range(mdp.n_actions), repeat=horizon):
            p = start[states[0]].item()
            for t, a in enumerate(actions):
                p *= (policy[states[t], a] * mdp.transitions[states[t], a, states[t + 1]]).item()
            if p > 0:
                found[(states, actions)] = p
    return found


@pytest.mark.parametrize("n_trajectories", [1, 2, 3])
@pytest.mark.parametrize("start", [1, double([0.3, 0.7])])
def test_enumeration_is_complete(n_trajectories: int, start: int | Tensor) -> None:
    mdp = tiny_mdp().replace(start_state=start)
    mdp = mdp.replace(transitions=torch.cat([double([[[0.0, 1.0], [0.4, 0.6]]]), mdp.transitions[1:]]))
    theta, horizon = normal(2, 2), 2 if n_trajectories < 3 else 1
    paths = brute_force(mdp, theta, horizon)
    wanted: Counter[tuple[object, ...]] = Counter()
    for drawn in itertools.product(paths, repeat=n_trajectories):
        wanted[tuple(sorted(drawn))] += torch.tensor([paths[path] for path in drawn]).double().prod().item()
    samples, probability = gl.enumerate_samples(mdp, theta, horizon, n_trajectories)
    found = {}
    for states, actions, p in zip(samples.states.tolist(), samples.actions.tolist(), probability.tolist(), strict=True):
        key = tuple(sorted((tuple(s), tuple(a)) for s, a in zip(states, actions, strict=True)))
        assert key not in found
        found[key] = p
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key], rel=1e-6) for key in found)
    assert probability.sum().item() == pytest.approx(1.0, abs=1e-12)


def test_enumeration_carries_the_log_probabilities_of_the_policy() -> None:
    mdp, theta = tiny_mdp(), normal(2, 2).requires_grad_()
    samples, probability = gl.enumerate_samples(mdp, theta, horizon=2, n_trajectories=2)
    assert not probability.requires_grad
    assert samples.behaviour_log_prob.equal(log_prob(theta, samples.states, samples.actions).detach())

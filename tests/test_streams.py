"""Randomness: one role's draws do not depend on another's, one trial's on the others, nor anything on chunks."""

import pytest
import torch
from helpers import close, differ, normal, seeded
from torch import Tensor

import gmrl_lab as gl

MDP = gl.random_mdp(4, 3, concentration=0.5)
PHI = normal(4, 3)
MAML, LIRPG = gl.MAML(MDP), gl.LIRPG(MDP, PHI)
TASKS = pytest.mark.parametrize("task", [MAML, LIRPG], ids=["MAML", "LIRPG"])
ROLES = ("inner", "hessian", "outer")


class Recorder:
    """An estimator that keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: list[gl.Steps] = []

    def surrogate(self, steps: gl.Steps) -> Tensor:
        self.seen.append(steps)
        return gl.LVC().surrogate(steps)

    @property
    def rewards(self) -> list[Tensor]:
        """Rewards along the trajectories of each call: no two pairs (s, a) have the same, so they tell them apart."""
        return [steps.reward.detach() for steps in self.seen]

    @property
    def noise(self) -> list[Tensor]:
        """V̂(s₀): it starts each trajectory from the same state, so that it differs through its noise alone."""
        return [steps.value[..., 0].detach() for steps in self.seen]


def record(task: gl.Task = MAML, seed: int = 0, **changes) -> dict[str, Recorder]:
    """A sampled meta-gradient (K = 2) with a recorder in each role.

    The learning rate is so small that a role's policy stays the same whatever the oracles of the others are.
    """
    recorders = {role: Recorder() for role in ROLES}
    noise = changes.pop("noise", 1.0)
    baseline = gl.Baseline(noise=noise) if noise is not None else None
    oracles = {role: gl.Sampled(recorders[role], 8, horizon=5, baseline=baseline) for role in ROLES}
    settings = {"n_inner_steps": 2, "inner_lr": 1e-14, "n_trials": 3, "generator": seeded(seed), **oracles, **changes}
    gl.meta_gradient(task, PHI, **settings)
    return recorders


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(close(x, y, 1e-10) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("role", ROLES)
@TASKS
def test_an_exact_role_leaves_the_samples_of_the_others(task, role: str) -> None:
    """Trajectories and value noise, at every inner step."""
    before, after = record(task), record(task, **{role: gl.Exact()})
    assert after[role].seen == []
    for other in set(ROLES) - {role}:
        assert len(before[other].seen) == (1 if other == "outer" else 2)
        assert same(after[other].rewards, before[other].rewards)
        assert same(after[other].noise, before[other].noise)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_of_another_size_leaves_the_samples_of_the_others(role: str) -> None:
    before, after = record(), record(**{role: gl.Sampled(gl.DiCE(), 31, horizon=2)})
    for other in set(ROLES) - {role}:
        assert same(after[other].rewards, before[other].rewards)
        assert same(after[other].noise, before[other].noise)


@pytest.mark.parametrize("noise", [0.0, 0.25, None])
def test_value_noise_leaves_all_trajectories(noise: float | None) -> None:
    before, after = record(), record(noise=noise)
    for role in ROLES:
        assert same(after[role].rewards, before[role].rewards)
        assert differ(torch.stack(after[role].noise), torch.stack(before[role].noise))


def test_value_noise_of_one_role_leaves_that_of_the_others() -> None:
    before = record()
    after = record(hessian=gl.Sampled(gl.LVC(), 8, horizon=5, baseline=gl.Baseline(noise=1.0, per="trajectory")))
    for role in ("inner", "outer"):
        assert same(after[role].noise, before[role].noise)


def test_roles_and_steps_have_samples_of_their_own() -> None:
    """Unless asked for, no two of the five calls see the same trajectories or the same noise."""
    recorders = record()
    for quantity in ("rewards", "noise"):
        calls = [x for role in ROLES for x in getattr(recorders[role], quantity)]
        assert len(calls) == 5
        assert all(differ(calls[i], calls[j]) for i in range(5) for j in range(i))


def test_trials_have_samples_of_their_own() -> None:
    rewards = record()["inner"].rewards[0]
    assert differ(rewards[0], rewards[1])
    assert differ(rewards[1], rewards[2])


@TASKS
def test_shared_samples_are_the_same_for_inner_and_hessian(task) -> None:
    """At each inner step, noise included; the outer samples stay fresh, and as they were."""
    shared, apart = record(task, share_samples=True), record(task)
    assert same(shared["inner"].rewards, shared["hessian"].rewards)
    assert same(shared["inner"].noise, shared["hessian"].noise)
    assert differ(shared["inner"].rewards[0], shared["inner"].rewards[1])
    assert same(shared["inner"].rewards, apart["inner"].rewards)
    assert same(shared["outer"].rewards, apart["outer"].rewards)
    assert differ(shared["hessian"].rewards[0], apart["hessian"].rewards[0])


@pytest.mark.parametrize("n_inner_steps", [1, 3])
@TASKS
def test_shared_samples_from_one_object_or_two(task, n_inner_steps: int) -> None:
    """One oracle in both roles is evaluated once: the result must not depend on that."""
    one, two = gl.Sampled(gl.LVC(), 8, horizon=5), gl.Sampled(gl.LVC(), 8, horizon=5)

    def found(inner, hessian, shared: bool) -> Tensor:
        settings = {"inner": inner, "hessian": hessian, "share_samples": shared, "generator": seeded()}
        return gl.meta_gradient(task, PHI, n_inner_steps, 1.0, n_trials=3, **settings)

    assert close(found(one, one, True), found(one, two, True), 1e-12)
    assert close(found(one, one, False), found(one, two, False), 1e-12)
    if task is MAML or n_inner_steps > 1:
        assert differ(found(one, one, True), found(one, one, False))


def sampled(generator, n_trials: int | None, task: gl.Task = MAML, **changes) -> Tensor:
    oracle = gl.Sampled(gl.LoadedDiCE(), 8, horizon=5, **changes)
    return gl.meta_gradient(
        task, PHI, 2, 1.0, inner=oracle, hessian=oracle, outer=oracle, n_trials=n_trials, generator=generator
    )


@pytest.mark.parametrize("per", ["call", "trajectory"])
@TASKS
def test_a_trial_alone_is_the_same_as_in_a_batch(task, per: str) -> None:
    """One generator for each trial: their number and their order do not matter."""
    baseline = gl.Baseline(noise=1.0, per=per)
    together = sampled(gl.generators(7, 4), 4, task, baseline=baseline)
    for i in range(4):
        assert close(sampled(gl.generators(7, 9)[i : i + 1], 1, task, baseline=baseline)[0], together[i], 1e-12)
        assert close(sampled(gl.generators(7, 9)[i], None, task, baseline=baseline), together[i], 1e-12)
    assert close(sampled(gl.generators(7, 4)[::-1], 4, task, baseline=baseline), together.flip(0), 1e-12)
    assert differ(together[0], together[1])


def test_a_generator_for_each_element_of_the_leading_dimension() -> None:
    """Without trials the leading dimension is the batch; with trials each generator serves all MDPs of its trial."""
    batch = gl.MAML(gl.random_mdp(4, 3, concentration=0.5, seed=range(4)))
    oracle = gl.Sampled(gl.LVC(), 8, horizon=5)
    together = gl.meta_gradient(batch, PHI, inner=oracle, outer=oracle, generator=gl.generators(7, 4))
    for i in range(4):
        alone = gl.MAML(gl.random_mdp(4, 3, concentration=0.5, seed=i))
        one = gl.meta_gradient(alone, PHI, inner=oracle, outer=oracle, generator=gl.generators(7, 4)[i])
        assert close(one, together[i], 1e-12)
    wide = gl.meta_gradient(batch, PHI, inner=oracle, n_trials=2, generator=gl.generators(7, 2))
    one = gl.meta_gradient(batch, PHI, inner=oracle, n_trials=1, generator=gl.generators(7, 2)[1:])
    assert close(one[0], wide[1], 1e-12)


@TASKS
def test_same_seed_same_bits(task) -> None:
    assert torch.equal(sampled(seeded(3), 4, task), sampled(seeded(3), 4, task))
    assert differ(sampled(seeded(3), 4, task), sampled(seeded(4), 4, task))


def test_generators_of_two_seeds_or_trials_differ() -> None:
    draws = [torch.rand((), generator=g).item() for seed in (0, 1) for g in gl.generators(seed, 5)]
    assert len(set(draws)) == 10
    assert [torch.rand((), generator=g).item() for g in gl.generators(1, 9)][:5] == draws[5:]


@pytest.mark.parametrize("make", [lambda: seeded(5), lambda: gl.generators(5, 3)], ids=["one", "list"])
def test_memory_budget_does_not_change_trajectories(make) -> None:
    """Chunks of one trajectory, of a few, and all at once."""
    theta = normal(3, 2, 4, 3)
    whole = gl.sample(MDP, theta, 11, 6, generator=make())
    least = 8 * (4 * 6 + 4 + 4 + 3)
    for budget in (least, 7 * least, 12 * least):
        parts = gl.sample(MDP, theta, 11, 6, generator=make(), memory_budget=budget)
        assert torch.equal(parts.states, whole.states)
        assert torch.equal(parts.actions, whole.actions)
        assert torch.equal(parts.behaviour_log_prob, whole.behaviour_log_prob)


def test_global_seed_does_not_matter() -> None:
    """Nothing draws from the global generator, nor moves it."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = sampled(seeded(3), 4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(sampled(seeded(3), 4), first)

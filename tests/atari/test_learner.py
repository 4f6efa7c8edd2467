"""A2C and MGRL as updates of a state: what is counted, taken back, kept in a checkpoint, and that they learn."""

import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from helpers import normal, seeded
from torch import Tensor

from gmrl_lab.atari.batch import Batch, Policy
from gmrl_lab.atari.learner import Learner, LearnerState
from gmrl_lab.atari.loss import ActorCritic, Loss, Seen
from gmrl_lab.atari.meta import Inner
from gmrl_lab.atari.settings import META_PARAMETERS, Table4
from gmrl_lab.learners.optimisers import Parameters

N, T = 8, 5
META = ("mgrl", "mgrl-lvc", "mgrl-full")


class Signal:
    """An environment in one line: the action that the observation names is worth 1. It keeps what it was asked."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = seeded(seed)
        self.batches: list[Batch] = []

    def next_batch(self, policy: Policy) -> Batch:
        named = torch.randint(3, (T + 1, N), generator=self.generator)
        seen = torch.nn.functional.one_hot(named, 3).float()
        actions = torch.stack([policy(seen[t]) for t in range(T)])
        ended = torch.rand(T, N, generator=self.generator) < 0.2
        rewards = (actions == named[:-1]).float()
        self.batches.append(Batch(seen, actions, rewards, ended, torch.zeros_like(ended), seen.new_zeros(0, 3)))
        return self.batches[-1]


def learner(variant: str = "mgrl-lvc", strategy: str = "online", **changes: object) -> Learner:
    settings = Table4(variant=variant, strategy=strategy, network="mlp", n_envs=N, n_steps=T, total_steps=4000)
    return Learner(replace(settings, **changes), (3,), 3)


def equal(a: Parameters, b: Parameters) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def same(a: LearnerState, b: LearnerState) -> bool:
    tensors = equal(a.parameters, b.parameters) and equal(a.optimiser.mean, b.optimiser.mean)
    tensors &= equal(a.optimiser.square, b.optimiser.square) and a.optimiser.step == b.optimiser.step
    return tensors and torch.equal(a.phi, b.phi) and torch.equal(a.generator, b.generator)


@pytest.mark.parametrize(
    ("variant", "strategy", "batches", "updates"),
    [("a2c", "online", (1, 1, 1), 1), ("mgrl", "online", (4, 3, 3), 3), ("mgrl-lvc", "discard", (4, 4, 4), 1)],
)
def test_steps_and_updates_are_counted(variant: str, strategy: str, batches: tuple[int, ...], updates: int) -> None:
    """Online, the outer batch is the next inner batch: after the first round as many batches as updates."""
    one, world = learner(variant, strategy), Signal()
    state, total = one.init(0), 0
    for rounds, drawn in enumerate(batches, 1):
        state, metrics = one.update(state, world.next_batch)
        total += drawn
        assert len(world.batches) == total
        assert (state.env_steps, state.updates) == (total * N * T, rounds * updates)
        assert state.meta_updates == (0 if variant == "a2c" else rounds)
        assert state.optimiser.step == state.updates
        assert (metrics["env_steps"], metrics["updates"]) == (state.env_steps, state.updates)


@pytest.mark.parametrize("variant", META)
def test_discard_takes_the_virtual_updates_back(variant: str) -> None:
    """Bit for bit one plain update of θ and its optimiser, on the first batch alone, at the φ that was just learned."""
    one, world = learner(variant, "discard"), Signal()
    start, _ = one.update(one.init(0), world.next_batch)
    kept = LearnerState.from_dict(copied(start))
    after, _ = one.update(start, world.next_batch)
    assert same(start, kept)
    plain = Inner(start.parameters, start.optimiser)
    inner, _, _ = one.inner_update(plain, world.batches[4], after.phi, 7e-4 * (1 - start.env_steps / 4000))
    assert equal(after.parameters, inner.parameters)
    assert equal(after.optimiser.mean, inner.optimiser.mean)
    assert equal(after.optimiser.square, inner.optimiser.square)
    assert after.optimiser.step == start.optimiser.step + 1
    assert after.pending is None


@pytest.mark.parametrize("variant", META)
def test_online_updates_are_real(variant: str) -> None:
    """Bit for bit three plain updates at the φ before; then the outer batch waits to be the next inner one."""
    one, world = learner(variant), Signal()
    state = one.init(0)
    after, _ = one.update(state, world.next_batch)
    inner = Inner(state.parameters, state.optimiser)
    for batch in world.batches[:3]:
        inner, _, _ = one.inner_update(inner, batch, state.phi, 7e-4)
    assert equal(after.parameters, inner.parameters)
    assert after.pending is not None
    assert torch.equal(after.pending.actions, world.batches[3].actions)


def frames(policy: Policy) -> Batch:
    """Two steps in each of two environments, the second of which is cut off in the first."""
    seen = torch.randint(256, (3, 2, 4, 42, 42), dtype=torch.uint8, generator=seeded(1))
    actions = torch.stack([policy(seen[t]) for t in range(2)])
    ended = torch.tensor([[False, True], [False, False]])
    return Batch(seen, actions, torch.ones(2, 2), ended, ended, seen[1, 1:])


@pytest.mark.parametrize("strategy", ["online", "discard"])
@pytest.mark.parametrize("variant", ["a2c", *META])
def test_what_acting_has_seen_is_what_the_loss_would_compute(
    variant: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every loss of two updates, bit for bit, and so are both states; an outer batch that waited is seen anew."""
    one = Learner(Table4(variant, strategy, "small", n_envs=2, n_steps=2), (4, 42, 42), 4)
    loss, reused = ActorCritic.loss, []

    def compared(self: ActorCritic, parameters: Parameters, batch: Batch, *rest: Any, seen: Seen | None = None) -> Loss:
        reused.append(seen is not None)
        if seen is not None:
            assert torch.equal(seen.at(parameters, 2), self.features(parameters, batch.observations[:-1]))
        return loss(self, parameters, batch, *rest, seen=seen)

    def twice() -> LearnerState:
        state, _ = one.update(one.init(0), frames)
        return one.update(state, frames)[0]

    monkeypatch.setattr(ActorCritic, "loss", compared)
    found = twice()
    n_losses = {"a2c": 1, "online": 4, "discard": 5}["a2c" if variant == "a2c" else strategy]
    assert reused == [True] * n_losses + [variant == "a2c" or strategy == "discard"] + [True] * (n_losses - 1)
    monkeypatch.setattr(ActorCritic, "loss", lambda *given, seen: loss(*given))
    assert same(found, twice())


def test_features_of_other_parameters_are_refused() -> None:
    """They would change the update; of other numbers or of the same ones elsewhere in the graph, or of fewer steps."""
    one, world = learner("a2c"), Signal()
    state, _ = one.update(one.init(0), world.next_batch)
    now, before = (Inner(x.parameters, x.optimiser) for x in (state, one.init(0)))
    features = [one.network.features(before.moving, seen) for seen in world.batches[0].observations[:-1]]
    assert not torch.equal(
        torch.stack(features), one.inner_update.loss.features(now.moving, world.batches[0].observations[:-1])
    )
    for stale in (Seen(before.moving, features), Seen(now.held, features)):
        with pytest.raises(ValueError, match="seen: got features at other parameters"):
            one.inner_update(now, world.batches[0], state.phi, 7e-4, seen=stale)
    with pytest.raises(
        ValueError, match="seen: got features of 4 steps, allowed is one call of the policy for each of 5"
    ):
        one.inner_update(now, world.batches[0], state.phi, 7e-4, seen=Seen(now.moving, features[1:]))


def test_variants_have_the_same_updates_and_other_meta_gradients() -> None:
    """Until φ has moved: the estimators differ in the derivative of an update alone."""
    runs = [learner(variant, inner_lr=0.05).update(learner().init(0), Signal().next_batch) for variant in META]
    for (a, first), (b, second) in pairwise(runs):
        for name in a.parameters:
            assert torch.allclose(a.parameters[name], b.parameters[name], atol=1e-5)
        rows = [torch.tensor([m[f"meta_gradient_{name}"] for name in META_PARAMETERS]) for m in (first, second)]
        assert (rows[0] - rows[1]).norm() > 1e-3 * rows[0].norm()


def copied(state: LearnerState) -> dict[str, object]:
    """Through a file."""
    buffer = io.BytesIO()
    torch.save(state.to_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize(("variant", "strategy"), [("a2c", "online"), ("mgrl-lvc", "online"), ("mgrl-lvc", "discard")])
def test_a_state_from_a_file_goes_on_as_if_nothing_had_happened(variant: str, strategy: str) -> None:
    one, world = learner(variant, strategy), Signal()
    state, _ = one.update(one.init(3), world.next_batch)
    assert not any(x.requires_grad for x in (*state.parameters.values(), *state.optimiser.mean.values(), state.phi))
    random = world.generator.get_state()
    straight, wanted = one.update(state, world.next_batch)
    world.generator.set_state(random)
    resumed, found = learner(variant, strategy).update(LearnerState.from_dict(copied(state)), world.next_batch)
    assert found == wanted
    assert same(straight, resumed)


def test_a_seed_decides_everything() -> None:
    runs = [learner().update(learner().init(seed), Signal().next_batch)[0] for seed in (0, 0, 1)]
    assert same(runs[0], runs[1])
    assert not equal(runs[0].parameters, runs[2].parameters)


def test_actions_have_the_probabilities_of_the_policy() -> None:
    """Each of 20,000 uniform numbers falls into its action's share: frequencies within 5 standard errors, 10⁻⁵."""
    one = learner()
    parameters = one.init(0).parameters | {"policy.bias": torch.tensor([1.0, -1.0, 0.0])}
    seen = normal(1, 3).float().expand(20_000, 3)
    policy = one.network.logits(parameters, one.network.features(parameters, seen[:1])).softmax(-1)[0]
    share = torch.bincount(one.act(parameters, seen, seeded()), minlength=3) / 20_000
    error = (policy * (1 - policy) / 20_000).sqrt()
    assert ((share - policy) / error).abs().max() < 5
    assert ((share - policy.roll(1)) / error).abs().max() > 5  # power


def share_right(one: Learner, state: LearnerState) -> float:
    eye = torch.eye(3)
    policy = one.network.logits(state.parameters, one.network.features(state.parameters, eye)).softmax(-1)
    return policy.diagonal().mean().item()


@pytest.mark.parametrize("variant", ["a2c", "mgrl-lvc"])
def test_it_learns_what_the_signal_means(variant: str) -> None:
    """From a third to more than 0.9 of all actions, with all four meta-parameters moving."""
    one, world = learner(variant, inner_lr=0.02, total_steps=10**6, discount=0.5), Signal()
    state = one.init(0)
    assert share_right(one, state) == pytest.approx(1 / 3, abs=0.02)
    while state.updates < 60:
        state, _ = one.update(state, world.next_batch)
    assert share_right(one, state) > 0.9
    moved: Tensor = (state.phi - one.reference_phi).abs()
    assert (moved > 1e-3).all() if variant != "a2c" else (moved == 0).all()


def test_frames_go_through_the_small_network() -> None:
    one = Learner(Table4(network="small", n_envs=2, n_steps=2), (4, 42, 42), 4)

    state, metrics = one.update(one.init(0), frames)
    assert all(torch.isfinite(torch.tensor(x)) for x in metrics.values())
    assert all(abs(metrics[f"meta_gradient_{name}"]) > 0 for name in META_PARAMETERS)
    assert state.parameters["conv0.weight"].is_contiguous(memory_format=torch.channels_last)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="variant: got 'ppo', allowed is one of 'a2c'"):
        Table4(variant="ppo")
    with pytest.raises(ValueError, match="strategy: got 'rewind'"):
        Table4(strategy="rewind")
    with pytest.raises(ValueError, match=r"discount: got 1\.0, allowed is the interval \(0, 1\)"):
        Table4(discount=1.0)
    with pytest.raises(ValueError, match="n_inner: got 0"):
        Table4(n_inner=0)
    with pytest.raises(ValueError, match="inner_lr: got 0"):
        Table4(inner_lr=0)

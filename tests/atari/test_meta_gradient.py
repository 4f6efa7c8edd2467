"""The meta-gradient through all inner updates, against differences, the exact tabular task, and the enumeration."""

from dataclasses import dataclass, replace

import pytest
import torch
from helpers import close, differ, normal, seeded
from torch import Tensor

import gmrl_lab as gl
from gmrl_lab import exact
from gmrl_lab.atari.batch import Batch
from gmrl_lab.atari.loss import ActorCritic, Hyper
from gmrl_lab.atari.meta import Inner, InnerUpdate, meta_gradient
from gmrl_lab.atari.network import Network
from gmrl_lab.learners.optimisers import SGD, Adam, Parameters
from gmrl_lab.steps import Steps

K, LR = 3, 0.05
NETWORK = Network("mlp", (4,), 3)
PARAMETERS = NETWORK.init(seeded(), torch.float64)
PHI = torch.tensor([0.9, 0.7, 0.5, 0.2], dtype=torch.float64).logit()
REFERENCE = Hyper.of(torch.tensor([0.95, 0.9, 0.5, 0.2], dtype=torch.float64).logit())


def batch(seed: int) -> Batch:
    ended = torch.rand(5, 6, generator=seeded(seed)) < 0.2
    truncated = ended & (torch.rand(5, 6, generator=seeded(seed + 50)) < 0.5)
    actions = torch.randint(3, (5, 6), generator=seeded(seed))
    final = normal(int(truncated.sum()), 4, seed=seed + 2)
    return Batch(normal(6, 6, 4, seed=seed), actions, normal(5, 6, seed=seed + 1), ended, truncated, final)


BATCHES = [batch(10 * k + 1) for k in range(K + 1)]


@dataclass
class Frozen:
    """LVC whose ratios keep the denominators of the first K calls: those of the unperturbed path."""

    denominators: list[Tensor]
    calls: int = 0

    def surrogate(self, steps: Steps) -> Tensor:
        if len(self.denominators) < K:
            self.denominators.append(steps.log_prob.detach())
        behaviour = self.denominators[self.calls % K]
        self.calls += 1
        return gl.LVC().surrogate(replace(steps, behaviour_log_prob=behaviour))


@dataclass(frozen=True)
class FrozenCritic(ActorCritic):
    """V̂ inside Â is taken from the unperturbed path, by the batch that it belongs to."""

    memory: tuple[dict[int, tuple[Tensor, Tensor]], ...] = ({},)

    def _critic(self, features, parameters, held, batch, hyper):  # type: ignore[no-untyped-def]
        if id(batch) not in self.memory[0]:
            self.memory[0][id(batch)] = tuple(
                x.detach() for x in super()._critic(features, parameters, held, batch, hyper)
            )
        return self.memory[0][id(batch)]


def outer_loss(update: InnerUpdate, phi: Tensor, judge: ActorCritic) -> Tensor:
    inner = Inner(PARAMETERS, update.optimiser.init(PARAMETERS))
    for each in BATCHES[:K]:
        inner, _, _ = update(inner, each, phi, LR)
    return judge.outer(inner.parameters, BATCHES[K], REFERENCE)


def found(update: InnerUpdate) -> Tensor:
    start = Inner(PARAMETERS, update.optimiser.init(PARAMETERS))
    return meta_gradient(update, start, PHI, BATCHES[:K], BATCHES[K], REFERENCE, LR)


def differences(update: InnerUpdate, step: float = 1e-5) -> Tensor:
    """Central, in φ. The outer loss is a policy gradient's surrogate: in it, and at it alone, Â is held fixed."""
    judge = FrozenCritic(NETWORK, memory=({},))
    outer_loss(update, PHI, judge)  # what is frozen on the first call is frozen at φ

    def at(shift: Tensor) -> Tensor:
        return outer_loss(update, PHI + shift, judge)

    return torch.stack([(at(e) - at(-e)) / (2 * step) for e in step * torch.eye(4, dtype=torch.float64)])


def update_of(loss: ActorCritic, optimiser: SGD | Adam = Adam(eps=1e-3)) -> InnerUpdate:  # noqa: B008
    return InnerUpdate(loss, optimiser, 0.5)


@pytest.mark.parametrize("optimiser", [Adam(eps=1e-3), SGD()], ids=str)
def test_autodiff_agrees_with_plain_differences(optimiser: SGD | Adam) -> None:
    """Through three clipped Adam updates, V̂ and its θ included: the derivative of exactly what is run."""
    update = update_of(ActorCritic(NETWORK, critic_derivative="full"), optimiser)
    assert close(found(update), differences(update), 1e-5)


def test_a_constant_critic_is_one_that_keeps_its_values() -> None:
    """The published "none": differences agree where V̂ stays that of the unperturbed path, and only there."""
    frozen = FrozenCritic(NETWORK, memory=({},))
    plain = update_of(ActorCritic(NETWORK))
    assert close(found(plain), differences(update_of(frozen)), 1e-5)
    assert differ(found(plain), differences(plain))


def test_lvc_agrees_where_the_ratios_denominators_stay() -> None:
    """Differences of LVC's surrogate with the denominators of the unperturbed path; of the updates as run, not."""
    lvc = update_of(ActorCritic(NETWORK, gl.LVC(), critic_derivative="full"))
    frozen = update_of(ActorCritic(NETWORK, Frozen([]), critic_derivative="full"))
    assert close(found(lvc), differences(frozen), 1e-5)
    assert differ(found(lvc), differences(lvc))
    assert close(differences(lvc), found(update_of(ActorCritic(NETWORK, critic_derivative="full"))), 1e-5)


def test_derivatives_of_the_critic_differ() -> None:
    grads = [found(update_of(ActorCritic(NETWORK, critic_derivative=by))) for by in ("none", "phi", "full")]
    assert all(differ(grads[i], grads[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


# --- the exact tabular task -----------------------------------------------------------------------------------------

MDP = gl.random_mdp(2, 2, discount=0.9, concentration=1.0, seed=3)
THETA = 0.3 * normal(2, 2, seed=1)
SAMPLES, _ = gl.enumerate_samples(MDP, THETA, 3)
STATES, ACTIONS = SAMPLES.states.flatten(0, -2), SAMPLES.actions.flatten(0, -2)  # (n, T + 1), (n, T)
MOVES = MDP.transitions[STATES[:, :-1], ACTIONS, STATES[:, 1:]].prod(-1)


def every_trajectory() -> Batch:
    """All of them, as one batch of one-hot states: `(T, n)`."""
    never = torch.zeros_like(ACTIONS.T, dtype=torch.bool)
    seen = torch.nn.functional.one_hot(STATES.T, 2).double()
    return Batch(seen, ACTIONS.T, MDP.rewards[STATES[:, :-1], ACTIONS].T, never, never, seen.new_zeros(0, 2))


@dataclass(frozen=True)
class Weighted:
    """An estimator with weights γᵗ, each trajectory counted by its probability under the policy that acted."""

    estimator: gl.Estimator

    def surrogate(self, steps: Steps) -> Tensor:
        probability = (MOVES * steps.log_prob.detach().sum(-1).exp()).unsqueeze(-1)
        discounts = steps.discount ** torch.arange(3)
        return self.estimator.surrogate(replace(steps, weight=len(MOVES) * probability * discounts))


class Tabular(Network):
    """The softmax policy of a table, with its exact values for a critic."""

    def value(self, parameters: Parameters, features: Tensor, discount: Tensor) -> Tensor:
        return features @ exact.value(MDP.replace(discount=discount), parameters["policy.weight"].mT)


@pytest.mark.parametrize("estimator", [gl.AD(), gl.LVC(), gl.LoadedDiCE()], ids=str)
def test_agrees_with_the_exact_tabular_task(estimator: gl.Estimator) -> None:
    """SGD on the expected surrogate, K = 3: `gl.meta_gradient` of `gl.MGRL` with the same estimator, V̂ exact."""
    network = Tabular("linear", (2,), 2)
    parameters = {"policy.weight": THETA.mT.contiguous(), "policy.bias": torch.zeros(2, dtype=torch.float64)}
    loss = ActorCritic(network, Weighted(estimator), critic_derivative="phi", reward_clip=float("inf"))
    update, leaf = InnerUpdate(loss, _TableOnly()), gl.MGRL.phi(0.7, 0.4).requires_grad_()
    phi = torch.cat([leaf, torch.full((2,), -1e3, dtype=torch.float64)])  # no value and no entropy term
    inner = Inner(parameters, SGD().init(parameters))
    for _ in range(3):
        inner, _, _ = update(inner, every_trajectory(), phi, 2.0, create_graph=True)
    last = Hyper(*torch.tensor([0.9, 0.9, 0.5, 0.5], dtype=torch.float64))
    judged = replace(loss, estimator=Weighted(gl.AD())).loss(inner.parameters, every_trajectory(), last).policy
    (ours,) = torch.autograd.grad(-judged, leaf)

    quiet = {"horizon": 3, "baseline": gl.Baseline(noise=0.0)}
    oracle, outer = gl.Expected(estimator, **quiet), gl.Expected(gl.AD(), gae_lambda=0.9, **quiet)
    task = gl.MGRL(MDP, THETA)
    assert close(ours, gl.meta_gradient(task, leaf.detach(), 3, 2.0, oracle, oracle, outer), 1e-9)
    other = gl.Expected(gl.LVC() if estimator == gl.AD() else gl.AD(), **quiet)
    assert differ(ours, gl.meta_gradient(task, leaf.detach(), 3, 2.0, other, other, outer))


class _TableOnly(SGD):
    """SGD that leaves the bias alone: a table has none."""

    def step(self, parameters, gradients, state, lr):  # type: ignore[no-untyped-def]
        return super().step(parameters, gradients | {"policy.bias": torch.zeros(2).double()}, state, lr)


# --- the corrected loss -----------------------------------------------------------------------------------------------


def jacobian_vector(loss: ActorCritic, differentiate_probability: bool) -> list[Tensor]:
    """∇_{θ, φ} of v · E[ĝ]: through the probabilities of trajectories, or through what the loss itself carries."""
    net, n = loss.network, len(MOVES)
    shared = {name: x + 0.1 * normal(*x.shape, seed=5) for name, x in net.init(seeded(), torch.float64).items()}
    leaves = {name: x.expand(n, *x.shape).clone().requires_grad_() for name, x in shared.items()}
    phi = PHI.expand(n, 4).clone().requires_grad_()
    whole = every_trajectory()
    ended = (STATES[:, 1:] == 1).T & (ACTIONS == 0).T  # some returns end within the window
    each = {"observations": whole.observations, "actions": whole.actions, "rewards": whole.rewards, "ended": ended}
    each = {name: x.unsqueeze(2) for name, x in each.items()}
    given = Batch(**each, truncated=torch.zeros_like(each["ended"]), final_observations=whole.final_observations)
    inner = Inner(leaves, SGD().init(leaves))
    moved, _, _ = InnerUpdate(loss, SGD())(inner, given, phi, 1.0, create_graph=True)
    log_policy = net.logits(leaves, net.features(leaves, given.observations[:-1])).log_softmax(-1)
    taken = log_policy.gather(-1, given.actions.unsqueeze(-1)).sum((0, 2, 3))
    probability = MOVES * (taken if differentiate_probability else taken.detach()).exp()
    field = [leaves[name] - moved.parameters[name] for name in leaves]
    projected = [(x * normal(*x.shape[1:], seed=i)).flatten(1).sum(-1) for i, x in enumerate(field)]
    total = (probability * sum(projected)).sum()
    return [x.sum(0) for x in torch.autograd.grad(total, [*leaves.values(), phi], materialize_grads=True)]


def test_the_corrected_update_has_the_derivative_of_the_expected_update() -> None:
    """Every trajectory of a tiny MDP, all three terms, GAE with λ < 1, ends within the window: exact to 1e-10."""
    plain = ActorCritic(Network("linear", (2,), 2), critic_derivative="full", reward_clip=float("inf"))
    truth = jacobian_vector(plain, differentiate_probability=True)
    corrected = jacobian_vector(replace(plain, corrected=True), differentiate_probability=False)
    assert all(close(a, b, 1e-10) for a, b in zip(corrected, truth, strict=True))
    for wrong in (gl.AD(), gl.LVC(), gl.LoadedDiCE()):
        other = jacobian_vector(replace(plain, estimator=wrong), differentiate_probability=False)
        assert any(differ(a, b) for a, b in zip(other, truth, strict=True))

"""Advantages and returns of a batch against sums written out, with lost lives and truncation in the middle."""

import pytest
import torch
from helpers import close, normal, seeded
from torch import Tensor

from gmrl_lab.atari.batch import Batch
from gmrl_lab.atari.loss import ActorCritic, Hyper
from gmrl_lab.atari.network import Network

T, N = 6, 5
ENDED = torch.zeros(T, N, dtype=torch.bool)
ENDED[2, 1] = ENDED[0, 2] = ENDED[3, 2] = ENDED[5, 3] = ENDED[2, 4] = ENDED[5, 4] = True
TRUNCATED = torch.zeros_like(ENDED)
TRUNCATED[3, 2] = TRUNCATED[2, 4] = TRUNCATED[5, 4] = True
HYPER = Hyper(*torch.tensor([0.9, 0.6, 0.5, 0.01], dtype=torch.float64))
NETWORK = Network("mlp", (4,), 3)
PARAMETERS = NETWORK.init(seeded(), torch.float64)


def batch(**changes: Tensor) -> Batch:
    fields = {
        "observations": normal(T + 1, N, 4),
        "actions": torch.randint(3, (T, N), generator=seeded(1)),
        "rewards": 2 * normal(T, N, seed=2),
        "ended": ENDED,
        "truncated": TRUNCATED,
        "final_observations": normal(3, 4, seed=3),
    }
    return Batch(**fields | changes)


def value(observations: Tensor) -> Tensor:
    return NETWORK.value(PARAMETERS, NETWORK.features(PARAMETERS, observations), HYPER.discount)


def by_hand(given: Batch, clip: float) -> Tensor:
    """λ-returns as mixtures of n-step returns, (1 − λ) Σ λⁿ⁻¹ Gⁿ and the rest of the weight on the last one."""
    discount, mix = HYPER.discount.item(), HYPER.gae_lambda.item()
    finals = dict(zip(map(tuple, given.truncated.nonzero().tolist()), value(given.final_observations).tolist()))
    seen, rewards = value(given.observations).tolist(), given.rewards.clamp(-clip, clip).tolist()
    returns = torch.empty(N, T, dtype=torch.float64)
    for env in range(N):
        for t in range(T):
            total, collected, left = 0.0, 0.0, 1.0
            for n, step in enumerate(range(t, T), 1):
                collected += discount ** (n - 1) * rewards[step][env]
                over = bool(given.ended[step, env])
                after = finals.get((step, env), 0.0) if over else seen[step + 1][env]
                share = left if over or step == T - 1 else left * (1 - mix)
                total, left = total + share * (collected + discount**n * after), left - share
                if over:
                    break
            returns[env, t] = total
    return returns


@pytest.mark.parametrize("clip", [1.0, float("inf")])
def test_returns_and_advantages_against_sums_written_out(clip: float) -> None:
    given, loss = batch(), ActorCritic(NETWORK, reward_clip=clip)
    log_policy = NETWORK.logits(PARAMETERS, NETWORK.features(PARAMETERS, given.observations[:-1])).log_softmax(-1)
    steps = loss.steps(given, log_policy, value(given.observations), value(given.final_observations), HYPER)
    wanted = by_hand(given, clip)
    assert close(steps.value + steps.advantage, wanted, 1e-12)
    found = loss.loss(PARAMETERS, given, HYPER)
    values = value(given.observations[:-1]).T
    taken = log_policy.gather(-1, given.actions.unsqueeze(-1)).squeeze(-1).T
    entropy = -(log_policy.exp() * log_policy).sum(-1).mean()
    assert close(found.value, (values - wanted).square().mean(), 1e-12)
    assert close(found.policy, -(taken * (wanted - values)).mean(), 1e-12)
    assert close(found.total, found.policy + 0.5 * found.value - 0.01 * entropy, 1e-12)


@pytest.mark.parametrize("change", ["ended", "truncated", "final_observations"])
def test_an_end_that_is_overlooked_would_be_seen(change: str) -> None:
    """Power: without the ends, with a truncation as a death, or with the next game's frame, returns are others."""
    none = torch.zeros_like(ENDED)
    wrong = {
        "ended": {"ended": none, "truncated": none, "final_observations": normal(0, 4)},
        "truncated": {"truncated": none, "final_observations": normal(0, 4)},
        "final_observations": {"final_observations": normal(3, 4, seed=9)},
    }[change]
    found = ActorCritic(NETWORK, reward_clip=float("inf")).loss(PARAMETERS, batch(**wrong), HYPER)
    values = value(batch().observations[:-1]).T
    assert not close(found.value, (values - by_hand(batch(), float("inf"))).square().mean(), 1e-6)


def test_bad_batches() -> None:
    with pytest.raises(ValueError, match=r"actions: got torch\.float64"):
        batch(actions=normal(T, N))
    with pytest.raises(ValueError, match="rewards: got shape"):
        batch(rewards=normal(T, N + 1))
    with pytest.raises(ValueError, match="rewards: got nan"):
        batch(rewards=torch.full((T, N), float("nan")))
    with pytest.raises(ValueError, match=r"ended: got torch\.int64"):
        batch(ended=ENDED.long())
    with pytest.raises(ValueError, match="observations: got shape"):
        batch(observations=normal(T, N, 4))
    with pytest.raises(ValueError, match="truncated: got a step that has not ended"):
        batch(ended=torch.zeros_like(ENDED))
    with pytest.raises(ValueError, match="final_observations: got shape"):
        batch(final_observations=normal(2, 4))

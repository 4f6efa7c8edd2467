"""Solutions and plausible wrong answers of lesson 14."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from proof import prove, prove_choice
from torch import Tensor

from gmrl_lab.atari.figures import interquartile_mean
from gmrl_lab.explorers.atari_finished import mean_of_finished
from gmrl_lab.explorers.atari_game import discounted_returns


def test_returns() -> None:
    def by_the_package(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
        return torch.from_numpy(discounted_returns(rewards.clamp(-1, 1).numpy(), lost.numpy(), discount))

    def life_by_life(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
        t = torch.arange(len(rewards))
        life = torch.cat([torch.zeros(1), lost[:-1].cumsum(0)])
        counts = (t >= t[:, None]) & (life == life[:, None])
        return torch.where(counts, discount ** (t - t[:, None]).abs().double(), 0.0) @ rewards.clamp(-1, 1)

    def plain(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
        return torch.from_numpy(discounted_returns(rewards.numpy(), lost.numpy(), discount))

    def shifted(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
        return life_by_life(rewards, torch.cat([lost[1:], lost[:1] & False]), discount)

    wrong = {
        "not clipped": [plain],
        "the game goes on": [lambda r, lost, g: life_by_life(r, lost & False, g)],
        "the return is clipped": [
            lambda r, lost, g: plain(r, lost, g).clamp(-1, 1),
            lambda r, lost, g: life_by_life(r, lost, g).clamp(-1, 1),
        ],
        "the losing step is dropped": [lambda r, lost, g: life_by_life(r * ~lost, lost, g)],
        "a step early": [shifted],
    }
    prove("14.returns", [by_the_package, life_by_life], wrong)


def test_middle() -> None:
    def by_the_package(scores: Tensor) -> Tensor:
        return torch.as_tensor(interquartile_mean(scores.numpy()))

    def by_ranks(scores: Tensor) -> Tensor:
        values = scores.flatten()
        rank = values.argsort().argsort()
        cut = len(values) // 4
        return values[(rank >= cut) & (rank < len(values) - cut)].mean()

    def between_quartiles(scores: Tensor) -> Tensor:
        low, high = scores.quantile(0.25), scores.quantile(0.75)
        return scores[(scores >= low) & (scores <= high)].mean()

    def without_best(scores: Tensor) -> Tensor:
        return scores.flatten().sort().values[: -(scores.numel() // 4)].mean()

    wrong = {
        "the mean": [lambda scores: scores.mean()],
        "the median": [lambda scores: scores.quantile(0.5)],
        "game by game": [lambda scores: torch.stack([by_ranks(game) for game in scores.unbind(1)]).mean()],
        "one end": [without_best, lambda scores: -without_best(-scores)],
        "an eighth": [lambda s: s.flatten().sort().values[s.numel() // 8 : -(s.numel() // 8)].mean()],
        "rounded up": [between_quartiles],
    }
    prove("14.middle", [by_the_package, by_ranks], wrong)


def test_finished() -> None:
    def by_the_package(step: int, lengths: Tensor, chances: Tensor, returns: Tensor) -> Tensor:
        kinds = (tuple(x.tolist()) for x in (lengths, chances, returns))
        return torch.tensor(mean_of_finished(*kinds, last=step)[step], dtype=torch.float64)

    def by_enumeration(step: int, lengths: Tensor, chances: Tensor, returns: Tensor) -> Tensor:
        """Every sequence of games that can end by `step`, with its chance."""

        def seen(left: int) -> np.ndarray:
            total = np.zeros(2)
            for length, p, r in zip(lengths.tolist(), chances.tolist(), returns.tolist(), strict=True):
                if length <= left:
                    total += p * (np.array([r, 1.0]) + seen(left - length))
            return total

        paid, n = seen(step)
        return torch.tensor(paid / n, dtype=torch.float64)

    def weighted(returns: Tensor, weights: Tensor) -> Tensor:
        return (returns * weights).sum() / weights.sum()

    wrong = {
        "the policy's mean": [lambda t, lengths, p, r: p @ r],
        "first games only": [lambda t, lengths, p, r: weighted(r, p * (lengths <= t))],
        "always the same kind": [lambda t, lengths, p, r: weighted(r, p * (t // lengths))],
        "by time": [lambda t, lengths, p, r: weighted(r, p * lengths)],
    }
    prove("14.finished", [by_the_package, by_enumeration], wrong)


def test_apart() -> None:
    prove_choice("14.apart", "b")
    orders = list(permutations(range(6)))
    apart = [order for order in orders if max(order[:3]) < min(order[3:]) or min(order[:3]) > max(order[3:])]
    assert len(apart) / len(orders) == 0.1

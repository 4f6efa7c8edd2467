"""Solutions and plausible wrong answers of lesson 12."""

from __future__ import annotations

import torch
from proof import prove, prove_choice
from torch import Tensor


def test_share() -> None:
    def by_hand(delta: Tensor, horizon: int) -> Tensor:
        return torch.cosh(delta / 2) ** (-4 * horizon)

    def by_sums(delta: Tensor, horizon: int) -> Tensor:
        moves = torch.stack([delta.sigmoid(), (-delta).sigmoid()])
        return (0.25 / moves).sum() ** (-2 * horizon)

    wrong = {
        "one player": [lambda d, n: torch.cosh(d / 2) ** (-2 * n)],
        "one round": [lambda d, n: 1 / torch.cosh(d / 2) ** 4],
        "upside down": [lambda d, n: 1 / by_sums(d, n)],
        "the whole δ": [lambda d, n: torch.cosh(d) ** (-4 * n)],
        "for small δ": [lambda d, n: torch.exp(-n * d * d / 2)],
    }
    prove("12.share", [by_hand, by_sums], wrong)


def test_targets() -> None:
    def matrix(rewards: Tensor, discount: float) -> Tensor:
        t = torch.arange(rewards.shape[-1], dtype=rewards.dtype)
        ahead = t - t[:, None]
        return rewards @ torch.where(ahead >= 0, discount ** ahead.abs(), 0.0).T

    def loop(rewards: Tensor, discount: float) -> Tensor:
        found = rewards.clone()
        for t in range(rewards.shape[-1] - 2, -1, -1):
            found[..., t] += discount * found[..., t + 1]
        return found

    def weight(rewards: Tensor, discount: float) -> Tensor:
        return discount ** torch.arange(rewards.shape[-1], dtype=rewards.dtype)

    wrong = {
        "immediate reward": [lambda r, g: r.clone()],
        "discounted from the start": [lambda r, g: (r * weight(r, g)).flip(-1).cumsum(-1).flip(-1)],
        "no discount": [lambda r, g: r.flip(-1).cumsum(-1).flip(-1)],
        "the past": [lambda r, g: loop(r.flip(-1), g).flip(-1)],
        "without this round": [lambda r, g: matrix(r, g) - r],
    }
    prove("12.targets", [matrix, loop], wrong)


def test_stored() -> None:
    prove_choice("12.stored", "c")


def test_alike() -> None:
    prove_choice("12.alike", "b")

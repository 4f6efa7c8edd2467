"""Solutions and plausible wrong answers of lesson 10."""

from __future__ import annotations

import math

import torch
from proof import prove, prove_choice
from torch import Tensor


def test_credit() -> None:
    def loop(discount: Tensor, gae_lambda: Tensor, distance: Tensor, attached: bool) -> Tensor:
        credit = torch.ones_like(discount)
        for _ in range(int(distance)):
            credit = credit * discount * (1.0 if attached else gae_lambda)
        return credit

    def telescoped(discount: Tensor, gae_lambda: Tensor, distance: Tensor, attached: bool) -> Tensor:
        """By hand: (γλ)^l and what the γV̂' − V̂ of each step before adds."""
        decay, n = discount * gae_lambda, int(distance)
        own = decay**n
        if not attached:
            return own
        return own + sum(decay**j * discount * (1 - gae_lambda) * discount ** (n - 1 - j) for j in range(n))

    wrong = {
        "λ in both": [lambda g, la, d, a: (g * la) ** d],
        "λ in neither": [lambda g, la, d, a: g**d],
        "the wrong way round": [lambda g, la, d, a: (g * la) ** d if a else g**d],
        "λ once": [lambda g, la, d, a: g**d if a else la * g**d],
        "one step too many": [lambda g, la, d, a: g ** (d + 1) if a else (g * la) ** (d + 1)],
    }
    prove("10.credit", [loop, telescoped], wrong)


def test_paired() -> None:
    def by_hand(first: Tensor, second: Tensor) -> Tensor:
        d = first - second
        return ((d - d.mean()).square().sum() / (len(d) - 1) / len(d)).sqrt()

    def with_covariance(first: Tensor, second: Tensor) -> Tensor:
        both = torch.cov(torch.stack([first, second]))
        return ((both[0, 0] + both[1, 1] - 2 * both[0, 1]) / len(first)).sqrt()

    wrong = {
        "as if independent": [lambda a, b: torch.hypot(a.std(), b.std()) / math.sqrt(len(a))],
        "of one run": [lambda a, b: (b - a).std()],
        "divided by n": [lambda a, b: (a - b).std() / len(b)],
        "without Bessel": [lambda a, b: (a - b).var(correction=0).div(len(a)).sqrt()],
    }
    prove("10.paired", [by_hand, with_covariance], wrong)


def test_ad_drops() -> None:
    prove_choice("10.ad_drops", "b")


def test_cost() -> None:
    prove_choice("10.cost", "c")

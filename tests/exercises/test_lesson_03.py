"""Solutions and plausible wrong answers of lesson 03."""

from __future__ import annotations

import torch
from proof import prove, prove_choice
from torch import Tensor


def updates(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    """By explicit products, from the left."""
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[i + 1 :]:
            product = product @ factor
        total = total + lr * jacobian @ product @ v
    return total


def recursive(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    """By the recursion of the proof, G ← G X + α D."""
    matrix = torch.zeros_like(jacobians[0])
    for jacobian, factor in zip(jacobians, factors, strict=True):
        matrix = matrix @ factor + lr * jacobian
    return matrix @ v


def own_factor_too(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    matrix = torch.zeros_like(jacobians[0])
    for jacobian, factor in zip(jacobians, factors, strict=True):
        matrix = (matrix + lr * jacobian) @ factor
    return matrix @ v


def reversed_order(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[i + 1 :]:
            product = factor @ product
        total = total + lr * jacobian @ product @ v
    return total


def factors_before(jacobians, factors, v: Tensor, lr: float) -> Tensor:
    total = torch.zeros(jacobians[0].shape[0], dtype=v.dtype)
    for i, jacobian in enumerate(jacobians):
        product = torch.eye(len(v), dtype=v.dtype)
        for factor in factors[:i]:
            product = factor @ product
        total = total + lr * jacobian @ product @ v
    return total


def test_through_updates() -> None:
    wrong = {
        "own factor too": [own_factor_too],
        "factors reversed": [reversed_order],
        "factors before the step": [factors_before],
        "no step size": [lambda d, x, v, lr: updates(d, x, v, 1.0), lambda d, x, v, lr: recursive(d, x, v, lr) / lr],
        "no factors": [lambda d, x, v, lr: lr * sum(d) @ v],
        "last step alone": [lambda d, x, v, lr: lr * (d[-1] @ v)],
    }
    prove("03.through_updates", [updates, recursive], wrong)


def test_learned_reward() -> None:
    prove_choice("03.learned_reward", "c")


def test_naive() -> None:
    prove_choice("03.naive", "c")

"""Exercises of lesson 11: LOLA's gradient, when peace pays, and what decides whether shaping beats temptation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question
from gmrl_lab.games import IPD, Chicken, MatrixGame, StagHunt

Value = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Answer = Callable[[Value, Tensor, Tensor, float], Tensor]


def _slope(of: Tensor, at: Tensor) -> Tensor:
    return torch.autograd.grad(of, at, create_graph=True)[0]


def _shaped(climbs: int = 1, sign: float = 1.0, detached: bool = False) -> Answer:
    """LOLA's gradient, or a mistaken one: whose value the opponent climbs, up or down, and what autodiff sees."""

    def answer(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
        phi, theta = ego.detach().requires_grad_(), opponent.detach().requires_grad_()
        step = sign * inner_lr * _slope(value(phi, theta)[climbs], theta)
        return _slope(value(phi, theta + (step.detach() if detached else step))[0], phi).detach()

    return answer


def _naive(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
    phi = ego.detach().requires_grad_()
    return _slope(value(phi, opponent)[0], phi).detach()


def _first_order(value: Value, ego: Tensor, opponent: Tensor, inner_lr: float) -> Tensor:
    """Foerster et al. (2018): V¹(φ, θ⁰) + α ∇_θ V¹ · ∇_θ V², and of that product the second factor's derivative."""
    phi, theta = ego.detach().requires_grad_(), opponent.detach().requires_grad_()
    one, two = value(phi, theta)
    pull = (_slope(one, theta).detach() * _slope(two, theta)).sum()
    return _slope(one + inner_lr * pull, phi).detach()


def _games() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    policies = [torch.randn(2, 5, generator=generator, dtype=torch.float64) for _ in range(3)]
    games: list[tuple[str, MatrixGame]] = [
        ("the dilemma", IPD(0.9)),
        ("chicken", Chicken(0.8)),
        ("stags", StagHunt(0.8)),
    ]
    return [
        Case(f"two random policies in {name}", (game.value, *pair, 0.5))
        for (name, game), pair in zip(games, policies, strict=True)
    ]


LOLA_GRADIENT = Exercise(
    id="11.lola_gradient",
    reference=_shaped(),
    cases=_games,
    praise="That is it: one gradient inside another, and `create_graph` between them. The rest is an optimiser.",
    hint="First let the opponent take its step, with φ still in it. Then differentiate your own value in φ.",
    mistakes=(
        Mistake(
            "naive",
            "For {case}: {got}, not {expected}. That is against an opponent that stays; when does it move?",
            (_naive,),
        ),
        Mistake(
            "step detached",
            "For {case}: {got}, not {expected}. The opponent moves, and you meet it where it arrives. But its step "
            "depends on your policy: does autodiff know?",
            (_shaped(detached=True),),
        ),
        Mistake(
            "opponent climbs your value",
            "For {case}: {got}, not {expected}. Your opponent helps you. Which of the two values does it climb?",
            (_shaped(climbs=0),),
        ),
        Mistake(
            "opponent descends",
            "For {case}: {got}, not {expected}. Is the opponent's step up or down?",
            (_shaped(sign=-1.0),),
        ),
        Mistake(
            "first-order expansion",
            "For {case}: {got}, not {expected}. That is the original paper's form, which expands your value around θ⁰. "
            "Proposition 3.1 takes every derivative of it where?",
            (_first_order,),
        ),
    ),
)


def _least(temptation: Tensor, reward: Tensor, punishment: Tensor, sucker: Tensor) -> Tensor:
    return (temptation - reward) / (temptation - punishment)


def _payoffs() -> list[Case]:
    def numbers(*values: float) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(value, dtype=torch.float64) for value in values)

    return [
        Case("the dilemma, 0, −1, −2, −3", numbers(0.0, -1.0, -2.0, -3.0)),
        Case("Axelrod's tournament, 5, 3, 1, 0", numbers(5.0, 3.0, 1.0, 0.0)),
        Case("a greater temptation, 4, −1, −2, −5", numbers(4.0, -1.0, -2.0, -5.0)),
    ]


LEAST_DISCOUNT = Exercise(
    id="11.least_discount",
    reference=_least,
    cases=_payoffs,
    praise="That is it. The sucker's payoff has no part in it: tit-for-tat is the one who is cheated on.",
    hint="Write both values against tit-for-tat as a first round and a geometric series. Where are they equal?",
    mistakes=(
        Mistake(
            "one round of punishment",
            "For {case}: {got}, not {expected}. You let the punishment last for one round. If you go on defecting, "
            "when does it end?",
            (lambda t, r, p, s: (t - r) / (r - p),),
        ),
        Mistake(
            "complement",
            "For {case}: {got}, not {expected}. The two add up to one. What does the value weigh with γ, the first "
            "round or what follows?",
            (lambda t, r, p, s: (r - p) / (t - p),),
        ),
        Mistake(
            "sucker's payoff",
            "For {case}: {got}, not {expected}. Against tit-for-tat, in which round do you get the payoff of CD if you "
            "always defect?",
            (lambda t, r, p, s: (t - r) / (t - s), lambda t, r, p, s: (t - r) / (r - s)),
        ),
        Mistake(
            "inverse",
            "For {case}: {got}, not {expected}. It is above one. Can a discount be?",
            (lambda t, r, p, s: (t - p) / (t - r),),
        ),
    ),
)

READ_LOGITS = Question(
    id="11.read_logits",
    answer="b",
    why="It cooperates after both states in which the other cooperated (CC, DC), and not after the other two: "
    "tit-for-tat. That it starts with a defection changes the first round, and against its like what follows.",
    hints={
        "a": "Grim trigger never forgives. What does this one do after DC, where it has cheated and the other has not?",
        "c": "Win-stay, lose-shift repeats what paid: after DC it defects again, after DD it shifts. Does this one?",
        "d": "Always defect would have five negative logits. How many are there?",
    },
)

WHY_NOT = Question(
    id="11.why_not",
    answer="d",
    why="At γ = 0.8 and α = 0.3 the updates' term is 0.037 against a temptation of 0.241: the gradient is exact, peace "
    "would pay, and the look-ahead is too short to see it. With α = 3 the same learner cooperates.",
    hints={
        "a": "Against tit-for-tat peace pays from γ = ½ on. Is 0.8 less?",
        "b": "Everything is exact here. Which sample could be too small?",
        "c": "At γ = 0.96 the same number of updates was enough. Does the score still move after 100 of them?",
    },
)

EXERCISES = (LOLA_GRADIENT, LEAST_DISCOUNT, READ_LOGITS, WHY_NOT)

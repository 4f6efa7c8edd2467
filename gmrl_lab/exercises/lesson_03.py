"""Exercises of lesson 03: the updates' term of Proposition 3.1, what players see, which terms an algorithm has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question

Matrices = Sequence[Tensor]


def _updates(jacobians: Matrices, factors: Matrices, v: Tensor, inner_lr: float) -> Tensor:
    """Backwards: v is carried through the later factors on its way to each D."""
    total, ahead = torch.zeros_like(jacobians[0] @ v), v
    for jacobian, factor in zip(reversed(jacobians), reversed(factors), strict=True):
        total = total + inner_lr * jacobian @ ahead
        ahead = factor @ ahead
    return total


def _own_factor_too(jacobians: Matrices, factors: Matrices, v: Tensor, inner_lr: float) -> Tensor:
    total, ahead = torch.zeros_like(jacobians[0] @ v), v
    for jacobian, factor in zip(reversed(jacobians), reversed(factors), strict=True):
        ahead = factor @ ahead
        total = total + inner_lr * jacobian @ ahead
    return total


def _reversed_order(jacobians: Matrices, factors: Matrices, v: Tensor, inner_lr: float) -> Tensor:
    total = torch.zeros_like(jacobians[0] @ v)
    for i, jacobian in enumerate(jacobians):
        ahead = v
        for factor in factors[i + 1 :]:
            ahead = factor @ ahead
        total = total + inner_lr * jacobian @ ahead
    return total


def _all_before(jacobians: Matrices, factors: Matrices, v: Tensor, inner_lr: float) -> Tensor:
    total, ahead = torch.zeros_like(jacobians[0] @ v), v
    for jacobian, factor in zip(jacobians, factors, strict=True):
        total = total + inner_lr * jacobian @ ahead
        ahead = factor @ ahead
    return total


def _cases() -> list[Case]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    cases = []
    for k in (1, 2, 3):
        jacobians = [draw(2, 3) for _ in range(k)]
        factors = [torch.eye(3, dtype=torch.float64) + 0.5 * draw(3, 3) for _ in range(k)]
        cases.append(Case(f"K = {k}", (jacobians, factors, draw(3), 0.5)))
    return cases


THROUGH_UPDATES = Exercise(
    id="03.through_updates",
    reference=_updates,
    cases=_cases,
    praise="That is it: one vector, carried backwards. It is also why reverse mode never forms a matrix.",
    hint="For K = 1 nothing but α·D₀·v is left. What does each later step add on the way back?",
    mistakes=(
        Mistake(
            "own factor too",
            "For {case}: {got}, not {expected}. Does the product behind D_i start at step i, or after it?",
            (_own_factor_too,),
        ),
        Mistake(
            "factors reversed",
            "For {case}: {got}, not {expected}. Matrices do not commute: which factor meets v first, the one "
            "of the last step or of the next?",
            (_reversed_order,),
        ),
        Mistake(
            "factors before the step",
            "For {case}: {got}, not {expected}. A change of φ in step i is carried on by the steps that come "
            "after it; which ones did you multiply by?",
            (_all_before,),
        ),
        Mistake(
            "no step size",
            "For {case}: {got}, not {expected}, off by one factor everywhere. How far does one update go?",
            (lambda d, x, v, lr: _updates(d, x, v, 1.0),),
        ),
        Mistake(
            "no factors",
            "For {case}: {got}, not {expected}. You add up what each step receives; what happens to it in the "
            "steps that follow?",
            (lambda d, x, v, lr: sum((lr * j @ v for j in d), torch.zeros_like(d[0] @ v)),),
        ),
        Mistake(
            "last step alone",
            "For {case}: {got}, not {expected}. That is the last step's own part; what of the steps before?",
            (lambda d, x, v, lr: lr * d[-1] @ v,),
        ),
    ),
)

MIRROR = (0, 1, 3, 2, 4)


def _pairs(mine: Tensor, theirs: Tensor) -> Tensor:
    """Probabilities of CC, CD, DC, DD from both chances to cooperate."""
    return torch.stack([mine * theirs, mine * (1 - theirs), (1 - mine) * theirs, (1 - mine) * (1 - theirs)], -1)


def _joint(theta_1: Tensor, theta_2: Tensor) -> Tensor:
    return _pairs(theta_1.sigmoid(), theta_2[list(MIRROR)].sigmoid())


def _policies() -> list[Case]:
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    forgiving = torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0], dtype=torch.float64)
    return [
        Case("a coin against one who forgives when cheated on", (torch.zeros_like(forgiving), forgiving)),
        Case("two random policies", (drawn[0], drawn[1])),
    ]


JOINT_POLICY = Exercise(
    id="03.joint_policy",
    reference=_joint,
    cases=_policies,
    praise="That is it. Each remembers the same round, and each tells it with its own action first.",
    hint="Take one row, say player 1's CD. What does player 2 call that state, and how likely is each to cooperate?",
    mistakes=(
        Mistake(
            "no mirror",
            "For {case}: {got}, not {expected}. Player 1 remembers CD. Player 2 remembers the same round, own action "
            "first: what is it called there?",
            (lambda a, b: _pairs(a.sigmoid(), b.sigmoid()),),
        ),
        Mistake(
            "mirrored the wrong player",
            "For {case}: {got}, not {expected}. Whose view do the rows have, and so whose logits are in order already?",
            (lambda a, b: _pairs(a[list(MIRROR)].sigmoid(), b.sigmoid()),),
        ),
        Mistake(
            "columns of the other player",
            "For {case}: {got}, not {expected}. The rows are right. Who defects in column CD, player 1 or player 2?",
            (lambda a, b: _joint(a, b)[:, [0, 2, 1, 3]],),
        ),
        Mistake(
            "actions in reverse",
            "For {case}: {got}, not {expected}. Which action do the logits speak of, COOPERATE or DEFECT?",
            (lambda a, b: _joint(-a, -b),),
        ),
        Mistake(
            "logits, not probabilities",
            "For {case}: {got}, not {expected}. These are logarithms; what makes probabilities of them?",
            (lambda a, b: _joint(a, b).log(),),
        ),
    ),
)

LEARNED_REWARD = Question(
    id="03.learned_reward",
    answer="c",
    why="θ⁰ depends on φ, so does each update, and the outer objective does not: start and updates.",
    hints={
        "a": "That is true of the part θ⁰ of φ. Where does r act?",
        "b": "That is true of r. What is ∇_φ θ⁰ for the other part of φ?",
        "d": "For a direct term the outer objective must change while θ^K stays. Does R contain r?",
    },
)

NAIVE = Question(
    id="03.naive",
    answer="c",
    why="AD's mixed derivative is zero in every sample, so the updates' term is lost and the direct one is left: the "
    "naive learner, to the last digit.",
    hints={
        "a": "Its gradient is. Which derivative of the surrogate is D?",
        "b": "The updates' term is zero. What of the term that needs no derivative of an update?",
        "d": "Would an error that falls with more data be zero in every single sample?",
    },
)

EXERCISES = (THROUGH_UPDATES, JOINT_POLICY, LEARNED_REWARD, NAIVE)

"""Exercises of lesson 14: the return that ends with a life, the interquartile mean, and which games have ended."""

from __future__ import annotations

import torch
from torch import Tensor

from gmrl_lab.checks import Case, Exercise, Mistake, Question


def _returns(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
    return _backwards(rewards.clamp(-1, 1), (~lost).to(rewards.dtype), discount)


def _backwards(rewards: Tensor, goes_on: Tensor, discount: float) -> Tensor:
    """G_t = r_t + γ c_t G_{t+1}."""
    ahead, found = torch.zeros((), dtype=rewards.dtype), []
    for reward, factor in zip(reversed(rewards.unbind()), reversed(goes_on.unbind()), strict=True):
        ahead = reward + discount * factor * ahead
        found.append(ahead)
    return torch.stack(found[::-1])


def _dropped(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
    """What the losing step pays is dropped with everything after it."""
    return _returns(torch.where(lost, 0.0, rewards), lost, discount)


def _shifted(rewards: Tensor, lost: Tensor, discount: float) -> Tensor:
    """The return ends a step early: at the step before the loss."""
    goes_on = torch.cat([~lost[1:], torch.ones_like(lost[:1])]).to(rewards.dtype)
    return _backwards(rewards.clamp(-1, 1), goes_on, discount)


def _plays() -> list[Case]:
    pays = torch.tensor([0.0, 25.0, 25.0, 0.0, 100.0, 25.0], dtype=torch.float64)
    lost = torch.tensor([False, False, True, False, False, False])
    tennis = torch.tensor([1.0, -1.0, 0.0, -3.0, 2.0], dtype=torch.float64)
    points = torch.tensor([False, True, False, True, False])
    return [
        Case("a game that pays 0, 25, 25, 0, 100, 25, with a life lost at the third step", (pays, lost, 0.9)),
        Case("a game that pays 1, −1, 0, −3, 2, with a life lost at the second and fourth step", (tennis, points, 0.5)),
    ]


RETURNS = Exercise(
    id="14.returns",
    reference=_returns,
    cases=_plays,
    praise="That is it: the learner's return ends with the life and sees clipped rewards, while game and score go on.",
    hint="From the last step backwards: what does step t pay, as the learner sees it, and does anything lie behind it?",
    mistakes=(
        Mistake(
            "not clipped",
            "For {case}: {got}, not {expected}. Does the learner see 25, or whether something was gained?",
            (lambda rewards, lost, discount: _backwards(rewards, (~lost).to(rewards.dtype), discount),),
        ),
        Mistake(
            "the game goes on",
            "For {case}: {got}, not {expected}. What the next life earns counts here for the last one. Where does the "
            "return end?",
            (lambda rewards, lost, discount: _returns(rewards, torch.zeros_like(lost), discount),),
        ),
        Mistake(
            "the return is clipped",
            "For {case}: {got}, not {expected}. Is it each reward that is clipped, or their sum?",
            (
                lambda rewards, lost, discount: _backwards(rewards, (~lost).to(rewards.dtype), discount).clamp(-1, 1),
                lambda rewards, lost, discount: _returns(rewards, lost, discount).clamp(-1, 1),
            ),
        ),
        Mistake(
            "the losing step is dropped",
            "For {case}: {got}, not {expected}. The life is lost at the end of that step. Was its reward earned?",
            (_dropped,),
        ),
        Mistake(
            "a step early",
            "For {case}: {got}, not {expected}. lost[t] says that step t lost it. Which G is cut off from the next?",
            (_shifted,),
        ),
    ),
)


def _middle(scores: Tensor) -> Tensor:
    return _trimmed(scores, scores.numel() // 4, scores.numel() // 4)


def _trimmed(scores: Tensor, low: int, high: int) -> Tensor:
    values = scores.flatten().sort().values
    return values[low : len(values) - high].mean()


def _rounded_up(scores: Tensor) -> Tensor:
    cut = -(-scores.numel() // 4)
    return _trimmed(scores, cut, cut)


def _scores() -> list[Case]:
    hand = torch.tensor([[3.0, 2.0], [99.0, 0.0], [4.0, 7.0], [5.0, 8.0]], dtype=torch.float64)
    drawn = torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 4
    return [
        Case("the eight scores of the text, 4 runs of 2 games", (hand,)),
        Case("5 runs of 3 games", (drawn * torch.tensor([1.0, 10.0, 2.0], dtype=torch.float64),)),
    ]


MIDDLE = Exercise(
    id="14.middle",
    reference=_middle,
    cases=_scores,
    praise="That is it: the middle half of all runs, whichever game they are of. One lucky run moves it hardly.",
    hint="Sort all scores together. How many are a quarter of them, rounded down? Leave out so many at either end.",
    mistakes=(
        Mistake(
            "the mean",
            "For {case}: {got}, not {expected}. How much of that comes from one score?",
            (lambda scores: scores.mean(),),
        ),
        Mistake(
            "the median",
            "For {case}: {got}, not {expected}. The median looks at one or two scores. At how many does the middle "
            "half look?",
            (lambda scores: scores.flatten().quantile(0.5), lambda scores: scores.median()),
        ),
        Mistake(
            "game by game",
            "For {case}: {got}, not {expected}. You cut within each game and average afterwards. What are the quarters "
            "of, in Agarwal et al.?",
            (
                lambda scores: torch.stack([_middle(column) for column in scores.T]).mean(),
                lambda scores: _middle(scores.mean(0)),
                lambda scores: _middle(scores.mean(1)),
            ),
        ),
        Mistake(
            "one end",
            "For {case}: {got}, not {expected}. You cut at one end only. What does that do to the mean of scores that "
            "are symmetric?",
            (
                lambda scores: _trimmed(scores, 0, scores.numel() // 4),
                lambda scores: _trimmed(scores, scores.numel() // 4, 0),
            ),
        ),
        Mistake(
            "an eighth",
            "For {case}: {got}, not {expected}. You leave out a quarter in all. What share is left between the "
            "quartiles?",
            (lambda scores: _trimmed(scores, scores.numel() // 8, scores.numel() // 8),),
        ),
        Mistake(
            "rounded up",
            "For {case}: {got}, not {expected}. Of 15 scores, are 3 or 4 left out at either end, if a quarter is "
            "rounded down?",
            (_rounded_up,),
        ),
    ),
)


def _finished(step: int, lengths: Tensor, chances: Tensor, returns: Tensor) -> Tensor:
    """Renewal theory: u_t = Σ p_i u_{t−L_i}; games of kind i that have ended: p_i Σ_{s ≤ t−L_i} u_s."""
    ends = [1.0]
    for t in range(1, step + 1):
        known = zip(lengths.tolist(), chances.tolist(), strict=True)
        ends.append(sum(p * ends[t - length] for length, p in known if length <= t))
    begun = torch.tensor(ends, dtype=chances.dtype).cumsum(0)
    counts = torch.stack([begun[step - n] if n <= step else torch.zeros_like(begun[0]) for n in lengths.tolist()])
    return _weighted(returns, chances * counts)


def _weighted(returns: Tensor, weights: Tensor) -> Tensor:
    return (weights * returns).sum() / weights.sum()


def _kinds() -> list[Case]:
    def kinds(lengths: list[int], chances: list[float], returns: list[float]) -> tuple[Tensor, Tensor, Tensor]:
        double = torch.float64
        return torch.tensor(lengths), torch.tensor(chances, dtype=double), torch.tensor(returns, dtype=double)

    return [
        Case("step 110 of games of 10 or 100 steps", (110, *kinds([10, 100], [0.5, 0.5], [10.0, 100.0]))),
        Case("step 7 of games of 2 or 3 steps", (7, *kinds([2, 3], [0.25, 0.75], [1.0, 5.0]))),
        Case("step 12 of games of 3, 5 or 20 steps", (12, *kinds([3, 5, 20], [0.5, 0.3, 0.2], [1.0, 2.0, 9.0]))),
    ]


FINISHED = Exercise(
    id="14.finished",
    reference=_finished,
    cases=_kinds,
    praise="That is it. Nothing learns, and this number rises all the same, towards the policy's mean.",
    hint="u_t, the chance that a game begins at step t: it is the sum over what the game before it may have been. How "
    "many games of each kind have begun early enough to be over?",
    mistakes=(
        Mistake(
            "the policy's mean",
            "For {case}: {got}, not {expected}. That is the mean of all games that begin. Which of them are over?",
            (lambda step, lengths, chances, returns: _weighted(returns, chances),),
        ),
        Mistake(
            "first games only",
            "For {case}: {got}, not {expected}. What does an environment do when its first game is over?",
            (lambda step, lengths, chances, returns: _weighted(returns, chances * (lengths <= step)),),
        ),
        Mistake(
            "always the same kind",
            "For {case}: {got}, not {expected}. After a short game, does another short one follow for sure?",
            (lambda step, lengths, chances, returns: _weighted(returns, chances * (step // lengths)),),
        ),
        Mistake(
            "by time",
            "For {case}: {got}, not {expected}. That weighs a game by the time that it takes: what a camera sees at a "
            "random moment. How often does a game of each kind *end*?",
            (lambda step, lengths, chances, returns: _weighted(returns, chances * lengths),),
        ),
    ),
)

APART = Question(
    id="14.apart",
    answer="b",
    why="If the variants are equal, each order of the six scores is equally likely. In 2 · 3! · 3! of 6! orders all "
    "three of one lie above all three of the other: one in ten. Figure 4 has two games to look at, and in each the two "
    "MGRLs are nearly one variant: by chance A2C lies apart somewhere with probability 1 − 0.9² = 19%.",
    hints={
        "a": "That would be so if the bands were what their name says. What is a percentile interval of three runs?",
        "c": "That is the chance that one variant's three runs lie on one side of the true median. How many runs must "
        "lie on one side of the others here?",
        "d": "You multiply two chances of 5%. Are two intervals apart only if both of them fail?",
    },
)

EXERCISES = (RETURNS, MIDDLE, FINISHED, APART)

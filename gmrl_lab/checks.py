"""Checks for the exercises: accept every right answer, recognise the likely wrong ones, and ask the next question.

A lesson registers its exercises in `gmrl_lab/exercises/lesson_NN.py` as a tuple `EXERCISES`. An exercise holds a
reference, a few concrete cases and the *known mistakes*; a mistake is what a mistaken answer would compute, and a hint.
Nothing is compared as source code: only what a function returns, and what autodiff makes of it.
"""

from __future__ import annotations

import html
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import EllipsisType

import torch
from torch import Tensor

Answer = Callable[..., object]
Observation = dict[str, Tensor]
Probe = Callable[..., Observation]


@dataclass(frozen=True)
class Verdict:
    """What a check says: `passed`, a `message`, and the name of the `mistake` that was recognised, if any.

    Taught in lesson 01.
    """

    passed: bool
    message: str
    mistake: str | None = None

    @property
    def mark(self) -> str:
        return "✓" if self.passed else "✗"

    def __repr__(self) -> str:
        return f"{self.mark} {self.message}"

    def _repr_markdown_(self) -> str:
        return f"**{self.mark} {'Right' if self.passed else 'Not yet'}.** {self.message}"

    def _repr_html_(self) -> str:
        ink, paper = ("#0B3B2E", "#E3F4EC") if self.passed else ("#5A2500", "#FBEEE6")
        style = f"border-left:4px solid {ink};background:{paper};color:{ink};padding:.5em .8em"
        word = "Right" if self.passed else "Not yet"
        return f'<div role="status" style="{style}"><b>{self.mark} {word}.</b> {html.escape(self.message)}</div>'


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of one call, and words for them that complete "For …"."""

    label: str
    args: tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Mistake:
    """A likely wrong answer: the functions that compute it, and a hint that asks the next question.

    The hint may use `{got}`, `{expected}` and `{case}`: the first case that comes out wrong.
    """

    name: str
    hint: str
    answers: tuple[Answer, ...]


def value(function: Answer, *args: object) -> Observation:
    """Observe the value that a function returns: the usual probe."""
    return {"value": _as_tensor(function(*args)).detach()}


def value_and_derivative(function: Answer, leaf: Tensor, *args: object) -> Observation:
    """Observe the value of `function(*args)`, and the derivative that autodiff gives it with respect to `leaf`."""
    result = _as_tensor(function(*args))
    weights = torch.linspace(1.0, 2.0, max(result.numel(), 1), dtype=result.dtype).reshape(result.shape)
    slope: Tensor | None = None
    if result.requires_grad:
        (slope,) = torch.autograd.grad((weights * result).sum(), leaf, retain_graph=True, allow_unused=True)
    return {"value": result.detach(), "derivative": torch.zeros_like(leaf) if slope is None else slope}


@dataclass(frozen=True, eq=False)
class Exercise:
    """A function to write, its reference and its known mistakes. `cases` makes the cases anew at each call, from fixed
    seeds, so that no answer can spoil them for the next."""

    id: str  # lesson and name, "02.splice"
    reference: Answer
    cases: Callable[[], Sequence[Case]]
    mistakes: tuple[Mistake, ...]  # tried in order; the first that explains every case gives the hint
    hint: str  # for an answer that nothing explains
    probe: Probe = value  # what is observed, probe(function, *case.args)
    praise: str = "That is it."
    tolerance: float = 1e-6  # absolute and relative

    def observe(self, function: Answer) -> list[Observation]:
        """What the probe sees of `function`, case by case."""
        return [self.probe(function, *case.args) for case in self.cases()]

    def judge(self, answer: object) -> Verdict:
        """Compare `answer` with the reference and with each known mistake."""
        if not callable(answer):
            return Verdict(False, _not_a_function(self.id, answer))
        seen: list[Observation] = []
        for case in self.cases():
            try:
                seen.append(self.probe(_guarded(answer, self.reference, case.label), *case.args))
            except _Rejected as rejection:
                return Verdict(False, str(rejection))
            except RuntimeError as error:
                return Verdict(False, f"For {case.label}, autodiff cannot differentiate what you return: {error}")
        truth = self.observe(self.reference)
        if self._same(seen, truth):
            return Verdict(True, self.praise)
        words = self._first_difference(seen, truth)
        for mistake in self.mistakes:
            if any(self._same(seen, self.observe(wrong)) for wrong in mistake.answers):
                return Verdict(False, mistake.hint.format(**words), mistake.name)
        general = "For {case}, the {what} of your function is {got}, where {expected} is expected (off by {gap}). "
        return Verdict(False, general.format(**words) + self.hint)

    def _same(self, left: list[Observation], right: list[Observation]) -> bool:
        return all(self._close(a[name], b[name]) for a, b in zip(left, right, strict=True) for name in b)

    def _close(self, left: Tensor, right: Tensor) -> bool:
        return torch.allclose(left, right, rtol=self.tolerance, atol=self.tolerance)

    def _first_difference(self, seen: list[Observation], truth: list[Observation]) -> dict[str, str]:
        for case, got, wanted in zip(self.cases(), seen, truth, strict=True):
            for what in wanted:
                if not self._close(got[what], wanted[what]):
                    gap = f"{float((got[what] - wanted[what]).abs().max()):.2g}"
                    words = {"case": case.label, "what": what, "gap": gap}
                    return words | {"got": _show(got[what]), "expected": _show(wanted[what])}
        raise AssertionError("the two are the same")


@dataclass(frozen=True)
class Question:
    """A question with lettered choices: the right letter, why it is right, and a hint for each other letter."""

    id: str
    answer: str
    why: str
    hints: Mapping[str, str] = field(hash=False)

    def judge(self, answer: object) -> Verdict:
        """Compare a letter, in either case, with the right one."""
        letters = ", ".join(map(repr, sorted({self.answer, *self.hints})))
        if answer is None or isinstance(answer, EllipsisType):
            return Verdict(False, f"No answer yet. Choose one of {letters}.")
        letter = answer.strip().lower() if isinstance(answer, str) else answer
        if letter == self.answer:
            return Verdict(True, self.why)
        if isinstance(letter, str) and letter in self.hints:
            return Verdict(False, self.hints[letter], letter)
        return Verdict(False, f"The choices are {letters}; you gave {answer!r}.")


def check(exercise_id: str, answer: object) -> Verdict:
    """Check an answer to an exercise: `check("02.splice", splice)`, or `check("01.q1", "b")`.

    Args:
        exercise_id: the lesson and the name of the exercise.
        answer: your function (without brackets), or the letter of your choice.

    Returns:
        A `Verdict`, which JupyterLab shows in words and colour. Errors inside your function become part of it.

    Raises:
        ValueError: if there is no such exercise.

    Taught in lesson 01.
    """
    return find(exercise_id).judge(answer)


def find(exercise_id: str) -> Exercise | Question:
    """The exercise with this id.

    Raises:
        ValueError: if there is none; names those of the lesson.

    Taught in lesson 01.
    """
    lesson = exercise_id.partition(".")[0]
    name = f"gmrl_lab.exercises.lesson_{lesson}"
    try:
        entries: tuple[Exercise | Question, ...] = importlib.import_module(name).EXERCISES
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(f"exercise_id is {exercise_id!r}, but lesson {lesson!r} has no exercises") from None
    for entry in entries:
        if entry.id == exercise_id:
            return entry
    raise ValueError(f"exercise_id is {exercise_id!r}; lesson {lesson} has {', '.join(e.id for e in entries)}")


class _Rejected(Exception):
    """An answer that cannot be compared at all; the message is for the learner."""


def _guarded(function: Answer, reference: Answer, label: str) -> Answer:
    """`function`, with errors and answers of the wrong kind turned into a message."""

    def call(*args: object) -> object:
        expected = _as_tensor(reference(*args))
        try:
            got = function(*args)
        except NotImplementedError:
            raise _Rejected("Your function is not written yet.") from None
        except Exception as error:
            raise _Rejected(f"For {label}, your function raised {type(error).__name__}: {error}") from error
        return _validated(got, expected, label)

    return call


def _validated(got: object, expected: Tensor, label: str) -> Tensor:
    if got is None or isinstance(got, EllipsisType):
        raise _Rejected("Your function returns nothing yet. If it is written, does it end with a return?")
    if isinstance(got, (int, float)) and not isinstance(got, bool) and expected.ndim == 0:
        got = torch.tensor(float(got), dtype=expected.dtype)
    if not isinstance(got, Tensor):
        kind = "number" if expected.ndim == 0 else f"tensor of shape {tuple(expected.shape)}"
        raise _Rejected(f"For {label}, a {kind} is expected, but your function returned a {type(got).__name__}.")
    if got.shape != expected.shape:
        shapes = f"shape {tuple(expected.shape)} is expected, but your function returned shape {tuple(got.shape)}"
        raise _Rejected(f"For {label}, {shapes}.")
    if got.dtype != expected.dtype:
        raise _Rejected(f"For {label}, dtype {expected.dtype} is expected, but your function returned {got.dtype}.")
    if not bool(torch.isfinite(got).all()):
        raise _Rejected(f"For {label}, your function returned {_show(got.detach())}. Where can that come from?")
    return got


def _not_a_function(exercise_id: str, answer: object) -> str:
    if answer is None or isinstance(answer, EllipsisType):
        return "There is no function yet."
    name = type(answer).__name__
    return f'Hand over the function itself, check("{exercise_id}", name) without brackets; this is a {name}.'


def _as_tensor(result: object) -> Tensor:
    return result if isinstance(result, Tensor) else torch.as_tensor(result, dtype=torch.float64)


def _show(tensor: Tensor) -> str:
    numbers = [f"{number:.3g}" for number in tensor.flatten()[:6].tolist()]
    if tensor.ndim == 0:
        return numbers[0]
    tail = ", …" if tensor.numel() > 6 else ""
    return f"[{', '.join(numbers)}{tail}] (norm {float(torch.linalg.vector_norm(tensor)):.3g})"

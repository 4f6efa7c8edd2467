"""What each exercise must show: right answers pass, each likely wrong one gets its own hint, garbage gets a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gmrl_lab.checks import Exercise, Question, check, find

Function = Callable[..., Any]


def prove(
    exercise_id: str, right: Sequence[Function], wrong: Mapping[str, Sequence[Function]], *, constant: float = 0.7
) -> None:
    """Prove all three for one exercise. `wrong` maps the name of each known mistake to answers that make it.

    `constant`, added to a right answer, spoils it; 0 where only derivatives count.
    """
    exercise = find(exercise_id)
    assert isinstance(exercise, Exercise)
    for answer in right:
        verdict = check(exercise_id, answer)
        assert verdict.passed, verdict.message
    names = [mistake.name for mistake in exercise.mistakes]
    assert set(wrong) == set(names), "each known mistake needs a wrong answer here"
    assert len(set(names)) == len(names)
    hints = {}
    for name, answers in wrong.items():
        for answer in answers:
            verdict = check(exercise_id, answer)
            assert not verdict.passed, name
            assert verdict.mistake == name, f"{name}: {verdict}"
            hints[name] = verdict.message
    assert len(set(hints.values())) == len(hints), "two mistakes share a hint"
    assert all("?" in hint for hint in hints.values()), "a hint asks the next question"
    prove_garbage(exercise_id, right[0], constant)


def prove_garbage(exercise_id: str, right: Function, constant: float = 0.7) -> None:
    """Answers of the wrong kind are rejected, each with a message that says what is the matter."""

    def raises(*args: object) -> None:
        raise KeyError("theta")

    def unwritten(*args: object) -> None:
        raise NotImplementedError

    def tensor(*args: object) -> torch.Tensor:
        return torch.as_tensor(right(*args))

    garbage: list[tuple[object, str]] = [
        (None, "no function yet"),
        (..., "no function yet"),
        (3.0, "without brackets"),
        (torch.zeros(2), "without brackets"),
        (raises, "KeyError: 'theta'"),
        (unwritten, "not written yet"),
        (lambda: 0.0, "TypeError"),
        (lambda *args: None, "returns nothing"),
        (lambda *args: ..., "returns nothing"),
        (lambda *args: "0.5", "returned a str"),
        (lambda *args: True, "returned a bool"),
        (lambda *args: tensor(*args).detach().numpy(), "returned a ndarray"),
        (lambda *args: tensor(*args).unsqueeze(0), "shape"),
        (lambda *args: tensor(*args).float(), "torch.float32"),
        (lambda *args: tensor(*args) * torch.nan, "nan"),
    ]
    if constant:
        garbage.append((lambda *args: tensor(*args) + constant, "expected"))
    for answer, words in garbage:
        verdict = check(exercise_id, answer)
        assert not verdict.passed, answer
        assert verdict.mistake is None, verdict
        assert words in verdict.message, verdict.message


def prove_choice(question_id: str, right: str) -> None:
    """Only the right letter passes; each other letter has its own hint; anything else lists the choices."""
    question = find(question_id)
    assert isinstance(question, Question)
    for spelling in (right, right.upper(), f" {right} "):
        assert check(question_id, spelling).passed
    hints = {letter: check(question_id, letter) for letter in question.hints}
    assert right not in hints
    assert not any(verdict.passed for verdict in hints.values())
    assert len({verdict.message for verdict in hints.values()}) == len(hints) >= 2
    assert all("?" in verdict.message for verdict in hints.values())
    for garbage in (None, ..., "z", "", 2, lambda: right):
        verdict = check(question_id, garbage)
        assert not verdict.passed
        assert repr(right) in verdict.message

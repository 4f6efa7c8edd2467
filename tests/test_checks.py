"""The check framework itself, on an exercise small enough to see; the lessons' own are in tests/exercises."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from gmrl_lab.checks import Case, Exercise, Mistake, Question, Verdict, check, find, value_and_derivative

SQUARE = Exercise(
    id="99.square",
    reference=lambda x: x**2,
    cases=lambda: [Case("x = 0", (torch.tensor(0.0).double(),)), Case("x = 3", (torch.tensor(3.0).double(),))],
    hint="What is a square?",
    mistakes=(
        Mistake("doubled", "For {case} you give {got}, not {expected}. Twice, or times itself?", (lambda x: 2 * x,)),
    ),
)


def test_right_known_and_unknown_answers() -> None:
    assert SQUARE.judge(lambda x: x * x) == Verdict(True, "That is it.")
    doubled = SQUARE.judge(lambda x: x + x)
    assert doubled.mistake == "doubled"
    assert doubled.message == "For x = 3 you give 6, not 9. Twice, or times itself?"
    unknown = SQUARE.judge(lambda x: x**3)
    assert unknown.mistake is None
    assert unknown.message.startswith("For x = 3, the value of your function is 27, where 9 is expected (off by 18).")
    assert unknown.message.endswith("What is a square?")


def test_plain_numbers_pass_where_a_number_is_asked_for() -> None:
    assert SQUARE.judge(lambda x: float(x) ** 2).passed
    assert SQUARE.judge(lambda x: round(float(x)) ** 2).passed


def test_infinite_and_missing_values_are_named() -> None:
    assert "inf" in SQUARE.judge(lambda x: 1 / x).message
    assert "nan" in SQUARE.judge(lambda x: x / x).message


def test_an_error_names_its_case_and_an_interrupt_goes_through() -> None:
    message = SQUARE.judge(lambda x: [][int(x)]).message
    assert message == "For x = 0, your function raised IndexError: list index out of range"

    def stop(x: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SQUARE.judge(stop)


def test_an_answer_cannot_spoil_the_cases_of_the_next() -> None:
    assert SQUARE.judge(lambda x: x.pow_(2)).passed
    assert not SQUARE.judge(lambda x: x.zero_()).passed
    assert SQUARE.judge(lambda x: x**2).passed


def test_an_answer_that_autodiff_cannot_follow_is_told_so() -> None:
    leaf = torch.ones(2, dtype=torch.float64, requires_grad=True)
    exercise = dataclasses.replace(SQUARE, cases=lambda: [Case("ones", (leaf, leaf * 1))], probe=value_and_derivative)

    def overwrites(x: torch.Tensor) -> torch.Tensor:
        result = x.exp()
        result.mul_(result.detach().clone())
        result += 0 * x
        y = result.exp()
        y.add_(1.0)
        return y

    assert "autodiff cannot differentiate" in exercise.judge(overwrites).message


def test_verdict_shows_in_words_and_is_escaped() -> None:
    verdict = Verdict(False, "a < b & c?")
    assert repr(verdict) == "✗ a < b & c?"
    assert "✗ Not yet." in verdict._repr_markdown_()
    assert "a &lt; b &amp; c?" in verdict._repr_html_()
    assert "✓ Right." in Verdict(True, "Yes.")._repr_html_()
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.passed = True  # type: ignore[misc]


def test_question_takes_a_letter() -> None:
    question = Question("99.q", "b", "So it is.", {"a": "Is it?"})
    assert question.judge(" B ").passed
    assert question.judge("a") == Verdict(False, "Is it?", "a")
    assert "'a', 'b'" in question.judge(3).message
    assert "No answer yet" in question.judge(...).message


@pytest.mark.parametrize(
    ("exercise_id", "words"), [("77.x", "lesson '77' has no"), ("02.x", "02.splice"), ("", "has no")]
)
def test_unknown_exercise(exercise_id: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(exercise_id, None)


@pytest.mark.parametrize("lesson", ["01", "02"])
def test_every_mistake_differs_from_the_reference_and_from_the_others(lesson: str) -> None:
    module = __import__(f"gmrl_lab.exercises.lesson_{lesson}", fromlist=["EXERCISES"])
    for entry in module.EXERCISES:
        assert entry.id.startswith(f"{lesson}.")
        assert find(entry.id) is entry
        for mistake in getattr(entry, "mistakes", ()):
            assert entry.judge(mistake.answers[0]).mistake == mistake.name

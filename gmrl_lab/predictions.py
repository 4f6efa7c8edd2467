"""Predict first: a learner commits a guess before the figure that answers it.

Guesses are kept in `predictions.csv` in the notebook's own folder, without names, one row per question. The file is
written to a temporary name and renamed, so it is never half a file; one that cannot be read is never overwritten.
"""

from __future__ import annotations

import csv
import html
import os
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ipywidgets

FILE_NAME = "predictions.csv"
COLUMNS = ("lesson", "question", "choice", "time")


@dataclass(frozen=True)
class Guess:
    """One row of `predictions.csv`."""

    lesson: str
    question: str
    choice: str
    time: str


def prediction(lesson: str, question_id: str) -> str | None:
    """The guess that was committed for a question, for a figure to draw; `None` if there is none.

    Args:
        lesson: number of the lesson, `"02"`.
        question_id: name of the question within the lesson.

    Raises:
        ValueError: if `predictions.csv` cannot be read.

    Taught in lesson 00.
    """
    choices = [guess.choice for guess in _read(Path(FILE_NAME)) if _key(guess) == (lesson, question_id)]
    return choices[-1] if choices else None


def commit(lesson: str, question_id: str, choice: str) -> None:
    """Keep a guess in `predictions.csv`, in place of an earlier one for the same question.

    Raises:
        ValueError: if `predictions.csv` cannot be read; it is left as it is.
        OSError: if the folder cannot be written to.

    Taught in lesson 00.
    """
    path = Path(FILE_NAME)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept = [guess for guess in _read(path) if _key(guess) != (lesson, question_id)]
    _write(path, [*kept, Guess(lesson, question_id, choice, now)])


def predict(lesson: str, question_id: str, prompt: str, options: Sequence[str]) -> ipywidgets.VBox:
    """A question with its options and a button that commits the guess. Make it the last line of a cell.

    Run the cell again, and it shows the guess that is stored; a guess can be changed. Nothing is stored until the
    button is pressed. A file that cannot be read or written is reported beside the button.

    Args:
        lesson: number of the lesson, `"02"`.
        question_id: name of the question within the lesson.
        prompt: the question, in words.
        options: two or more different answers.

    Raises:
        ValueError: if there are fewer than two options, or two are the same.

    Taught in lesson 00.
    """
    import ipywidgets  # only here: the package itself must import without Jupyter

    if len(options) < 2 or len(set(options)) != len(options):
        raise ValueError(f"options are {list(options)!r}; two or more different ones are needed")
    stored, note = _stored(lesson, question_id, options)
    question = ipywidgets.HTML(f"<b>Predict first.</b> {html.escape(prompt)}")
    choice = ipywidgets.RadioButtons(options=list(options), value=stored, layout={"width": "max-content"})
    choice.description, choice.tooltip = "Your guess", prompt
    button = ipywidgets.Button(description="Commit guess", disabled=stored is None, tooltip=f"Commit guess: {prompt}")
    message = ipywidgets.HTML(_status(note))

    def chosen(change: dict[str, object]) -> None:
        button.disabled = change["new"] is None

    def committed(_: ipywidgets.Button) -> None:
        try:
            commit(lesson, question_id, choice.value)
            message.value = _status(f"Kept: {choice.value}. You may change it.")
        except (ValueError, OSError) as error:
            message.value = _status(f"Not kept. {error}")

    choice.observe(chosen, names="value")
    button.on_click(committed)
    return ipywidgets.VBox([question, choice, ipywidgets.HBox([button, message])])


def _stored(lesson: str, question_id: str, options: Sequence[str]) -> tuple[str | None, str]:
    """The stored guess if it is still an option, and what to say about it."""
    try:
        stored = prediction(lesson, question_id)
    except ValueError as error:
        return None, str(error)
    if stored is None:
        return None, "Choose, then commit."
    if stored not in options:
        return None, f"Your earlier guess, {stored!r}, is no longer among the choices."
    return stored, f"Your guess so far: {stored}. You may change it."


def _status(text: str) -> str:
    return f'<span role="status">{html.escape(text)}</span>'


def _key(guess: Guess) -> tuple[str, str]:
    return guess.lesson, guess.question


def _read(path: Path) -> list[Guess]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ValueError(f"{path.resolve()} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(_unreadable(path, f"it is not a CSV file ({error})")) from error
    if rows and tuple(rows[0]) != COLUMNS:
        raise ValueError(_unreadable(path, f"its first line is {rows[0]}, not {','.join(COLUMNS)}"))
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise ValueError(_unreadable(path, f"row {number} has {len(row)} columns, not {len(COLUMNS)}"))
    return [Guess(*row) for row in rows[1:]]


def _unreadable(path: Path, reason: str) -> str:
    return (
        f"{path.resolve()} holds your guesses but cannot be read: {reason}. Repair it, or move it away to start anew."
    )


def _write(path: Path, guesses: Sequence[Guess]) -> None:
    handle, temporary = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=path.resolve().parent)
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(astuple(guess) for guess in guesses)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

"""Guesses are kept, changed and shown again; a file that cannot be read is left alone."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from gmrl_lab.predictions import COLUMNS, commit, predict, prediction

OPTIONS = ["stays", "halves", "falls to a quarter"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _rows() -> list[list[str]]:
    with open("predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_guess_is_kept_changed_and_shown_again() -> None:
    _, choice, row = predict("02", "q1", "What happens to the bias?", OPTIONS).children
    button, message = row.children
    assert choice.value is None
    assert button.disabled
    assert prediction("02", "q1") is None
    choice.value = "halves"
    assert not Path("predictions.csv").exists()
    button.click()
    assert prediction("02", "q1") == "halves"
    assert "Kept: halves" in message.value
    commit("02", "q2", "stays, or so, “perhaps”")
    choice.value = "stays"
    button.click()
    assert predict("02", "q1", "What happens to the bias?", OPTIONS).children[1].value == "stays"
    assert prediction("02", "q2") == "stays, or so, “perhaps”"
    assert _rows()[0] == list(COLUMNS)
    assert [row[:3] for row in _rows()[1:]] == [["02", "q2", "stays, or so, “perhaps”"], ["02", "q1", "stays"]]
    assert [path.name for path in Path().iterdir()] == ["predictions.csv"]


def test_nothing_is_stored_without_a_click() -> None:
    predict("02", "q1", "What happens?", OPTIONS)
    assert list(Path().iterdir()) == []
    assert prediction("02", "q1") is None


def test_an_earlier_guess_that_is_no_option_any_more() -> None:
    commit("02", "q1", "doubles")
    _, choice, row = predict("02", "q1", "What happens?", OPTIONS).children
    assert choice.value is None
    assert "no longer among the choices" in row.children[1].value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"name,guess\n02,x\n", "first line"),
        (b"lesson,question,choice,time\n02,q1\n", "row 2 has 2 columns"),
        (b"\xff\xfe\x00broken", "not a CSV file"),
        (b'lesson,question,choice,time\n02,"q1', "not a CSV file"),
    ],
)
def test_unreadable_file_is_reported_and_left_alone(content: bytes, reason: str) -> None:
    path = Path("predictions.csv")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        prediction("02", "q1")
    with pytest.raises(ValueError, match="Repair it, or move it away"):
        commit("02", "q1", "halves")
    _, choice, row = predict("02", "q1", "What happens?", OPTIONS).children
    button, message = row.children
    assert "cannot be read" in message.value
    choice.value = "halves"
    button.click()
    assert "Not kept." in message.value
    assert path.read_bytes() == content
    path.unlink()
    button.click()
    assert prediction("02", "q1") == "halves"


def test_empty_file_counts_as_no_guess() -> None:
    Path("predictions.csv").touch()
    assert prediction("02", "q1") is None
    commit("02", "q1", "halves")
    assert prediction("02", "q1") == "halves"


def test_a_write_that_fails_is_reported_and_leaves_the_old_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    commit("02", "q1", "stays")

    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gmrl_lab.predictions.os.replace", refuse)
    _, choice, row = predict("02", "q1", "What happens?", OPTIONS).children
    choice.value = "halves"
    row.children[0].click()
    assert "disk full" in row.children[1].value
    assert prediction("02", "q1") == "stays"
    assert [path.name for path in Path().iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize("options", [[], ["one"], ["same", "same"]])
def test_options_must_differ(options: list[str]) -> None:
    with pytest.raises(ValueError, match="two or more different ones"):
        predict("02", "q1", "What happens?", options)


def test_the_module_loads_without_jupyter() -> None:
    code = "import sys, gmrl_lab.predictions; sys.exit('ipywidgets' in sys.modules or 'IPython' in sys.modules)"
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode == 0

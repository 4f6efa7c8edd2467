"""Lesson 11 as a student sees it: run all, move every kind of control with the keyboard, stop a run."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "11_lola.ipynb", height=12000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Two learners, one dilemma")
    explorer.button("Reset").click()
    explorer.wait_for_summary("LOLA, K = 1, α = 0.3, ipd, .* after 100 of 100 updates", seconds=30)
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_11")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("K,", "ArrowRight", "K = 2,"), ("α,", "ArrowRight", r"α = 0\.3[12]"), ("γ,", "ArrowLeft", r"γ = 0\.9,")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, key: str, expected: str) -> None:
    explorer.press(explorer.slider(name), key)
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_lists_numbers_and_buttons(explorer: ExplorerOnPage) -> None:
    explorer.control("group", "learner").get_by_role("button", name="naive", exact=True).click()
    explorer.wait_for_summary("naive, ipd, .* after 100 of 100", seconds=30)
    explorer.control("combobox", "game").select_option("own payoffs")
    explorer.control("spinbutton", "DC,").fill("1")
    explorer.control("spinbutton", "DC,").press("Enter")
    explorer.wait_for_summary(r"own payoffs \(DC 1, CD -3\), .* after 100 of 100", seconds=30)


def test_it_moves_while_they_learn_and_can_be_stopped(explorer: ExplorerOnPage) -> None:
    explorer.slider("N,").press("End")
    explorer.wait_for_summary("after [1-9][0-9]* of 500 updates", seconds=30)
    explorer.button("Cancel").click()
    explorer.wait_until_idle()
    assert "after 500 of 500" not in explorer.summary


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_11")

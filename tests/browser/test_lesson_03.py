"""Lesson 03 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "03_unified_framework.ipynb", height=12000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Proposition 3.1, term by term")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"LOLA, K = 3, α = 1: .* Loaded DiCE, ESE, \|τ\| = 32")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_03")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("K,", "K = 4,"), ("α,", "α = 1.3:"), ("|τ|,", r"\|τ\| = 64:"), ("M,", "50 of 50 trials")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_tasks_parts_and_estimator(explorer: ExplorerOnPage) -> None:
    present = {
        "MAML": "direct 0, start 1",
        "LOLA": r"direct 0\.4",
        "MGRL": "direct 0, start 0",
        "LPG": "direct 0, start 0",
    }
    for task, terms in present.items():
        explorer.control("combobox", "task").select_option(task)
        explorer.wait_for_summary(f"{task}, K = 3, α = 1: .*{terms}")
        explorer.wait_until_idle()
    explorer.press(explorer.control("group", "III,").get_by_role("button", name="S", exact=True), "Space")
    explorer.wait_for_summary("DiCE and Loaded DiCE, ESS")
    explorer.control("combobox", "estimator").select_option("AD")
    explorer.wait_for_summary(r"\. AD, ESS")


def test_a_list_keeps_its_keys(explorer: ExplorerOnPage) -> None:
    """JupyterLab's own shortcuts would move to another cell, or turn this one into text."""
    explorer.press(explorer.control("combobox", "task"), "ArrowUp")
    explorer.wait_for_summary("MAML, K = 3")
    explorer.press(explorer.control("combobox", "task"), "m")
    explorer.wait_for_summary("MGRL, K = 3")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_03")

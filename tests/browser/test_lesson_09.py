"""Lesson 09 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "09_bias_ablations.ipynb", height=9000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("The bias, as published and debiased")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"\(c\) ‖bias‖² against \|τ\|, median over ten MDPs")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_09")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


def test_panel_is_chosen_by_its_letter(explorer: ExplorerOnPage) -> None:
    explorer.control("group", "panel,").get_by_role("button", name="d", exact=True).click()
    explorer.wait_for_summary(r"\(d\) ‖bias‖ against 2c/100")


def test_reading_and_mdp(explorer: ExplorerOnPage) -> None:
    explorer.control("combobox", "reading").select_option("debiased")
    explorer.wait_for_summary(r"MDPs and the order statistics around it: debiased .* not resolved from 0 at 256\.")
    explorer.control("combobox", "MDPs").select_option("6")
    explorer.wait_for_summary(r"MDP 6: debiased")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_09")

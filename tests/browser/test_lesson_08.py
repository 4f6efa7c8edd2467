"""Lesson 08 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "08_maml_experiments.ipynb", height=14000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Figures 5, 6, 7, line by line")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"Figure 5, ESE, Pearson at \|τ\| = 32: .* 5 trials of this seed")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_08")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


def test_buttons_obey_the_keyboard(explorer: ExplorerOnPage) -> None:
    for group, name, expected in (
        ("figure", "6", r"Figure 6, ESE, Pearson at α = 7"),
        ("point", "last", r"at α = 13"),
        ("lines", "ways", r"Figure 6, LVC, Pearson at α = 13: SEE"),
    ):
        button = explorer.control("group", group).get_by_role("button", name=name, exact=True)
        explorer.press(button, "Enter")
        explorer.wait_for_summary(expected)


def test_lists_and_switch(explorer: ExplorerOnPage) -> None:
    explorer.control("combobox", "way").select_option("SSS")
    explorer.wait_for_summary("Figure 5, SSS, Pearson")
    explorer.control("combobox", "measure").select_option("trace of Σ")
    explorer.wait_for_summary("Figure 5, SSS, trace of Σ at .* ×÷")
    explorer.press(explorer.control("checkbox", "anew"), "Space")
    explorer.wait_for_summary("95% interval over MDPs.$")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_08")

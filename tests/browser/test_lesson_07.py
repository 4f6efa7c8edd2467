"""Lesson 07 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "07_assumptions_and_limits.ipynb", height=14000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("One estimate, two targets")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"MAML, K = 1, α = 2, \|τ\| = 2, AD, c = 1, b end: .* 500 of 500 trials")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_07")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("K,", "K = 2,"),
        ("α,", "α = 2.4,"),
        ("|τ|,", r"\|τ\| = 3,"),
        ("c,", "c = 1.1,"),
        ("M,", "2000 of 2000 trials"),
    ],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_tasks_path_and_reference(explorer: ExplorerOnPage) -> None:
    for task in ("LIRPG", "LOLA"):
        explorer.control("combobox", "task").select_option(task)
        explorer.wait_for_summary(f"{task}, K = 1, ")
    explorer.control("combobox", "path").select_option("DiCE")
    explorer.wait_for_summary("DiCE, c = 1")
    explorer.control("group", "b,").get_by_role("button", name="none", exact=True).click()
    explorer.wait_for_summary("b none:")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_07")

"""Lesson 02 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "02_maml_decomposition.ipynb", height=9000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("The MAML meta-gradient, taken apart")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"LVC, SSS, K = 1, α = 10, \|τ\| = 32, noise 1")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_02")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("K,", "K = 2,"), ("α,", "α = 13,"), ("|τ|,", r"\|τ\| = 64,"), ("noise,", "noise 1:"), ("M,", "50 of 50 trials")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    if name == "noise,":
        explorer.press(explorer.slider(name), "ArrowLeft")
        explorer.wait_for_summary("noise 0.25:")
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_parts_and_estimator(explorer: ExplorerOnPage) -> None:
    explorer.control("group", "I,").get_by_role("button", name="E", exact=True).click()
    explorer.wait_for_summary("LVC, ESS")
    explorer.control("combobox", "estimator").select_option("DiCE")
    explorer.wait_for_summary("DiCE, ESS")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_02")

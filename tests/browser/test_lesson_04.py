"""Lesson 04 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "04_compositional_bias.ipynb", height=14000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Unbiased steps, biased gradient")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"K = 1, α = 2, \|τ\| = 8, Loaded DiCE, fresh samples")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_04")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("K,", "K = 2, α = 2"), ("α,", r"K = 1, α = 2\.4,"), ("|τ|,", r"\|τ\| = 16,"), ("M,", "4000 of 4000 trials")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_axis_samples_and_debias(explorer: ExplorerOnPage) -> None:
    explorer.press(explorer.control("group", "axis").get_by_role("button", name="K", exact=True), "Enter")
    explorer.wait_until_idle()
    explorer.press(explorer.control("group", "samples").get_by_role("button", name="reused", exact=True), "Enter")
    explorer.wait_for_summary("Bounds on ‖bias‖: none for reused samples")
    explorer.press(explorer.control("checkbox", "debias"), "Space")
    explorer.wait_for_summary("mean of ten trials, not debiased")


def test_coin_obeys_the_keyboard(notebook: NotebookPage) -> None:
    coin = notebook.explorer("A coin and a curve")
    coin.wait_for_summary("the mean of f is 0.375, f of the mean is 0.25")
    coin.press(coin.slider("n,"), "ArrowRight")
    coin.wait_for_summary(r"4 throws: the mean of f is 0\.3125")
    coin.press(coin.control("group", "f").get_by_role("button", name="|x−½|", exact=True), "Enter")
    coin.wait_for_summary("a kink has no curvature")
    assert coin.violations() == []
    coin.screenshot("explorer_04_coin")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_04")

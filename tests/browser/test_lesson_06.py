"""Lesson 06 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "06_bias_variance_theorem.ipynb", height=12000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Both sides of Theorem 4.5")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"MAML, LVC, SSS, K = 2, α = 1, \|τ\| = 32: .* 50 of 50 trials")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_06")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("K,", "K = 3,"), ("α,", r"α = 1\.3,"), ("|τ|,", r"\|τ\| = 64:"), ("M,", "100 of 100 trials")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


@pytest.mark.parametrize(
    ("group", "button", "expected"),
    [
        ("task", "LIRPG", "LIRPG, LVC"),
        ("I,", "E", r"LVC, ESS, .* 0 compositional \+"),
        ("II,", "E", r"LVC, SES, .*\+ 0 Hessian"),
        ("III,", "E", "LVC, SSE"),
        ("path,", "published", "local constants, published"),
        ("constants", "global", r"bound \d\.\d+e\+\d+ = .*global constants, rms"),
    ],
)
def test_buttons_obey_the_keyboard(explorer: ExplorerOnPage, group: str, button: str, expected: str) -> None:
    explorer.press(explorer.control("group", group).get_by_role("button", name=button, exact=True), "Space")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_estimator_obeys_the_keyboard(explorer: ExplorerOnPage) -> None:
    explorer.press(explorer.control("combobox", "estimator"), "End")
    explorer.wait_for_summary("MAML, Loaded DiCE, SSS, .*not resolved")
    explorer.wait_until_idle()


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_06")

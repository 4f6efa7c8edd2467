"""Lesson 05 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "05_hessian_bias.ipynb", height=14000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("The Hessian that an estimator sees")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"LVC, sampled, \|τ\| = 32, noise 1 redrawn, K = 1, α = 10")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_05")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("K,", "K = 2,"), ("α,", "α = 13:"), ("|τ|,", r"\|τ\| = 64,"), ("noise,", "noise 1 "), ("M,", "50 of 50 trials")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, expected: str) -> None:
    if name == "noise,":
        explorer.press(explorer.slider(name), "ArrowLeft")
        explorer.wait_for_summary("noise 0.25 ")
    explorer.press(explorer.slider(name), "ArrowRight")
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_parts_are_ticked_until_nothing_is_left(explorer: ExplorerOnPage) -> None:
    explorer.control("group", "II,").get_by_role("button", name="B", exact=True).click()
    explorer.control("group", "ε,").get_by_role("button", name="fixed", exact=True).click()
    explorer.wait_for_summary(r"LVC, expected, noise 1 fixed")
    explorer.press(explorer.control("checkbox", "H₁₂ + H₁₂ᵀ,"), "Space")
    explorer.wait_for_summary(r"0\.5 ‖H‖ from the truth and 0 ‖H‖ from H₁ \+ H₂\.")


def test_estimator_and_its_dial(explorer: ExplorerOnPage) -> None:
    explorer.control("combobox", "estimator").select_option("Loaded DiCE")
    explorer.wait_for_summary(r"Loaded DiCE\(1\), sampled")
    explorer.press(explorer.slider("λ,"), "ArrowLeft")
    explorer.wait_for_summary(r"Loaded DiCE\(0\.75\), sampled")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_05")

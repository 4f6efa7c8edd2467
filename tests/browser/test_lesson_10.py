"""Lesson 10 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "10_lirpg_experiments.ipynb", height=16000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("LIRPG: which Hessian, how many steps")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"K = 5, \|τ\| = 16, V̂ attached: correlation LVC 0.833")
    return explorer


@pytest.fixture
def training(notebook: NotebookPage) -> ExplorerOnPage:
    training = notebook.explorer("What does the bias cost?")
    training.button("Reset").click()
    training.wait_for_summary("MAML, K = 3, AD, .* after 10 of 10 outer steps")
    return training


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_10")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("K,", "ArrowLeft", "K = 4,"), ("|τ|,", "ArrowRight", r"\|τ\| = 32,")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, key: str, expected: str) -> None:
    explorer.press(explorer.slider(name), key)
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_lists_and_buttons(explorer: ExplorerOnPage) -> None:
    explorer.control("combobox", "y").select_option("variance")
    explorer.wait_for_summary("variance LVC")
    explorer.control("combobox", "estimator").select_option("AD")
    explorer.wait_for_summary("variance AD")
    explorer.control("group", "V̂,").get_by_role("button", name="both", exact=True).click()
    explorer.wait_for_summary("AD, detached")


def test_a_point_anew(explorer: ExplorerOnPage) -> None:
    explorer.control("checkbox", "anew").press("Space")
    explorer.wait_for_summary(r"AD [^(]*\(anew ")


def test_training_obeys_the_keyboard(training: ExplorerOnPage) -> None:
    training.press(training.slider("K,"), "ArrowLeft")
    training.wait_for_summary("K = 2, AD, .* after 10 of 10")
    training.control("combobox", "estimator").select_option("LVC")
    training.wait_for_summary("K = 2, LVC, .* after 10 of 10")


def test_the_legend_stands_below_the_axes(training: ExplorerOnPage) -> None:
    """Also where the width has changed since the first drawing; while Plotly draws again, there may be neither."""
    figure = training.root.locator(".main-svg").first
    for width in (900, 1400):
        before = figure.bounding_box()
        training.page.set_viewport_size({"width": width, "height": 16000})
        training.wait_until(lambda before=before: figure.bounding_box() not in (None, before))
        training.wait_until(lambda: legend_is_below(training))


def legend_is_below(training: ExplorerOnPage) -> bool:
    title, legend = (training.root.locator(css).bounding_box() for css in (".xtitle", ".legend"))
    return bool(title and legend) and title["y"] + title["height"] <= legend["y"]


def test_every_control_has_a_name(explorer: ExplorerOnPage, training: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    assert training.violations() == []
    explorer.screenshot("explorer_10")

"""Lesson 12 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "12_lola_bias.ipynb", height=14000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("Which part must be exact?")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"inner on, mixed derivative on, outer on, .* V̂ from reward: after .* of 60 updates")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_12")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()
    third = notebook.page.locator(".js-plotly-plot").nth(2)  # Figures 3 and 9 and the explorer are drawn
    third.wait_for(state="attached", timeout=60_000)


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("|τ|,", "ArrowLeft", r"\|τ\| = 32 and 64,"), ("N,", "ArrowLeft", "after .* of 20 updates")],
)
def test_sliders_obey_the_keyboard(explorer: ExplorerOnPage, name: str, key: str, expected: str) -> None:
    explorer.press(explorer.slider(name), key)
    explorer.wait_for_summary(expected)
    explorer.wait_until_idle()


def test_lists_and_buttons(explorer: ExplorerOnPage) -> None:
    explorer.control("combobox", "mixed derivative").select_option("off")
    explorer.wait_for_summary("stored plays for mixed derivative")
    explorer.control("combobox", "V̂").select_option("return")
    explorer.wait_for_summary("V̂ from return: after")
    explorer.control("group", "outer,").get_by_role("button", name="exact", exact=True).click()
    explorer.wait_for_summary("outer exact, .* after")


def test_every_control_has_a_name(explorer: ExplorerOnPage) -> None:
    assert explorer.violations() == []
    explorer.screenshot("explorer_12")

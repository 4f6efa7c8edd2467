"""Lesson 13 as a student sees it: run all, move every kind of control with the keyboard, read the answer."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "13_mgrl.ipynb", height=16000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def updates(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("One meta-gradient through K updates")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"AD, K = 3, α = 1, V̂ = 0 · V: meta-gradient in the logit of γ")
    return explorer


@pytest.fixture
def live(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("An update that tunes itself")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"RandomMDP, mgrl-lvc, online, K = 3")
    return explorer


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    drawn = notebook.page.locator(".js-plotly-plot")
    notebook.explorer().wait_until(lambda: drawn.count() >= 4, 60)  # the graph, two explorers, the guess's figure
    notebook.screenshot("lesson_13")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("K,", "ArrowLeft", "K = 2,"),
        ("c,", "ArrowRight", r"V̂ = 0\.5 · V"),
        ("|τ|,", "ArrowRight", "estimates from 128 windows"),
    ],
)
def test_sliders_obey_the_keyboard(updates: ExplorerOnPage, name: str, key: str, expected: str) -> None:
    updates.press(updates.slider(name), key)
    updates.wait_for_summary(expected)
    updates.wait_until_idle()


def test_lists_and_buttons(updates: ExplorerOnPage) -> None:
    updates.control("combobox", "estimator").select_option("LVC")
    updates.wait_for_summary(r"LVC, K = 3.*\(-1%\)")
    updates.control("group", "φ,").get_by_role("button", name="λ", exact=True).click()
    updates.wait_for_summary("in the logit of λ")
    assert updates.violations() == []
    updates.screenshot("explorer_13_updates")


def test_it_learns_live_and_stops(live: ExplorerOnPage) -> None:
    live.control("combobox", "game").select_option("CartPole")
    live.wait_for_summary("CartPole, .* meta-updates; ", 60)
    live.control("group", "strategy").get_by_role("button", name="discard", exact=True).click()
    live.wait_for_summary("discard, K = 3", 60)
    live.press(live.slider("N,"), "ArrowRight", 60)
    live.button("Cancel").click()
    live.wait_until_idle()
    assert live.root.get_by_text("Stopped at").count() == 1


def test_every_control_has_a_name(live: ExplorerOnPage) -> None:
    live.wait_until_idle()
    assert live.violations() == []
    live.screenshot("explorer_13_live")

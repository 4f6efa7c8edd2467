"""Lesson 14 as a student sees it: run all, move every kind of control with the keyboard, start a run and stop it."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "14_mgrl_atari.ipynb", height=16000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def game(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("A game, and what the network sees")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"Seaquest, t = 40 of 300 steps", seconds=30)
    return explorer


@pytest.fixture
def live(notebook: NotebookPage) -> Iterator[ExplorerOnPage]:
    explorer = notebook.explorer("A minute of Atari")
    explorer.button("Reset").click()
    explorer.wait_for_summary("nothing has run yet; 20,000 steps")
    yield explorer
    explorer.button("Reset").click()
    explorer.wait_for_summary("nothing has run yet", seconds=60)


def test_runs_without_an_error(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson_14")
    assert notebook.cell_errors() == []
    notebook.assert_clean()
    notebook.assert_small()
    assert notebook.page.locator(".js-plotly-plot").count() >= 6, "three explorers, Qbert's score, Figures 10 and 11"


def test_a_step_of_the_game_with_the_keyboard(game: ExplorerOnPage) -> None:
    game.press(game.slider("t,"), "ArrowRight")
    game.wait_for_summary("Seaquest, t = 41 of 300 steps")
    game.wait_until_idle()
    assert game.root.locator("image").count() >= 2, "the screen and the four frames"
    game.screenshot("explorer_14_game")


def test_another_game(game: ExplorerOnPage) -> None:
    game.control("combobox", "game").select_option("Tennis")
    game.wait_for_summary("Tennis, t = 40 of 300 steps", seconds=60)
    game.wait_until_idle()
    assert game.violations() == []


def test_finished_games_with_the_keyboard(notebook: NotebookPage) -> None:
    explorer = notebook.explorer("Short games end first")
    explorer.press(explorer.slider("p,"), "ArrowRight")
    explorer.wait_for_summary("p = 0.7")
    explorer.press(explorer.slider("long,"), "ArrowRight")
    explorer.wait_for_summary("or 200 steps")
    explorer.control("group", "a game pays").get_by_role("button", name="alike", exact=True).click()
    explorer.wait_for_summary("mean return is 1, always")
    assert explorer.violations() == []
    explorer.screenshot("explorer_14_finished")


def test_a_run_starts_when_asked_to_and_stops(live: ExplorerOnPage) -> None:
    live.control("group", "start").get_by_role("button", name="learn", exact=True).click()
    live.wait_for_summary(r"MGRL \+ LVC: [1-9][\d,]* of 20,000 steps, \d+ a second; entropy", seconds=120)
    live.button("Cancel").click()
    live.wait_until_idle()
    live.wait_until(lambda: "Stopped at" in live.root.inner_text(), seconds=30)
    stopped = live.summary
    assert "No game has ended yet" in stopped or "finished games" in stopped
    live.screenshot("explorer_14_live")
    assert live.summary == stopped, "nothing runs on"
    assert live.violations() == []


def test_who_learns_and_for_how_long(live: ExplorerOnPage) -> None:
    live.control("group", "learns").get_by_role("button", name="nothing", exact=True).click()
    live.wait_for_summary("learns: nothing")
    live.press(live.slider("steps,"), "ArrowRight")
    live.wait_for_summary("50,000 steps are to come")

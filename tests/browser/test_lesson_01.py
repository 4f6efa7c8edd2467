"""Lesson 01 in a real JupyterLab: it runs, its explorer answers the keyboard, a guess is drawn into its figure."""

from collections.abc import Iterator

import pytest
from lab import Browser, ExplorerOnPage, JupyterLab, NotebookPage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "01_policy_gradients.ipynb", height=11_000)
    page.run_all()
    yield page
    page.close()


@pytest.fixture
def explorer(notebook: NotebookPage) -> ExplorerOnPage:
    explorer = notebook.explorer("One policy gradient, many estimates")
    explorer.button("Reset").click()
    explorer.wait_for_summary(r"^\|τ\| = 16, no baseline, T = 20, λ = 1")
    return explorer


def test_more_trajectories_move_the_figure(explorer: ExplorerOnPage) -> None:
    points = explorer.figure.locator(".scatterlayer .point").first
    before = points.get_attribute("transform")
    explorer.press(explorer.slider("|τ|, trajectories per estimate"), "ArrowRight")
    summary = explorer.wait_for_summary(r"\|τ\| = 32")
    explorer.wait_until(lambda: points.get_attribute("transform") != before)
    explorer.wait_until(lambda: explorer.figure.get_attribute("aria-label") == summary)


def test_the_baseline_by_keyboard(explorer: ExplorerOnPage) -> None:
    exact = explorer.control("group", "V̂, value baseline").get_by_role("button", name="exact")
    explorer.press(exact, "Enter")
    explorer.wait_for_summary("exact values as baseline")
    explorer.wait_until(lambda: exact.get_attribute("aria-pressed") == "true")


def test_one_step_teaches_nothing(explorer: ExplorerOnPage) -> None:
    explorer.press(explorer.slider("T, steps per trajectory"), "Home")
    explorer.wait_for_summary("T = 1, .*bias² 1 exactly")


def test_every_slider_answers(explorer: ExplorerOnPage) -> None:
    for name in ("λ, ", "θ wait, ", "θ take, ", "M, "):
        before = explorer.summary
        explorer.press(explorer.slider(name), "ArrowLeft")
        explorer.wait_until_idle()
        explorer.wait_until(lambda: explorer.summary != before)  # noqa: B023 (it is called at once)


def test_names_for_a_screen_reader(notebook: NotebookPage, explorer: ExplorerOnPage) -> None:
    explorer.screenshot("lesson-01-explorer")
    assert explorer.violations() == []
    figures = notebook.page.locator('svg[role="img"]')
    explorer.wait_until(lambda: figures.count() >= 4, 30)
    labels = figures.evaluate_all("nodes => nodes.map(node => node.getAttribute('aria-label'))")
    assert len(labels) == 4
    assert labels[0].startswith("2 states, 2 actions: in bare, wait (probability 0.5) pays 0 and leads to full")
    assert "slope −½" in labels[1]
    assert "true value is 0.256" in labels[3]


def test_a_guess_is_drawn_into_the_figure(notebook: NotebookPage) -> None:
    page = notebook.page
    for number, guess in enumerate(("falls to a quarter", "half of it")):
        page.get_by_label(guess, exact=True).check()
        page.get_by_role("button", name="Commit guess").nth(number).click()
        page.get_by_text(f"Kept: {guess}.").wait_for()
    notebook.run_all()
    page.get_by_text("your guess: falls to a quarter").first.wait_for()
    page.get_by_text("your guess for AD: half of it").first.wait_for()


def test_nothing_complained(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson-01")
    notebook.assert_clean()
    notebook.assert_small()

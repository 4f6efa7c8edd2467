"""Lesson 00 in a real JupyterLab: it runs, the tour's explorer answers, a guess is kept."""

from collections.abc import Iterator

import pytest
from lab import Browser, JupyterLab, NotebookPage

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "00_start_here.ipynb", height=4200)
    page.run_all()
    yield page
    page.close()


def test_the_self_check_is_content(notebook: NotebookPage) -> None:
    first = notebook.page.locator(".jp-OutputArea-output").first
    first.filter(has_text="Everything is here").wait_for()
    assert "✗" not in first.inner_text()


def test_the_tour(notebook: NotebookPage) -> None:
    explorer = notebook.explorer("The MAML meta-gradient, taken apart")
    for row in ("I, ", "II, ", "III, "):
        explorer.control("group", row).get_by_role("button", name="E", exact=True).click()
    explorer.wait_for_summary(r"EEE.*correlation with the exact meta-gradient 1\.000")
    explorer.press(explorer.control("group", "III, ").get_by_role("button", name="S", exact=True), "Enter")
    explorer.wait_for_summary("EES")
    assert explorer.violations() == []


def test_a_guess_is_kept(notebook: NotebookPage, lab: JupyterLab) -> None:
    notebook.page.get_by_label("no, in general", exact=True).check()
    notebook.page.get_by_role("button", name="Commit guess").first.click()
    notebook.page.get_by_text("Kept: no, in general.").wait_for()
    assert '00,how_wrong,"no, in general"' in (lab.root / "predictions.csv").read_text()


def test_the_example_check_asks_the_next_question(notebook: NotebookPage) -> None:
    verdict = notebook.page.get_by_role("status").filter(has_text="Not yet")
    assert "at one end, or at both?" in verdict.first.inner_text()


def test_nothing_complained(notebook: NotebookPage) -> None:
    notebook.screenshot("lesson-00")
    notebook.assert_clean()
    notebook.assert_small()

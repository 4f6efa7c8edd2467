"""The report of an estimator in a real JupyterLab, and the table of statements that leads to headings."""

import time
from collections.abc import Iterator

import nbformat
import pytest
from lab import Browser, JupyterLab, NotebookPage
from playwright.sync_api import Locator

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = (
    "import gmrl_lab as gl",
    'gl.bench_estimator(gl.LVC(), {"first": "unbiased", "second": "unbiased"}, scale="quick")',
)


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), lab.root / "bench.ipynb")
    page = NotebookPage(browser, lab, "bench.ipynb", height=2000)
    page.run_all()
    yield page
    page.close()


def test_the_report_is_a_page_with_verdicts_and_two_figures(notebook: NotebookPage) -> None:
    notebook.page.get_by_text("✗ refuted").wait_for()
    assert notebook.page.get_by_text("✓ confirmed").count() == 1
    figures = notebook.page.locator(".js-plotly-plot")
    summaries = notebook.page.locator(".gmrl-summary")
    figures.nth(1).locator(".scatterlayer path.js-line").first.wait_for(state="attached", timeout=30_000)
    summaries.nth(1).wait_for(timeout=30_000)
    assert figures.count() == 2
    assert summaries.count() == 2
    notebook.screenshot("bench_report")
    notebook.assert_clean()


def test_a_statement_links_its_heading(lab: JupyterLab, browser: Browser) -> None:
    """A click on the last row of lesson 01 scrolls its heading into view."""
    page = NotebookPage(browser, lab, "01_policy_gradients.ipynb", height=1000)
    try:
        page.run_all()
        heading = page.page.locator("h3", has_text="Same gradient, another Hessian")
        link = page.page.get_by_role("link", name="Same gradient, another Hessian", exact=True)
        link.scroll_into_view_if_needed()
        assert not in_view(page, heading)
        page.screenshot("statements")
        link.click()
        wait_until_in_view(page, heading)
    finally:
        page.close()


def wait_until_in_view(page: NotebookPage, element: Locator, seconds: float = 30.0) -> None:
    """Scrolling takes as long as it takes."""
    end = time.monotonic() + seconds
    while not in_view(page, element):
        assert time.monotonic() < end, "the heading was not scrolled into view"
        page.page.wait_for_timeout(50)


def in_view(page: NotebookPage, element: Locator) -> bool:
    box = element.bounding_box() if element.count() else None
    return box is not None and 0 <= box["y"] < page.page.viewport_size["height"]

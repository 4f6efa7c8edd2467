"""A page so slow that anywidget gives up on every widget: figures and controls must work all the same."""

from collections.abc import Iterator

import pytest
from lab import Browser, JupyterLab, NotebookPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# anywidget waits for a widget's script by AbortSignal.timeout(2000), and gives up when it fires: here at once.
NO_PATIENCE = """
const timeout = AbortSignal.timeout.bind(AbortSignal)
AbortSignal.timeout = (milliseconds) => {
  window.gmrlImpatient = true
  return timeout(milliseconds === 2000 ? 0 : milliseconds)
}
"""


@pytest.fixture(scope="module")
def notebook(lab: JupyterLab, browser: Browser) -> Iterator[NotebookPage]:
    page = NotebookPage(browser, lab, "02_maml_decomposition.ipynb", height=9000, first=NO_PATIENCE)
    page.run_all()
    yield page
    page.close()


def test_the_figure_is_drawn_and_follows_its_controls(notebook: NotebookPage) -> None:
    explorer = notebook.explorer("The MAML meta-gradient, taken apart")
    explorer.figure.locator(".scatterlayer path.js-line").first.wait_for(state="attached", timeout=30_000)
    explorer.press(explorer.slider("K,"), "ArrowRight")
    summary = explorer.wait_for_summary("K = 2,")
    explorer.wait_until_idle()
    explorer.wait_until(lambda: explorer.figure.get_attribute("aria-label") == explorer.summary)
    assert summary
    assert notebook.page.evaluate("() => window.gmrlImpatient"), "this anywidget waits in another way: rewrite the test"

"""A browser for all browser tests, and a JupyterLab over the folder that a test module names."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import REPOSITORY, Browser, JupyterLab, find_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser, whether or not its author remembered the mark."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. Missing is a failure, since a skip looks like a pass; GMRL_NO_BROWSER=1 says it is meant."""
    if os.environ.get("GMRL_NO_BROWSER") == "1":
        pytest.skip("GMRL_NO_BROWSER=1")
    path = find_chromium()
    if path is None:
        pytest.fail(
            "no Chromium found. Install one (apt-get install chromium), or set GMRL_CHROMIUM to its path, "
            "or leave the browser tests out with GMRL_NO_BROWSER=1."
        )
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium. Closed with the module: Playwright keeps an event loop running, and other tests would see it."""
    with Browser(chromium) as started:
        yield started


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[JupyterLab]:
    """JupyterLab over a copy of the notebooks, so that running them changes nothing in the repository."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    leave = shutil.ignore_patterns("predictions.csv", ".ipynb_checkpoints")
    shutil.copytree(REPOSITORY / "notebooks", root, ignore=leave)
    with JupyterLab(root, tmp_path_factory.mktemp("jupyter")) as started:
        yield started

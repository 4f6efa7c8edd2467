"""A real JupyterLab in a real Chromium: start it, run a notebook, press keys, see what the reader would see.

    with JupyterLab(root, work) as lab, Browser() as browser:
        page = NotebookPage(browser, lab, "02_maml_decomposition.ipynb")
        page.run_all()
        page.press(page.slider("α, inner step size"), "ArrowRight")
        page.assert_clean()

Benchmarks use it too: `redraw_latencies` presses keys and returns milliseconds from key press to redrawn figure.
"""

import json
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request, sync_playwright

REPOSITORY = Path(__file__).parents[2]
ARTIFACTS = REPOSITORY / "tests" / "artifacts"

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Names, roles and states: what a screen reader needs. Contrast depends on the reader's theme and is JupyterLab's.
AXE_RULES = [
    "aria-allowed-attr",
    "aria-allowed-role",
    "aria-command-name",
    "aria-hidden-focus",
    "aria-input-field-name",
    "aria-progressbar-name",
    "aria-required-attr",
    "aria-roles",
    "aria-toggle-field-name",
    "aria-valid-attr-value",
    "button-name",
    "label",
    "link-name",
    "nested-interactive",
    "role-img-alt",
    "scrollable-region-focusable",
    "select-name",
    "svg-img-alt",
]


def find_chromium() -> str | None:
    """The browser: GMRL_CHROMIUM if set, else a usual place, else the PATH."""
    named = os.environ.get("GMRL_CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    if Path("/usr/bin/chromium").exists():
        return "/usr/bin/chromium"
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


class JupyterLab:
    """A JupyterLab server of its own: port, token, configuration, kernels and IPython history touch nobody else's."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        self.token = secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "JupyterLab":
        config = self.work / "config"
        (config / "labconfig").mkdir(parents=True)
        # The announcements extension asks the network for news, and opens a dialog over the notebook.
        disabled = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (config / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
        # JupyterLab renders only the cells in sight; off the screen there would be no explorer to find.
        tracker = self.work / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
        tracker.parent.mkdir(parents=True)
        tracker.write_text(json.dumps({"windowingMode": "none"}))
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        with (self.work / "jupyter.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(port), env=self._environment(), cwd=self.root, stdout=log, stderr=log
            )
        try:
            self._wait_until_up()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def address(self, notebook: str) -> str:
        """The URL that opens one notebook in a fresh workspace."""
        return f"{self.url}/doc/tree/{notebook}?reset&token={self.token}"

    def _command(self, port: int) -> list[str]:
        return [
            *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            *(f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True"),
        ]

    def _environment(self) -> dict[str, str]:
        folders = {
            "JUPYTER_CONFIG_DIR": self.work / "config",
            "JUPYTER_DATA_DIR": self.work / "data",
            "JUPYTER_RUNTIME_DIR": self.work / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": self.work / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": self.work / "workspaces",
            "IPYTHONDIR": self.work / "ipython",
        }
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        return {**os.environ, **{name: str(folder) for name, folder in folders.items()}, "PYTHONPATH": path}

    def _wait_until_up(self, seconds: float = 60.0) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with {self._process.returncode}:\n{self.log()}")
            try:
                with urllib.request.urlopen(f"{self.url}/api?token={self.token}", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not answer within {seconds:.0f} s:\n{self.log()}")

    def log(self) -> str:
        """The end of the server's log."""
        return (self.work / "jupyter.log").read_text(errors="replace")[-3000:]

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()  # the server ends its kernels
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


class Browser:
    """A headless Chromium."""

    def __init__(self, executable: str | None = None) -> None:
        found = executable or find_chromium()
        if found is None:
            raise RuntimeError("no Chromium found: install it, or set GMRL_CHROMIUM to its path")
        self._executable = found

    def __enter__(self) -> "Browser":
        self._playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(executable_path=self._executable, args=CHROMIUM_FLAGS)
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def new_page(self, width: int = 1400, height: int = 3000) -> Page:
        """A page tall enough that JupyterLab renders every cell."""
        return self._browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True).new_page()


SLOW_START = "[anywidget] Failed to initialize model."
"""What anywidget says of a script that needs more than two seconds to start: a figure outlives it (test_slow_start)."""


@dataclass
class Complaints:
    """What the page said while nobody looked."""

    page_errors: list[str] = field(default_factory=list)
    console_errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    def watch(self, page: Page, host: str) -> None:
        """Collect from now on."""
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))
        page.on("console", self._console)
        page.on("request", lambda request: self._request(request, host))
        page.on("websocket", lambda socket: self._foreign(socket.url, host))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.console_errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request, host: str) -> None:
        self._foreign(request.url, host)

    def _foreign(self, url: str, host: str) -> None:
        if re.match(r"(https?|wss?)://", url) and url.split("/")[2] != host:
            self.foreign_requests.append(url)


class NotebookPage:
    """One notebook, open in one page."""

    def __init__(
        self,
        browser: Browser,
        lab: JupyterLab,
        notebook: str,
        *,
        width: int = 1400,
        height: int = 3000,
        first: str = "",
    ):
        self.complaints = Complaints()
        self.page = browser.new_page(width, height)
        if first:  # a script to run before any of the page's own
            self.page.add_init_script(first)
        self.complaints.watch(self.page, lab.url.removeprefix("http://"))
        self.page.goto(lab.address(notebook))
        # The indicator in the tool bar says idle before the kernel is connected, and Run All is then silently dropped.
        status = self.page.locator("#jp-main-statusbar, .jp-StatusBar-Widget").get_by_text(
            "Python 3 (ipykernel) | Idle"
        )
        status.first.wait_for(timeout=90_000)

    def run_all(self, seconds: float = 180.0) -> None:
        """Run all cells; returns when every code cell with source has a number. A failed cell is an AssertionError."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        self.page.wait_for_function(_ALL_RUN, timeout=seconds * 1000)
        errors = self.cell_errors()
        assert not errors, "\n".join(errors)

    def cell_errors(self) -> list[str]:
        """Tracebacks of cells that failed, except where the tag `raises-exception` says that they should."""
        return [str(error) for error in self.page.evaluate(_ERRORS)]

    def explorer(self, title: str | None = None) -> "ExplorerOnPage":
        """The explorer of that title (the first one without), once its figure is drawn."""
        root = self.page.locator(".gmrl-explorer")
        if title is not None:
            root = self.page.get_by_role("group", name=title, exact=True).and_(root)
        return ExplorerOnPage(self.page, root.first)

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the whole window for people to look at."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def assert_clean(self) -> None:
        """No error in page or cells, no request to another host."""
        heard = self.complaints
        page_errors = [error for error in heard.page_errors if error != SLOW_START]
        for complaints in (heard.foreign_requests, page_errors, heard.console_errors):
            assert complaints == [], complaints  # in words: pytest explains no assertion outside a test module
        assert self.cell_errors() == []

    def assert_small(self) -> None:
        """The kernel has needed no more memory than a small laptop has; asked after all cells have run."""
        peak = self.page.evaluate(_PEAK_MEMORY) / (1e9 if sys.platform == "darwin" else 1e6)
        assert 0.1 < peak < 1.5, f"{peak} GB"

    def close(self) -> None:
        """End the kernel, which would keep its memory while other notebooks run, and close the page and its context."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.context.close()


class ExplorerOnPage:
    """An explorer as a reader, or a screen reader, meets it."""

    def __init__(self, page: Page, root: Locator) -> None:
        self.page, self.root = page, root
        self.figure.wait_for(timeout=60_000)

    @property
    def figure(self) -> Locator:
        """The drawing; its accessible name is the text summary."""
        return self.root.locator('svg[role="img"]').first

    @property
    def summary(self) -> str:
        """The text under the figure."""
        return self.root.locator(".gmrl-summary").inner_text().strip()

    def control(self, role: str, name: str) -> Locator:
        """A control by role and accessible name (its beginning suffices)."""
        return self.root.get_by_role(role, name=re.compile("^" + re.escape(name)))  # type: ignore[arg-type]

    def slider(self, name: str) -> Locator:
        """A slider by accessible name."""
        return self.control("slider", name)

    def button(self, name: str) -> Locator:
        """A button by its exact text."""
        return self.root.get_by_role("button", name=name, exact=True)

    def press(self, control: Locator, key: str, seconds: float = 10.0) -> float:
        """Press a key on a control; milliseconds until Plotly has redrawn the figure.

        Timed in the page, from the key event to the frame after Plotly's event: the test's round trips do not count.
        """
        control.focus()
        self.root.evaluate(_START_CLOCK)
        control.press(key)
        try:
            self.page.wait_for_function("() => window.gmrlLatency !== null", timeout=seconds * 1000, polling=20)
        except Error as error:
            raise AssertionError(f"{key!r} did not redraw the figure; summary: {self.summary!r}") from error
        return float(self.page.evaluate("() => window.gmrlLatency"))

    def wait_for_summary(self, pattern: str, seconds: float = 10.0) -> str:
        """Wait until the summary matches, and return it."""
        summary = self.root.locator(".gmrl-summary").filter(has_text=re.compile(pattern))
        summary.wait_for(timeout=seconds * 1000)
        return self.summary

    def wait_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until `condition()` holds: the figure and its label follow the text a few frames later."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s; summary: {self.summary!r}"
            self.page.wait_for_timeout(50)

    def wait_until_idle(self, seconds: float = 60.0) -> None:
        """Wait until no refinement runs."""
        cancel = self.root.locator("button").filter(has_text=re.compile("^Cancel$"))
        cancel.wait_for(state="hidden", timeout=seconds * 1000)

    def violations(self) -> list[str]:
        """What axe finds wrong with names, roles and states inside this explorer."""
        marked = "data-gmrl-axe"
        self.root.evaluate(f"(node) => node.setAttribute('{marked}', '')")
        options = {"runOnly": {"type": "rule", "values": AXE_RULES}}
        results = Axe().run(self.page, context=f"[{marked}]", options=options).response
        self.root.evaluate(f"(node) => node.removeAttribute('{marked}')")
        return [
            f"{violation['id']}: {node['html'][:200]}"
            for violation in results["violations"]
            for node in violation["nodes"]
        ]

    def screenshot(self, name: str) -> Path:
        """Keep a picture of this explorer."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        self.root.screenshot(path=path)
        return path


def redraw_latencies(explorer: ExplorerOnPage, control: Locator, keys: list[str]) -> list[float]:
    """Milliseconds from key press to redrawn figure, one per key. The first press is a warm-up and is not counted."""
    latencies = []
    for key in keys:
        latencies.append(explorer.press(control, key))
        explorer.wait_until_idle()
    return latencies[1:]


def median_and_p95(latencies: list[float]) -> tuple[float, float]:
    """The two figures that the design sets limits to."""
    return statistics.median(latencies), statistics.quantiles(latencies, n=20, method="inclusive")[-1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The page shows prompts and tracebacks too, but only the model knows of every cell.
_CELLS = """const cells = jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model)
    .filter(cell => cell.type === "code" && cell.sharedModel.source.trim() !== "")
  const errors = cells.filter(cell => !(cell.getMetadata("tags") ?? []).includes("raises-exception"))
    .flatMap(cell => cell.outputs.toJSON()).filter(output => output.output_type === "error")
    .map(error => error.traceback.join("\\n"))"""
_ERRORS = f"() => {{ {_CELLS}; return errors }}"
_ALL_RUN = f"""() => {{ {_CELLS}
  const done = cells.filter(cell => cell.executionState === "idle" && cell.executionCount)
  return errors.length > 0 || (cells.length > 0 && done.length === cells.length)
}}"""

# Nobody sees it: no number for a cell, nothing in the history.
_PEAK_MEMORY = """async () => {
  const asked = { peak: "__import__('resource').getrusage(0).ru_maxrss" }
  const content = { code: "", silent: false, store_history: false, user_expressions: asked }
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel
  const answer = await kernel.requestExecute(content).done
  return Number(answer.content.user_expressions.peak.data["text/plain"])
}"""

_START_CLOCK = """(root) => {
  window.gmrlLatency = null
  let pressed = null
  root.addEventListener("keydown", () => { pressed = performance.now() }, { capture: true, once: true })
  const plot = root.querySelector(".js-plotly-plot")
  const redrawn = () => {
    if (pressed === null || window.gmrlLatency !== null) return
    requestAnimationFrame(() => { window.gmrlLatency ??= performance.now() - pressed })
    plot.removeListener("plotly_afterplot", redrawn)
  }
  plot.on("plotly_afterplot", redrawn)
}"""

"""A newcomer's first hour: a clean clone, a set-up killed half way, and `make lab`, which repairs it and serves."""

import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MINUTE = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("make") is None or shutil.which("git") is None, reason="needs make and git"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a visitor gets: the committed tree, and nothing that lies around here."""
    target = tmp_path_factory.mktemp("clone") / "gmrl_lab"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def start(clone: Path, log: Path, *command: str) -> subprocess.Popen[bytes]:
    """`make …` in the clone, in a process group of its own, with nothing of this environment's Python."""
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON", "PYTEST"))
    }
    with log.open("wb") as sink:
        pipes = {"stdout": sink, "stderr": sink, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            ["make", *command], cwd=clone, env=keep, process_group=0, preexec_fn=heed_interrupts, **pipes
        )


def heed_interrupts() -> None:
    """A shell's background process is born deaf to Ctrl-C, and so are those that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop(process: subprocess.Popen[bytes], sign: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, sign)
        process.wait(timeout=30)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes], log: Path, minutes: float) -> object:
    end = time.monotonic() + minutes * MINUTE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        if process.poll() is not None:
            pytest.fail(f"make ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        time.sleep(0.5)
    pytest.fail(f"nothing after {minutes} minutes:\n{log.read_text()[-4000:]}")


@pytest.fixture
def killed_halfway(clone: Path, log: Path) -> Path:
    process = start(clone, log, "setup")
    packages = clone / ".venv" / "lib"
    wait_for(lambda: any(packages.glob("python*/site-packages/torch*")), process, log, 8)
    stop(process, signal.SIGKILL)
    return clone


def test_make_lab_repairs_a_half_made_environment_and_serves(killed_halfway: Path, log: Path) -> None:
    process = start(killed_halfway, log, "lab", "BROWSER=0")
    try:
        address = wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/\S+", log.read_text()), process, log, 12)
        with urllib.request.urlopen(address.group(), timeout=30) as page:
            assert page.status == 200
        assert "00_start_here.ipynb" in address.group()
    finally:
        stop(process, signal.SIGINT)
    assert "was cut short; rebuilding" in log.read_text(), "the second run says that it repairs"

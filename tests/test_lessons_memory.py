"""No lesson needs more memory than a small laptop has."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("lesson", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_peak_memory_of_a_lesson(lesson: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.lesson", str(lesson)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    _, peak, _ = map(float, run.stdout.split())
    assert 0.1 < peak < 1.5, f"{peak} GB"

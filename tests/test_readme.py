"""What the README says is true: its code runs, and its table has every lesson."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, {})
    correlation = re.match(r"tensor\(([\d.]+)", capsys.readouterr().out)
    assert correlation, "the mean correlation is printed first"
    assert 0.5 < float(correlation.group(1)) < 1.0


def test_every_lesson_is_in_the_table_and_every_link_leads_somewhere() -> None:
    links = set(re.findall(r"\]\(([^)#]+)\)", README))
    lessons = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert lessons
    assert lessons <= links
    assert [link for link in links if not (ROOT / link).exists()] == []

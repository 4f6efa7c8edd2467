"""Lesson 00's self-check: versions, and plain words where something is missing or too old."""

from importlib import metadata

import pytest

from gmrl_lab import selfcheck


def test_names_what_the_lessons_need_with_versions() -> None:
    text = selfcheck.report()
    assert "✗" not in text
    for name in ("torch", "plotly", "anywidget"):
        assert f"✓ {name} {metadata.version(name)}" in text
    assert text.endswith("a first gradient came out as it must: 0.25.")


def test_missing_and_too_old() -> None:
    missing, old, good = selfcheck.packages({"no-such-package": ">=2", "numpy": ">=999", "torch": ">=1.0"})
    assert str(missing) == "✗ no-such-package is missing; the lessons need >=2"
    assert str(old) == f"✗ numpy {metadata.version('numpy')}, but the lessons need >=999"
    assert str(good) == f"✓ torch {metadata.version('torch')}"


def test_report_says_how_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "_requirements", lambda: {"no-such-package": ""})
    assert "Not ready: no-such-package. Close JupyterLab, run `make lab`" in selfcheck.report()


def test_works_from_a_folder_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    assert "✓ torch" in selfcheck.report()

"""Is everything here, new enough, and working? Lesson 00 asks, and gets plain words."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

EXTRA = "lab"
SHOWN_FIRST = ("numpy", "torch", "pandas", "plotly", "ipywidgets", "anywidget", "jupyterlab")
REMEDY = "Close JupyterLab, run `make lab` in the project's folder (or `pip install -e .[lab]`), and start again."


@dataclass(frozen=True)
class Finding:
    """One package: what is installed (None for nothing), what is needed, and whether the two agree."""

    name: str
    installed: str | None
    needed: str
    good: bool

    def __str__(self) -> str:
        if self.installed is None:
            return f"✗ {self.name} is missing; the lessons need {self.needed or 'any version'}"
        wish = "" if self.good else f", but the lessons need {self.needed}"
        return f"{'✓' if self.good else '✗'} {self.name} {self.installed}{wish}"


def report() -> str:
    """Versions of Python and of what the lessons need, what is missing or too old and how to repair it.

    Taught in lesson 00.
    """
    findings = [_python(), *packages(_requirements())]
    lines = [str(finding) for finding in findings]
    bad = [finding.name for finding in findings if not finding.good]
    if bad:
        return "\n".join([*lines, "", f"Not ready: {', '.join(bad)}. {REMEDY}"])
    return "\n".join([*lines, "", _first_gradient()])


def packages(requirements: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each package name and the versions of it that will do."""
    for name, needed in requirements.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding(name, None, needed, False)
        else:
            yield Finding(name, installed, needed, SpecifierSet(needed).contains(installed, prereleases=True))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", version, ">=3.11", sys.version_info >= (3, 11))


def _requirements() -> dict[str, str]:
    """Name → versions, as the package itself declares them, the ones that a reader knows first."""
    try:
        declared = [Requirement(text) for text in metadata.requires("gmrl_lab") or ()]
    except metadata.PackageNotFoundError:  # imported from its folder without having been installed
        return dict.fromkeys(SHOWN_FIRST, "")
    needed = {
        each.name: str(each.specifier)
        for each in declared
        if each.marker is None or each.marker.evaluate({"extra": EXTRA})
    }
    first = {name: needed[name] for name in SHOWN_FIRST if name in needed}
    return first | needed


def _first_gradient() -> str:
    """One computation from end to end whose result is known: the slope of a fair coin's logit is a quarter."""
    import torch

    from gmrl_lab import TabularMDP, exact

    coin = TabularMDP([[[1.0], [1.0]]], [[1.0, 0.0]], 0.0)  # type: ignore[arg-type]
    slope = exact.gradient(coin, torch.zeros(1, 2, dtype=torch.float64))[0, 0].item()
    if abs(slope - 0.25) > 1e-12:
        return f"All packages are here, but a first gradient came out as {slope:g} instead of 0.25. Please report this."
    return "Everything is here, and a first gradient came out as it must: 0.25."

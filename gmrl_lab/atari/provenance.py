"""Where a run computes, and what its tables say of how they were made: command, commit, versions, machine."""

import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gmrl_lab._validate import bad

PACKAGE = Path(__file__).resolve().parents[1]


def device_of(name: str) -> torch.device:
    """The device of a name.

    Raises:
        ValueError: if torch does not know it, or this machine does not have it.

    Taught in lesson 14.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise bad("device", f"{name!r} ({reason})", "'auto', 'cpu', or another that this machine has") from error
    return torch.device(name)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a CPU it costs nothing to insist that the same numbers give the same sums."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def made_by(device: torch.device, command: Sequence[str] = ()) -> dict[str, object]:
    """What a table says of itself: the command, the commit of this package's code, versions and the machine.

    Taught in lesson 14.
    """
    versions = {"python": platform.python_version()}
    for name in ("gmrl_lab", "torch", "ale-py", "gymnasium", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {device.type.upper()}"
    return {"command": shlex.join(command), "commit": commit(), "versions": versions, "machine": machine}


@cache
def commit(package: Path = PACKAGE) -> str | None:
    """The git commit of a package's code, with "-dirty" if it has changed since; None if it is no checkout.

    Taught in lesson 14.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # the package may be installed inside another checkout
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "*.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def without_places(command: str) -> str:
    """A command whose absolute paths are cut to their last names: where they were on one machine says nothing."""
    words = (word.rpartition("=") for word in shlex.split(command))
    return shlex.join(start + sign + (Path(end).name if Path(end).is_absolute() else end) for start, sign, end in words)

"""The house: pins that agree, one version, and no forward-mode differentiation in the package."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name: the name in requirements.lock
LOCKED_EXTRAS = ("lab", "test", "atari", "cluster")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[")[0].strip()).lower()


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.partition(";")[0].strip() for line in lines if line and not line.startswith("#")]
    assert all(pin.count("==") == 1 for pin in pins), "requirements.lock holds exact pins only"
    return {normal(name): version for name, version in (pin.split("==") for pin in pins)}


def conda() -> tuple[dict[str, str], list[str]]:
    """The pins of environment.yml by the name in the lock, and the pip section as it stands."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    pins = [entry.split("=", 1) for entry in entries if isinstance(entry, str) and "=" in entry]
    pins += [entry.split("==", 1) for entry in pip if "==" in entry]
    return {normal(CONDA_NAMES.get(name, name)): version for name, version in pins}, pip


def requirements(*extras: str) -> set[str]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    return {normal(re.split(r"[<>=!~; ]", text)[0]) for text in texts}


def test_environment_and_lock_agree() -> None:
    pins, _ = conda()
    pins.pop("python")
    lock = locked()
    assert pins == {name: lock.get(name) for name in pins}


def test_environment_names_every_requirement() -> None:
    pins, pip = conda()
    assert requirements(*LOCKED_EXTRAS) - set(pins) == set()
    assert "-e ." in pip
    assert any(entry.startswith("gymnasium[atari]==") for entry in pip)


def test_environment_has_the_oldest_python() -> None:
    pins, _ = conda()
    assert PROJECT["requires-python"] == f">={pins['python']}"


def test_lock_holds_every_requirement() -> None:
    assert requirements(*LOCKED_EXTRAS) - set(locked()) == set()


def test_lock_is_portable() -> None:
    """No GPU libraries and no build tags: the same file serves Linux, macOS and Windows."""
    lock = locked()
    assert [name for name in lock if name.startswith(("nvidia-", "cuda-", "triton"))] == []
    assert [version for version in lock.values() if "+" in version] == []


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


@pytest.mark.parametrize("script", ["bootstrap.py"])
def test_set_up_can_be_read_by_an_old_python(script: str) -> None:
    """An old Python must get as far as the message that it is too old."""
    tree = ast.parse((ROOT / "tools" / script).read_text(), feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.Await)
    assert [node for node in ast.walk(tree) if isinstance(node, newer)] == []


# --- forward mode -----------------------------------------------------------------------------------------------
# In torch 2.13 forward mode through torch.linalg.solve is silently wrong under batching. Ruff bans the plain
# spellings; this check also sees aliases of the modules and the strategy argument of torch.autograd.functional.

FORWARD = {
    "torch.func.jacfwd",
    "torch.func.hessian",
    "torch.func.jvp",
    "torch.func.linearize",
    "torch.autograd.forward_ad",
}
FORWARD |= {name.replace("torch.func.", "functorch.") for name in FORWARD if name.startswith("torch.func.")}


def forward_mode(source: str) -> Iterator[tuple[int, str]]:
    """The line and the name of each use of forward-mode differentiation."""
    tree = ast.parse(source)
    names: dict[str, str] = {}  # a name in this file: what it stands for
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
            yield from ((node.lineno, full) for full in (f"{node.module}.{a.name}" for a in node.names) if banned(full))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if banned(alias.name))
        elif isinstance(node, ast.Attribute):
            head, _, tail = ast.unparse(node).partition(".")
            full = f"{names.get(head, head)}.{tail}"
            if full in FORWARD:
                yield node.lineno, full
        elif isinstance(node, ast.keyword) and node.arg == "strategy" and "forward-mode" in ast.unparse(node.value):
            yield node.value.lineno, "strategy='forward-mode'"


def banned(full: str) -> bool:
    return any(full == name or full.startswith(f"{name}.") for name in FORWARD)


@pytest.mark.parametrize(
    "bad",
    [
        "import torch\ntorch.func.jacfwd(f)(x)",
        "from torch.func import hessian",
        "from torch.func import hessian as h\nh(f)(x)",
        "from torch import func\nfunc.jvp(f, (x,), (v,))",
        "import torch.func as tf\ntf.linearize(f, x)",
        "import torch\ntorch.vmap(torch.func.hessian(f))(x)",
        "import torch.autograd.forward_ad as fwAD",
        "from torch.autograd import forward_ad\nforward_ad.dual_level()",
        "import torch\nwith torch.autograd.forward_ad.dual_level(): pass",
        "import torch\ntorch.autograd.functional.hessian(f, x, strategy='forward-mode', vectorize=True)",
        "from functorch import jacfwd",
    ],
)
def test_forward_mode_is_seen(bad: str) -> None:
    assert list(forward_mode(bad))


@pytest.mark.parametrize(
    "good",
    [
        "import torch\ntorch.func.jacrev(torch.func.jacrev(f))(x)",
        "from torch.func import vmap, grad",
        "import torch\ntorch.autograd.functional.hessian(f, x)",
        "import gmrl_lab as gl\ngl.exact.hessian(mdp, theta)",
        "def hessian(mdp, theta): ...",
    ],
)
def test_reverse_mode_is_allowed(good: str) -> None:
    assert list(forward_mode(good)) == []


def test_no_forward_mode_in_the_package() -> None:
    files = sorted((ROOT / "gmrl_lab").rglob("*.py"))
    assert files
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name}" for file in files for line, name in forward_mode(file.read_text())
    ]
    assert found == []


def test_ruff_bans_forward_mode(tmp_path: Path) -> None:
    bad = "import torch\n\ntorch.func.jacfwd(torch.func.hessian(abs))\n"
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--no-cache", "-"]
    answer = subprocess.run(command, input=bad, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout.count("TID251") == 2

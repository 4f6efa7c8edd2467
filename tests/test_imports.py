"""The package from outside: what an import brings, which names it has, and that data flows one way."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gmrl_lab as gl
from gmrl_lab import metrics

PACKAGE = Path(gl.__file__).parent

ORDER = [
    "_tensors",
    "_validate",
    "categorical",
    "toy_text",
    "mdp",
    "chain",
    "exact",
    "seeding",
    "rollout",
    "steps",
    "flow",
    "estimators",
    "problem",
    "games",
    "oracles",
    "field",
    "lstm",
    "curvature",
    "reuse",
    "tasks.base",
    "tasks.lirpg",
    "tasks.lola",
    "tasks.lpg",
    "tasks.maml",
    "tasks.mgrl",
    "tasks",
    "meta",
    "targets",
    "paths",
    "bounds.constants",
    "bounds.inequalities",
    "bounds.local",
    "bounds",
    "assumptions",
    "metrics",
]
"""The core, each module above those that may import it."""

LAZY = {"bench", "checks", "explorers", "paper", "plots", "predictions", "statements"}
FORBIDDEN = ("IPython", "ipywidgets", "jupyter", "jupyterlab", "pandas", "plotly", "gymnasium", "anywidget", "joblib")


def path_of(module: str) -> Path:
    plain = PACKAGE / (module.replace(".", "/") + ".py")
    return plain if plain.exists() else PACKAGE / module / "__init__.py"


# --- what an import brings ----------------------------------------------------------------------------------------


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=PACKAGE.parent)


def test_import_brings_no_notebook_and_no_tables() -> None:
    found = run(
        "import sys, gmrl_lab\n"
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & set({FORBIDDEN!r})))\n"
        f"print(sorted(set(sys.modules) & {{'gmrl_lab.' + name for name in {sorted(LAZY)!r}}}))"
    )
    assert found.stdout.split("\n")[:2] == ["[]", "[]"], found.stderr


def test_explorers_start_without_scipy_stats() -> None:
    """It alone takes a second, in the first cell of every lesson."""
    found = run("import sys, gmrl_lab.explorers\nprint('gmrl_lab.paper' in sys.modules, 'scipy.stats' in sys.modules)")
    assert found.stdout.strip() == "True False", found.stderr


def test_forbidden_modules_would_be_seen() -> None:
    """The check above is not empty: the figures do bring Plotly."""
    found = run(
        "import sys, gmrl_lab\n"
        "gmrl_lab.plots\n"
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & set({FORBIDDEN!r})))"
    )
    assert "plotly" in found.stdout, found.stderr


def test_core_works_without_them() -> None:
    """With all of them missing, the core still computes a meta-gradient."""
    found = run(
        f"import sys\nfor name in {FORBIDDEN!r}: sys.modules[name] = None\n"
        "import torch, gmrl_lab as gl\n"
        "mdp = gl.random_mdp(3, 2)\n"
        "print(gl.meta_gradient(gl.MAML(mdp), torch.zeros(3, 2, dtype=torch.float64)).shape)"
    )
    assert found.stdout.strip() == "torch.Size([3, 2])", found.stderr


# --- the flat names -----------------------------------------------------------------------------------------------


def test_flat_names_are_few_sorted_and_complete() -> None:
    assert len(gl.__all__) <= 50
    assert len(set(gl.__all__)) == len(gl.__all__)
    assert set(dir(gl)) == {*gl.__all__, "__version__"}
    assert set(gl.__all__) >= (LAZY - {"bench"}) | {"bench_estimator"}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gl.nothing  # noqa: B018


@pytest.mark.parametrize("name", gl.__all__)
def test_flat_name_has_a_docstring(name: str) -> None:
    doc = inspect.getdoc(getattr(gl, name))
    assert doc
    assert not doc.startswith(f"{name}("), "the docstring that dataclass makes by itself"


# --- docstrings ---------------------------------------------------------------------------------------------------

MODULES = ("assumptions", "bounds", "exact", "targets")
PUBLIC = [gl.__dict__[name] for name in gl.__all__ if name not in {*LAZY, *MODULES, "bench_estimator"}]
PUBLIC += [
    getattr(getattr(gl, module), name)
    for module in MODULES
    for name in getattr(gl, module).__all__
    if name[0] not in "B" or name == "Bias"
]
PUBLIC += [gl.bench_estimator, metrics.Bias, metrics.MSESplit, gl.TabularMDP.from_gymnasium, gl.LVC.expected_surrogate]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_public_docstring_names_its_lesson(thing: object) -> None:
    doc = thing.__doc__ or ""
    assert "Taught in lesson" in doc.rstrip().splitlines()[-1]


@pytest.mark.parametrize("module", ORDER)
def test_every_public_definition_has_a_docstring(module: str) -> None:
    tree = ast.parse(path_of(module).read_text())
    assert ast.get_docstring(tree)
    missing = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            missing += [
                f"{node.name}.{item.name}" for item in node.body if undocumented(item) and not inherited(node, item)
            ]
        if undocumented(node) and node in tree.body:
            missing.append(node.name)  # type: ignore[attr-defined]
    assert missing == []


def undocumented(node: ast.AST) -> bool:
    defined = isinstance(node, ast.FunctionDef | ast.ClassDef)
    return defined and not node.name.startswith("_") and ast.get_docstring(node) is None


def inherited(owner: ast.ClassDef, method: ast.stmt) -> bool:
    """`surrogate` of an estimator: the class's own docstring is about nothing else."""
    return getattr(method, "name", "") == "surrogate" and ast.get_docstring(owner) is not None


# --- one way ------------------------------------------------------------------------------------------------------


def imported(module: str) -> set[str]:
    """The modules of this package that a module imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path_of(module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "gmrl_lab"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            if node.module == "gmrl_lab":
                found |= {f"gmrl_lab.{alias.name}" for alias in node.names}
            elif node.module and node.module.startswith("gmrl_lab."):
                found.add(node.module)
    return {name.removeprefix("gmrl_lab.") for name in found}


def test_modules_import_only_from_those_above() -> None:
    wrong = {module: imported(module) - set(ORDER[:place]) for place, module in enumerate(ORDER)}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_imports_are_seen() -> None:
    assert {"exact", "problem", "rollout", "estimators", "_validate"} <= imported("oracles")
    assert "tasks" in imported("meta")


def test_order_names_every_module_of_the_core() -> None:
    """A new module that the core imports must be given its place."""
    reached, todo = set(), ["__init__"]
    while todo:
        module = todo.pop()
        new = {name for name in imported(module) if path_of(name).exists()} - reached - LAZY
        reached |= new
        todo += new
    assert reached == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_modules_stay_short(module: str) -> None:
    assert len(path_of(module).read_text().splitlines()) <= 350

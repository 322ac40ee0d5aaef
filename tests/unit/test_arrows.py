"""Imports point one way, and four libraries have one door each."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("framework", "policies", "motion", "experiments")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports(path):
    """Absolute names of everything a file imports, `from a import b` as both a and a.b; also inside functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def reaches(names, *targets):
    """Those names that are one of the targets or inside it."""
    return sorted(n for n in names if any(n == target or n.startswith(f"{target}.") for target in targets))


GRAPH = {module(path): imports(path) for path in FILES}

# Module (and all below it) -> what it may not import.
ABOVE = (
    "framework.sequence_tracking",
    "framework.comparison",
    "framework.evaluation",
    "framework.learning",
    "experiments",
)
SIDES = ("policies", "motion", "framework.networks", "framework.defaults")
FORBIDDEN = {
    "framework": ("policies", "motion", "experiments", "conf"),
    "framework.types": ("framework",),
    "framework.interfaces": (*SIDES, "framework.tracker", *ABOVE),
    "framework.defaults": ("framework.networks", "framework.tracker", *ABOVE),
    "framework.networks": ("framework.tracker", "framework.report", "framework.data", *ABOVE),
    "framework.tracker": ("framework.networks", "framework.report", "framework.data", *ABOVE),
    "framework.rows": ("framework.networks", "framework.tracker", *ABOVE),
    "framework.state": ("framework.networks", "framework.tracker", *ABOVE),
    "framework.sequence_tracking": ("framework.evaluation", "framework.learning", "framework.report", "experiments"),
    "framework.comparison": ("framework.evaluation", "framework.learning", "framework.report", "experiments"),
    "framework.evaluation": ("framework.learning", "framework.report", "experiments"),
    "framework.learning": ("framework.evaluation", "framework.report", "experiments"),
    "framework.metrics": ("framework.tracker", "framework.networks", "torch", *ABOVE),
    "framework.data": ("framework.tracker", "framework.networks", *ABOVE),
    "framework.report": ("framework.learning", "framework.networks", "experiments"),
}


@pytest.mark.parametrize("source", FORBIDDEN)
def test_no_arrow_points_up(source):
    modules = [name for name in GRAPH if name == source or name.startswith(f"{source}.")]
    assert modules, f"{source} is gone: change the table"
    wrong = {name: reaches(GRAPH[name], *FORBIDDEN[source]) for name in modules}
    assert {name: found for name, found in wrong.items() if found} == {}


PLUGIN_MAY = (
    "framework.types",
    "framework.interfaces",
    "framework.errors",
    "framework.hypotheses",
    "framework.compiled",
    "framework.runs",
    "framework.tokens",
    "framework.trained",
    "framework.vectors",
    "numpy",
    "torch",
    "cv2",
    "jaxtyping",
)


@pytest.mark.parametrize("package", ["policies", "motion"])
def test_plugins_see_types_interfaces_siblings_and_arrays(package):
    for name, names in GRAPH.items():
        if name.partition(".")[0] == package:
            allowed = (package, *PLUGIN_MAY, *sys.stdlib_module_names)
            others = {found for found in names if found not in reaches(names, *allowed)} - {"framework"}
            assert others == set(), f"{name} imports {sorted(others)}"


DOORS = {
    "wandb": ("framework.wandb_log",),
    "pytorch_lightning": ("framework.learning", "experiments.pretrain", "experiments.train"),
    "sam2": ("framework.networks", "framework.learning"),
    "numba": ("framework.compiled",),
}


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library):
    users = [name for name, names in GRAPH.items() if reaches(names, library)]
    assert users and [name for name in users if not reaches([name], *DOORS[library])] == []


def test_wandb_is_imported_only_when_it_is_used():
    tree = ast.parse((ROOT / "framework/wandb_log.py").read_text())
    top = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    assert "wandb" not in top


def test_entry_points_are_thin():
    long = {
        path.name: n for path in (ROOT / "experiments").glob("*.py") if (n := len(path.read_text().split("\n"))) > 61
    }
    assert long == {}


def test_no_module_level_state_in_plugins():
    """State belongs to the value a policy hands back: no `global`, no assignment to self outside construction."""
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in ("policies", "motion"):
            for node in ast.walk(ast.parse(path.read_text())):
                assert not isinstance(node, ast.Global | ast.Nonlocal), path
                if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "__post_init__"):
                    stores = [
                        target
                        for inner in ast.walk(node)
                        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
                        for target in [inner.value]
                        if isinstance(target, ast.Name) and target.id == "self"
                    ]
                    assert not stores, f"{path.name}: {node.name} writes to self"

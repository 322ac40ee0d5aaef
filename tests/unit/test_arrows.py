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

# Rooms of framework/, the lowest first, and what each may import; the loop is nine files at the top.
LOOP = ("defaults", "interfaces", "masks", "rows", "state", "tracker")
MAY = {
    "types": (),
    "errors": (),
    "interfaces": ("types",),
    "masks": ("types",),
    "state": ("types",),
    "defaults": ("interfaces", "types"),
    "rows": ("errors", "interfaces", "masks", "types"),
    "tracker": ("defaults", "errors", "interfaces", "rows", "state", "types"),
    "counterfactuals": ("masks", "state", "tracker", "types"),
    "metrics": ("errors",),
    "storage": ("errors", "state", "tracker", "types"),
    "ops": ("storage", "types"),
    "networks": ("errors", "ops.memo", "types"),
    "data": ("errors", "metrics", "types"),
    "evaluation": (*LOOP, "counterfactuals", "data", "errors", "metrics", "networks", "ops", "storage", "types"),
    "config": ("errors", "interfaces", "storage", "tracker"),
    "benchmarks": ("config", "data", "errors", "evaluation", "metrics", "storage", "types"),
    "report": ("benchmarks", "config", "data", "errors", "evaluation", "metrics", "storage", "types"),
    "inference": (*LOOP, "data", "errors", "evaluation.passes", "metrics", "report", "storage", "types"),
    "diagnostics": (*LOOP, "data", "errors", "metrics", "networks", "ops", "types"),
    "learning": (*LOOP, "data", "errors", "metrics", "ops", "report.progress", "storage", "types"),
}


@pytest.mark.parametrize("room", MAY)
def test_a_room_imports_only_rooms_below_it(room):
    modules = [name for name in GRAPH if name == f"framework.{room}" or name.startswith(f"framework.{room}.")]
    assert modules, f"{room} is gone: change the table"
    below = [f"framework.{other}" for other in (room, *MAY[room])]
    ours = {name: reaches(GRAPH[name], *PACKAGES, "conf") for name in modules}
    wrong = {
        name: {n for n in names if n not in reaches(names, *below)} - {"framework"} for name, names in ours.items()
    }
    assert {name: found for name, found in wrong.items() if found} == {}


def test_every_module_has_a_room():
    """Nine files and twelve rooms."""
    rooms = {name.split(".")[1] for name in GRAPH if name.startswith("framework.") and name != "framework.__init__"}
    assert rooms == set(MAY) and sum((ROOT / "framework" / room).is_dir() for room in rooms) == len(rooms) - 9 == 12


PLUGIN_MAY = ("types", "interfaces", "defaults", "errors", "ops")


@pytest.mark.parametrize("package", ["policies", "motion"])
def test_plugins_see_types_interfaces_siblings_and_arrays(package):
    for name, names in GRAPH.items():
        if name.partition(".")[0] == package:
            ours = (package, *(f"framework.{room}" for room in PLUGIN_MAY))
            allowed = (*ours, "numpy", "torch", "cv2", "jaxtyping", *sys.stdlib_module_names)
            others = {found for found in names if found not in reaches(names, *allowed)} - {"framework"}
            assert others == set(), f"{name} imports {sorted(others)}"


DOORS = {
    "wandb": ("framework.report.wandb_log",),
    "pytorch_lightning": ("framework.learning", "experiments.pretrain", "experiments.train"),
    "sam2": ("framework.networks", "framework.learning"),
    "numba": ("framework.ops.jit",),
    "optuna": ("framework.config.search_space", "framework.evaluation.study", "framework.evaluation.tuning"),
}


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library):
    users = [name for name, names in GRAPH.items() if reaches(names, library)]
    assert users and [name for name in users if not reaches([name], *DOORS[library])] == []


def test_wandb_is_imported_only_when_it_is_used():
    tree = ast.parse((ROOT / "framework/report/wandb_log.py").read_text())
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

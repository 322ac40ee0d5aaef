"""Plug-ins by file or by name, also those outside this checkout."""

import importlib
import importlib.util
import inspect
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from framework.config.error_lines import located
from framework.errors import InputError
from framework.interfaces import MemoryPolicy, MotionModel, Selector


def plug_ins(where: str) -> list[str]:
    """Names (`module.Name`) of the plug-ins of a file, imported from it, or the one name itself. Raises InputError."""
    if not where.endswith(".py"):
        located(where)
        return [where]
    path = Path(where).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"{where} does not exist: give the file of a plug-in")
    module = _imported(path)
    kinds = MemoryPolicy, MotionModel, Selector
    own = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, kinds) and value.__module__ == module.__name__
        if not name.startswith("_")
    }
    whole = [f"{module.__name__}.{name}" for name, value in own.items() if not inspect.isabstract(value)]
    if whole:
        return whole
    if own:
        lacking = (f"{name} lacks {', '.join(sorted(value.__abstractmethods__))}" for name, value in own.items())
        raise InputError(f"{where} has no whole plug-in: {'; '.join(lacking)}")
    raise InputError(f"{where} has no memory policy, motion model or selector: write a class that extends one")


def _imported(path: Path) -> ModuleType:
    """A file as the module that the import system knows it as, or else under its own name."""
    for known in list(sys.modules.values()):
        if Path(getattr(known, "__file__", None) or "/").resolve() == path:
            return known
    name = path.stem
    for folder in map(Path, sys.path):
        inside = path.with_suffix("").relative_to(folder.resolve()) if path.is_relative_to(folder.resolve()) else None
        if inside is not None and all(part.isidentifier() for part in inside.parts):
            spec = _spec(".".join(inside.parts))
            if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
                return importlib.import_module(spec.name)
    if name in sys.modules or _spec(name) is not None:
        raise InputError(f"{path} has the name of another module, {name}: give it one of its own")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None

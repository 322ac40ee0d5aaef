"""Options against what constructors take, and objects from configuration."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from framework.config.error_lines import SETTINGS, annotations, explain, located, parameters
from framework.errors import InputError, unknown


def build(config: Any, *refusals: type[Exception]) -> Any:
    """`hydra.utils.instantiate` after the options were checked against what the constructors take.

    Raises InputError for an option that a constructor does not know (naming those it knows), of a wrong type, or that
    the constructor refuses (by a ValueError or one of `refusals`). Lists arrive as lists, mappings as dicts.
    """
    if not isinstance(config, DictConfig):
        raise InputError(f"{config} stands where a group of options should: write group.option=value")
    _check_node(OmegaConf.to_container(config, resolve=True), str(config._get_full_key(None) or ""))
    try:
        return hydra.utils.instantiate(config, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__  # it would be lost on the way back from another process
        if isinstance(cause, TypeError) and "abstract class" in str(cause):
            raise InputError(str(cause)) from error
        if cause and isinstance(cause, (InputError, ValueError, OSError, *refusals)):
            key = _field(str(error), "full_key")
            raise InputError(f"{key}: {explain(cause) or cause}".removeprefix(": ")) from error
        raise


def check(config: DictConfig, **wanted: Any) -> None:
    """Raises InputError for a plain option of a wrong type: `check(config, frames=int | None, overwrite=bool)`."""
    for key, annotation in wanted.items():
        value = config[key]
        plain = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        if not accepts(annotation, plain):
            raise InputError(f"{key}={plain} is of a wrong type: give {_describe(annotation)}")


def positive(**options: int) -> None:
    """Raises InputError for an option below 1: `positive(frames=config.frames)`."""
    for name, value in options.items():
        if value < 1:
            raise InputError(f"{name}={value} must be 1 or more")


def limit_threads(threads: int | None) -> None:
    """Lets torch and OpenCV take so many CPU threads; None leaves the choice to them. Raises InputError below 1."""
    if threads is not None:
        positive(threads=threads)
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:")), "")


def _check_node(node: Any, path: str) -> None:
    if isinstance(node, list):
        for index, item in enumerate(node):
            _check_node(item, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        _check_node(value, f"{path}.{key}" if path else str(key))
    if "_target_" not in node:
        return
    target = located(node["_target_"])
    taken = parameters(node["_target_"])
    if "_args_" in node:
        try:
            given = {str(key): value for key, value in node.items() if key not in SETTINGS}
            inspect.signature(target).bind_partial(*node["_args_"], **given)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}._args_={node['_args_']}: {error}") from error
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    hints = annotations(node["_target_"])
    for key, value in node.items():
        if key in SETTINGS:
            continue
        name = f"{path}.{key}" if path else str(key)
        if key not in taken:
            raise unknown("option", name, taken)
        wanted = hints.get(key, Any)
        if not accepts(wanted, value):
            raise InputError(f"{name}={value} is of a wrong type: give {_describe(wanted)}")


def accepts(wanted: Any, value: Any) -> bool:
    """Whether a plain configuration value can be what the annotation says; True where that cannot be told."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(value, dict) and "_target_" in value:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(accepts(choice, value) for choice in arguments)
    if origin is Literal:
        return value in arguments
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted in (bool, str, type(None)):
        return isinstance(value, wanted)
    plain = origin or wanted
    if inspect.isclass(plain) and plain is not object:
        if issubclass(plain, Mapping):
            return isinstance(value, dict) and all(accepts(arguments[1], item) for item in value.values() if arguments)
        if issubclass(plain, Sequence):
            return isinstance(value, list) and all(accepts(arguments[0], item) for item in value if arguments[:1])
    return True


def _describe(wanted: Any) -> str:
    choices = typing.get_args(wanted)
    if typing.get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, choices))
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in choices)
    if inspect.isclass(typing.get_origin(wanted)) and issubclass(typing.get_origin(wanted), Mapping):
        return f"names with {_describe(choices[1])} each"
    if inspect.isclass(typing.get_origin(wanted)) and issubclass(typing.get_origin(wanted), Sequence):
        return (
            f"a list of {_describe(choices[0]).removeprefix('a ')}" if choices and choices[0] is not Any else "a list"
        )
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    return names.get(wanted) or str(wanted).replace("typing.", "")

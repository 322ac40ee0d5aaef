"""One line for what a user can fix: what Hydra, OmegaConf, YAML and the operating system say, in plain words."""

import errno
import inspect
import re
import shlex
import sys
import traceback
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import _locate
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from framework.config.extras import LAUNCHERS, SWEEPER, extra_of, how_to_install
from framework.config.quoting import quoted
from framework.config.renamed import renamed_choice, renamed_option, renamed_target
from framework.errors import InputError, unknown

SETTINGS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
"""Keys of a configuration that are Hydra's, not the constructor's."""


def explain(error: BaseException) -> str | None:
    """One line for what a user can fix; None for everything else, which deserves its trace."""
    line: str | None
    match error:
        case InputError():
            line = str(error)
        case MissingConfigException() if error.missing_cfg_file and error.options:
            line = _explain_choice(error.missing_cfg_file, error.options)
        case InstantiationException():
            return None
        case ConfigCompositionException() | OmegaConfBaseException() | OverrideParseException():
            line = _explain_option(error)
        case HydraException():
            line = str(error)
        case ModuleNotFoundError():
            line = how_to_install(error.name)
        case yaml.YAMLError():
            line = f"a configuration file is not valid YAML: {error}"
        case ValueError() | TypeError() if _raised_by_hydra(error):
            line = f"the configuration is refused: {error}"
        case OSError():
            reason = error.strerror or str(error) or type(error).__name__
            line = f"{error.filename}: {reason}" if error.filename else reason
            line += "; choose a folder that can be written and has room" if _about_writing(error) else ""
        case _:
            return None
    return line and " ".join(line.split())


def _explain_choice(missing: str, options: Sequence[str]) -> str:
    """A choice of a group that has no file: of an earlier version, of something not installed, or unknown."""
    group, _, choice = missing.rpartition("/")
    if line := renamed_choice(group, choice):
        return line
    if group == "hydra/launcher" and choice in LAUNCHERS:
        return f"{choice} is not installed: pip install {extra_of('launchers')}"
    if group == "hydra/sweeper" and choice == SWEEPER:
        line = "pip install --no-deps hydra-optuna-sweeper==1.3.0"
        return f"the sweeper {choice} is not installed: {line}, beside {extra_of('tune')}"
    return f"unknown {group or 'configuration'} '{choice}': choose one of {', '.join(options)}"


def _explain_option(error: BaseException) -> str:
    """Errors of the command line and of the configuration as such."""
    if isinstance(error, OverrideParseException):
        return _explain_unreadable(str(error.override))
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or _after(str(error), "Missing mandatory value:")
        return f"{key} is missing: give {key}=..."
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        inside = cause.parent_node._get_full_key(None)
        name = f"{inside}.{cause.key}" if inside else str(cause.key)
        if line := renamed_option(name):
            return line
        try:
            taken = parameters(cause.parent_node.get("_target_"))
        except InputError as refusal:
            return str(refusal)
        if cause.key in taken:
            return f"option '{name}' is left to its default: write +{name}=... to change it"
        valid = [key for key in cause.parent_node if key != "hydra" and key not in SETTINGS]
        return str(unknown("option", name, valid))
    if isinstance(cause, OmegaConfBaseException) and re.match("Cannot merge (Dict|List)Config with", str(cause)):
        place = cause.full_key
        return f"{place} takes no value of this kind: options of a group are {place}.option=value, a list {place}=[a,b]"
    if isinstance(cause, InterpolationResolutionError | GrammarParseError):
        line = str(cause).splitlines()[0]
        return f"{cause.full_key or 'configuration'}: {line}; if ${{ is to be text, write \\${{"
    if isinstance(cause, OmegaConfBaseException):
        return f"{cause.full_key or 'configuration'}: {str(cause).splitlines()[0]}"
    return str(error)


def _explain_unreadable(override: str) -> str:
    """An option that Hydra's grammar cannot read, with what is to be typed if its value is meant as text."""
    line = f"cannot read the option {override!r}: write key=value"
    name, equals, value = override.partition("=")
    return f"{line}, and as text {shlex.quote(f'{name}={quoted(value)}')}" if name and equals else line


def _raised_by_hydra(error: BaseException) -> bool:
    """Its complaints about a defaults list or a key of its own are plain ValueErrors and TypeErrors."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").startswith("hydra.")


def _about_writing(error: OSError) -> bool:
    refused = errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EFBIG
    return error.errno in (*refused, errno.EEXIST, errno.ENOTDIR)


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2].split()[0] if mark in text else text


def parameters(target: Any) -> Mapping[str, inspect.Parameter]:
    """What the constructor that a configuration names takes; nothing if it names none, anything if it does not say."""
    if target is None:
        return {}
    try:
        return inspect.signature(located(target)).parameters
    except ValueError:
        return {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}


def annotations(target: Any) -> Mapping[str, Any]:
    """What the constructor that a configuration names says of its parameters; nothing where that cannot be told.

    Raises InputError.
    """
    named = located(target)
    try:
        return typing.get_type_hints(named.__init__ if inspect.isclass(named) else named)
    except (NameError, TypeError):
        return {}


def located(target: Any) -> Callable[..., Any]:
    """What a `_target_` names. Raises InputError."""
    fix = "give module.Name of something that can be imported"
    if not isinstance(target, str):
        raise InputError(f"_target_={target} is no name: {fix}")
    try:
        found = _locate(target)
    except (ImportError, ValueError) as error:
        if line := renamed_target(target) or how_to_install(target) or _hidden(target):
            raise InputError(line) from error
        raise InputError(f"_target_={target}: {str(error).splitlines()[-1]} ({fix})") from error
    if not callable(found):
        raise InputError(f"_target_={target} is no class or function: {fix}")
    return found


def _hidden(target: str) -> str | None:
    """One line for a module in the working folder whose package has the name of one that is imported already."""
    top, *inner = target.split(".")[:-1]
    beside, imported = Path.cwd() / top, getattr(sys.modules.get(top), "__file__", None)
    if imported is None or not inner or not beside.joinpath(*inner).with_suffix(".py").exists():
        return None
    return f"_target_={target}: {beside} is hidden by the package {Path(imported).parent}: give yours another name"

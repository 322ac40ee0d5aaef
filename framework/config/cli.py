"""Entry points: Hydra from the command line, objects from configuration, and one line for whatever a user can fix.

    @command("track")
    def main(config: DictConfig) -> None: ...

is `@hydra.main` on `conf/track.yaml` with exit code 2 and one line on stderr for bad input, full disks, unknown choices
and unknown options. HYDRA_FULL_ERROR=1 shows the whole trace instead.
"""

import difflib
import errno
import functools
import inspect
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn

import cv2
import hydra
import torch
import yaml
from hydra._internal.utils import _locate, get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from framework.errors import InputError


class _JobError(Exception):
    """A job of a sweep came to an end with this exit code; Hydra goes on with the others."""


SETTINGS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")
TRACE = "HYDRA_FULL_ERROR"


def command(config_name: str) -> Callable[[Callable[[DictConfig], None]], Callable[[], None]]:
    """`@hydra.main` on `conf/<config_name>.yaml`, with one line and exit code 2 for what a user can fix."""

    def decorate(task: Callable[[DictConfig], None]) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            failures: list[Exception] = []

            @functools.wraps(task)
            def run(config: DictConfig) -> None:
                try:
                    task(config)
                except Exception as error:
                    # Hydra adds a line of its own, which a sweep needs (it names the job) and a single run does not.
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise
                    failures.append(error)
                except SystemExit as end:
                    if isinstance(end.__context__, KeyboardInterrupt):  # how Lightning ends
                        raise KeyboardInterrupt from None
                    if HydraConfig.get().mode == RunMode.MULTIRUN:
                        raise _JobError(end.code) from None
                    raise

            before = os.environ.get(TRACE)
            os.environ[TRACE] = "1"  # makes Hydra raise instead of printing and exiting
            try:
                _check_arguments()
                GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
                hydra.main(version_base="1.3", config_path="pkg://conf", config_name=config_name)(run)()
                if failures:
                    raise failures[0]
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                raise SystemExit(130) from None
            except _JobError as end:
                raise SystemExit(end.args[0]) from None
            except Exception as error:
                line = None if before else explain(error)
                if line is None:
                    raise
                print(line, file=sys.stderr)
                raise SystemExit(2) from None
            finally:
                os.environ.pop(TRACE)
                if before is not None:
                    os.environ[TRACE] = before

        return main

    return decorate


def explain(error: BaseException) -> str | None:
    """One line for what a user can fix; None for everything else, which deserves its trace."""
    match error:
        case InputError():
            line = str(error)
        case MissingConfigException() if error.missing_cfg_file and error.options:
            group, _, choice = error.missing_cfg_file.rpartition("/")
            line = f"unknown {group or 'configuration'} '{choice}': choose one of {', '.join(error.options)}"
        case InstantiationException():
            return None
        case ConfigCompositionException() | OmegaConfBaseException() | OverrideParseException():
            line = _explain_option(error)
        case HydraException():
            line = str(error)
        case yaml.YAMLError():
            line = f"a configuration file is not valid YAML: {error}"
        case OSError():
            reason = error.strerror or str(error) or type(error).__name__
            line = f"{error.filename}: {reason}" if error.filename else reason
            line += "; choose a folder that can be written and has room" if _about_writing(error) else ""
        case _:
            return None
    return " ".join(line.split())


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
        if not _accepts(annotation, plain):
            raise InputError(f"{key}={plain} is of a wrong type: give {_describe(annotation)}")


def positive(name: str, value: int) -> int:
    """`value`, which an option must have at least 1."""
    if value < 1:
        raise InputError(f"{name}={value} must be 1 or more")
    return value


def limit_threads(threads: int | None) -> None:
    """Lets torch and OpenCV take so many CPU threads; None leaves the choice to them. Raises InputError below 1."""
    if threads is not None:
        torch.set_num_threads(positive("threads", threads))
        cv2.setNumThreads(threads)


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """`unknown policy 'sma2': did you mean sam2? (valid: dam4sam, sam2)`."""
    names = sorted(map(str, valid))
    near = difflib.get_close_matches(str(name).rpartition(".")[2], names, n=2, cutoff=0.6)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    return InputError(f"unknown {kind} '{name}': {guess}(valid: {', '.join(names) or 'none'})")


def _check_arguments() -> None:
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        if {"-m", "--multirun"} & {*sys.argv[2:]}:
            message += " (-m stands before all options)"
        raise InputError(f"{message}: options are written key=value, and --help lists them")

    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args()


def _explain_option(error: BaseException) -> str:
    """Errors of the command line and of the configuration as such."""
    if isinstance(error, OverrideParseException):
        return f"cannot read the option {error.override!r}: write key=value, quoting values that hold , = : or spaces"
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or _after(str(error), "Missing mandatory value:")
        return f"{key} is missing: give {key}=..."
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        inside = cause.parent_node._get_full_key(None)
        name = f"{inside}.{cause.key}" if inside else cause.key
        if cause.key in _parameters(cause.parent_node.get("_target_")):
            return f"option '{name}' is left to its default: write +{name}=... to change it"
        valid = [key for key in cause.parent_node if key != "hydra" and key not in SETTINGS]
        return str(unknown("option", name, valid))
    if isinstance(cause, OmegaConfBaseException):
        return f"{cause.full_key or 'configuration'}: {str(cause).splitlines()[0]}"
    return str(error)


def _about_writing(error: OSError) -> bool:
    refused = errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EFBIG
    return error.errno in (*refused, errno.EEXIST, errno.ENOTDIR)


def _after(text: str, mark: str) -> str:
    return text.partition(mark)[2].split()[0] if mark in text else text


def _field(text: str, name: str) -> str:
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{name}:")), "")


def _parameters(target: str | None) -> Mapping[str, inspect.Parameter]:
    """What the constructor that a configuration names takes; nothing if it names none."""
    return inspect.signature(_object(target)).parameters if target else {}


def _object(target: str) -> Any:
    """What a `_target_` names. Raises InputError."""
    try:
        return _locate(target)
    except (ImportError, ValueError) as error:
        fix = "give module.Name of something that can be imported"
        raise InputError(f"_target_={target}: {str(error).splitlines()[-1]} ({fix})") from error


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
    target = _object(node["_target_"])
    parameters = _parameters(node["_target_"])
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    try:
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):
        hints = {}
    for key, value in node.items():
        if key in SETTINGS:
            continue
        name = f"{path}.{key}" if path else str(key)
        if key not in parameters:
            raise unknown("option", name, parameters)
        wanted = hints.get(key, Any)
        if not _accepts(wanted, value):
            raise InputError(f"{name}={value} is of a wrong type: give {_describe(wanted)}")


def _accepts(wanted: Any, value: Any) -> bool:
    """Whether a plain configuration value can be what the annotation says; True where that cannot be told."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(value, dict) and "_target_" in value:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_accepts(choice, value) for choice in arguments)
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
            return isinstance(value, dict) and all(_accepts(arguments[1], item) for item in value.values() if arguments)
        if issubclass(plain, Sequence):
            return isinstance(value, list) and all(_accepts(arguments[0], item) for item in value if arguments[:1])
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

"""Options that are text arrive as they were written: they are quoted before Hydra reads a number or a sweep into them.

`source=2024_01_15` and `source=clip (1).mp4` are what they say. Which options are text is told by what the command
declares of its own (`framework.config.cli.command`) and by the annotations of the constructors that the groups name.
`null`, quoted values and `${...}` stay what they are; in a sweep (-m) a comma outside quotes separates values. A text
that begins with `~/` is a path in the home folder, on the command line and in every file of options.
"""

import itertools
import os
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from framework.config.error_lines import SETTINGS, annotations
from framework.config.quoting import in_quotes
from framework.errors import InputError

HYDRA = {
    "hydra.run.dir": str,
    "hydra.sweep.dir": str,
    "hydra.sweep.subdir": str,
    "hydra.job.name": str,
    "hydra.searchpath": list[str],
}
"""Options of Hydra's own that are text."""
FUNCTION = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
"""A sweep by a function of Hydra's grammar, such as choice(a,b)."""
ITEM = re.compile(
    r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\[[^\[\]]*\]|\w+\([^()]*\)|[^,]*)\s*(?:,|\Z)""", re.DOTALL
)
"""One value of several: quoted, a list, a function, or all that comes before a comma."""
HOME = re.compile(r"(?:^|[,\[])\s*~(?:[/,\]]|$)")
"""Where a value, or one of several, begins in the home folder."""
Compose = Callable[..., DictConfig]
"""The configuration to which overrides, one argument each, are composed."""
Annotate = Callable[[str], Any]
"""What an option of this name takes; None where that is not known."""


def as_written(overrides: Sequence[str], annotate: Annotate, sweep: bool) -> list[str]:
    """The overrides, with those values quoted that are text by `annotate` and that Hydra would read otherwise."""
    return [_as_written(override, annotate, sweep) for override in overrides]


def in_home(text: str) -> str:
    """The text; of `~` and `~/...`, the path in the home folder that it means."""
    return os.path.expanduser(text) if text == "~" or text.startswith("~/") else text


def expand_home(config: DictConfig | ListConfig) -> None:
    """Makes all texts of a configuration those that they mean (`in_home`), in place."""
    for key in list(config) if isinstance(config, DictConfig) else range(len(config)):
        if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
            continue
        value = config[key]
        if isinstance(value, DictConfig | ListConfig):
            expand_home(value)
        elif isinstance(value, str) and in_home(value) != value:
            config[key] = in_home(value)


def by_constructors(own: Mapping[str, Any], overrides: Sequence[str], compose: Compose) -> Annotate:
    """Annotations of `own` options, and of others by the constructors in what the overrides are composed to.

    Nothing is composed before an option asks for it; a configuration that cannot be composed says nothing.
    """
    composed: list[DictConfig] = []
    rest = _jobs(overrides, compose)

    def annotate(name: str) -> Any:
        if name in own or name in HYDRA:
            return {**HYDRA, **own}[name]
        for config in composed:
            if found := _annotation(config, name):
                return found
        for config in rest:
            composed.append(config)
            if found := _annotation(config, name):
                return found
        return None

    return annotate


def _as_written(override: str, annotate: Annotate, sweep: bool) -> str:
    name, equals, value = override.partition("=")
    key = name.lstrip("+")
    if not equals or not key or key[0] == "~" or "@" in key or (_is_plain(value) and not HOME.search(value)):
        return override
    annotation = annotate(key)
    if not _takes(annotation, str) and not _takes(annotation, list):
        return override
    write = _swept if sweep else _written
    return f"{name}={write(value, annotation)}"


def _swept(value: str, annotation: Any) -> str:
    parsed = _parsed(value)
    function = FUNCTION.fullmatch(value) if parsed is not None and parsed.is_sweep_override() else None
    items = _items(function[2] if function else value)
    written = [_written(item, annotation) for item in items]
    if function is None or function[1] == "choice":
        return ",".join(written)  # within a function Hydra forgets quotes
    if any(item[:1] in ("'", '"') and "=" not in given for item, given in zip(written, items, strict=True)):
        raise InputError(f"{value}: {function[1]} is for numbers: give texts in their order, separated by commas")
    return value


def _written(value: str, annotation: Any) -> str:
    """One value, of a sweep or alone."""
    text = _takes(annotation, str)
    if value.startswith("[") and value.endswith("]") and _takes(annotation, list):
        return f"[{','.join(_written(item, str) for item in _items(value[1:-1]))}]" if value[1:-1].strip() else value
    if not text:
        return value
    value = in_home(value)
    read = _read(value)
    if read is None or isinstance(read, QuotedString) or _is_plain(value):
        return value
    if isinstance(read, int | float) and _takes(annotation, type(read)) and str(read).lower() == value:
        return value
    if isinstance(read, dict) and _takes(annotation, dict):
        return value
    return in_quotes(value)


def _items(text: str) -> list[str]:
    """The values between commas, without the spaces around them."""
    found, position = [], 0
    while position <= len(text):
        item = ITEM.match(text, position)
        assert item is not None  # anything up to a comma matches
        found.append(item[1].strip())
        if item.end() == len(text) and not item[0].endswith(","):
            break
        position = item.end()
    return found


def _parsed(value: str) -> Override | None:
    """What Hydra makes of a value; None for one that its grammar cannot read."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None


def _is_plain(value: str) -> bool:
    """Whether Hydra reads the text itself, alone and among others, where a backslash escapes what comes next."""
    return "\\" not in value and _read(value) == value


def _read(value: str) -> Any:
    """The value itself where Hydra reads one; something that equals no text and no number for all else."""
    parsed = _parsed(value)
    if parsed is None or parsed.is_sweep_override():
        return ...
    return parsed._value


def _takes(annotation: Any, kind: type) -> bool:
    """Whether an annotation allows text (str), a list of texts (list), or a value of another kind."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(_takes(choice, kind) for choice in arguments)
    if origin is Literal:
        return any(type(choice) is kind for choice in arguments)
    if not isinstance(plain := origin or annotation, type):
        return False
    if kind is str:
        return plain is str or issubclass(plain, Path)
    if kind is list:
        listed = issubclass(plain, Sequence) and plain is not str and bool(arguments)
        return listed and _takes(arguments[0], str)
    return plain in ((dict, Mapping) if kind is dict else (kind,))


def _annotation(config: DictConfig, name: str) -> Any:
    """What the constructor that holds an option says of it."""
    above, _, key = name.rpartition(".")
    try:
        node = OmegaConf.select(config, above) if above else None
        target = node.get("_target_") if isinstance(node, DictConfig) else None
        return annotations(target).get(key) if target is not None and key not in SETTINGS else None
    except (InputError, OmegaConfBaseException):
        return None


def _jobs(overrides: Sequence[str], compose: Compose) -> Iterator[DictConfig]:
    """Configurations in which every choice that is swept occurs at least once."""
    readable: list[Override] = []
    for override in overrides:
        try:
            readable.append(OverridesParser.create().parse_override(override))
        except HydraException:
            continue
    chosen: list[list[str]] = []
    for option in readable:
        if option.is_sweep_override():
            if not option.is_discrete_sweep():
                continue
            values = itertools.islice(option.sweep_string_iterator(), 64)
            chosen.append([f"{option.get_key_element()}={value}" for value in values])
        else:
            chosen.append([option.input_line or ""])
    seen: list[list[str]] = []
    for index in range(max(map(len, chosen), default=1)):
        job = [values[min(index, len(values) - 1)] for values in chosen if values]
        if job in seen:
            continue
        seen.append(job)
        yield from _composed(job, compose)


def _composed(job: list[str], compose: Compose) -> Iterable[DictConfig]:
    try:
        return [compose(*job)]
    except (HydraException, OmegaConfBaseException, OSError, ValueError, TypeError):
        return []

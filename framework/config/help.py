"""What `--help` prints: every option with its value, and what the comment beside it in conf/ says."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml.nodes import MappingNode, ScalarNode

from framework.config.error_lines import SETTINGS

WIDEST = 120
"""Characters of a line, in a terminal that has more."""
INDENT = 36
"""Characters before a description."""
PACKAGE = "pkg://conf"


@dataclass(frozen=True, slots=True)
class Option:
    """One option, or a group of them."""

    name: str
    value: str | None
    """As the configuration writes it; None for a group."""
    description: str


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """All that a command can be told."""

    about: str
    """The comment at the head of its file."""
    options: Sequence[Option]
    chosen: Mapping[str, str]
    """Configuration group -> its choice."""
    choices: Mapping[str, Sequence[str]]
    """Configuration group -> all its choices."""
    added: Mapping[str, Sequence[str]]
    """The same for +group=choice: settings of several options in one word."""


def options_of(loader: ConfigLoaderImpl, command: str, overrides: Sequence[str]) -> CommandOptions:
    """The options of conf/<command>.yaml with these overrides. Raises what composing raises."""
    config = loader.load_configuration(command, list(overrides), RunMode.RUN, False, False)
    described: dict[str, str] = {}
    for default in loader.compute_defaults_list(command, list(overrides), RunMode.RUN).defaults:
        described |= {name: text for name, text in _described(loader, default).items() if text}
    chosen = {group: choice for group, choice in config.hydra.runtime.choices.items() if "/" not in group}
    groups, plain = loader.list_groups(""), OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    del plain["hydra"]
    return CommandOptions(
        _head(_text(loader, command)),
        [Option(name, value, described.get(name, "")) for name, value in _named(plain)],
        {group: "null" if choice is None else str(choice) for group, choice in chosen.items() if group in groups},
        {group: loader.get_group_options(group, ObjectType.CONFIG) for group in chosen if group in groups},
        {group: fit for group in groups if group not in chosen and (fit := _fitting(loader, command, group, plain))},
    )


def help_text(command: str, found: CommandOptions, about: str = "", width: int | None = None) -> str:
    """What `engram <command> --help` prints; `about` stands for what the file of the options says of them."""
    width = width or min(shutil.get_terminal_size().columns, WIDEST)
    lines = [f"usage: engram {command} [option=value ...]", "", about or found.about, ""]
    tops = {option.name.partition(".")[0]: option.value for option in reversed(found.options) if "." not in option.name}
    own = [option for option in found.options if tops[option.name.partition(".")[0]] is not None]
    lines += [line for option in own for line in _lines(option, width)]
    for top in dict.fromkeys((*(top for top in reversed(tops) if tops[top] is None), *found.chosen)):
        inside = [option for option in found.options if option.name.startswith(f"{top}.")]
        heading = next((option for option in found.options if option.name == top), Option(top, None, ""))
        if top in found.chosen:
            heading = Option(top, found.chosen[top], f"one of {', '.join(found.choices[top])}")
        lines += ["", *_lines(heading, width)] if heading.description or inside else []
        lines += [line for option in inside if option.value or option.description for line in _lines(option, width)]
    lines += ["", "several options in one word:"] if found.added else []
    settings = [Option(f"+{group}", names[0], f"one of {', '.join(names)}") for group, names in found.added.items()]
    lines += [line for option in settings for line in _lines(option, width)]
    chosen = "options of other choices: name the choice before --help"
    return "\n".join([*lines, "", f"??? is to be given; {chosen}; -m option=a,b runs every value."])


def _lines(option: Option, width: int) -> list[str]:
    given = f"  {option.name}={option.value}" if option.value is not None else f"  {option.name}.*"
    text = textwrap.wrap(option.description, max(width - INDENT, 20), break_on_hyphens=False)
    if text and len(given) < INDENT:
        given = given.ljust(INDENT) + text.pop(0)
    return [given, *(" " * INDENT + line for line in text)]


def _named(node: Any, above: str = "") -> Iterator[tuple[str, str | None]]:
    """Names and values of options, each group before what it holds; what only repeats another option is left out."""
    for key, value in node.items():
        name = f"{above}.{key}" if above else str(key)
        repeated = isinstance(value, str) and value.startswith("${") and value.find("}") == len(value) - 1
        if key in SETTINGS or (repeated and not value.startswith("${hydra:")):
            continue
        if isinstance(value, dict) and value:
            yield name, None
            yield from _named(value, name)
        else:
            yield name, _written(value)


def _written(value: Any) -> str:
    if isinstance(value, list):
        parts = any(isinstance(item, dict) for item in value)
        return f"[{len(value)} parts]" if parts else f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _described(loader: ConfigLoaderImpl, default: ResultDefault) -> dict[str, str]:
    """Option -> comment beside it, of one file that a configuration is made of."""
    if default.config_path is None or default.config_path.startswith("hydra"):
        return {}
    text = _text(loader, default.config_path)
    root, lines = yaml.compose(text), text.splitlines()
    above = f"{default.package}." if default.package else ""
    return {f"{above}{name}": said for name, said in _comments(root, lines)} if isinstance(root, MappingNode) else {}


def _comments(node: MappingNode, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for key, value in node.value:
        at = value.end_mark if isinstance(value, ScalarNode) or value.flow_style else key.end_mark
        line = lines[at.line][at.column :] if at.line < len(lines) else ""
        before = lines[key.start_mark.line - 1].strip() if key.start_mark.line else ""
        beside = line if "#" in line or not before.startswith("# ") or key is node.value[0][0] else before
        yield key.value, beside.partition("#")[2].strip()
        if isinstance(value, MappingNode):
            yield from ((f"{key.value}.{name}", said) for name, said in _comments(value, lines))


def _fitting(loader: ConfigLoaderImpl, command: str, group: str, plain: Mapping[Any, Any]) -> list[str]:
    """The choices of a group that set options of this command, or add a part of their own."""
    found = []
    for choice in loader.get_group_options(group, ObjectType.CONFIG):
        result = loader.repository.load_config(f"{group}/{choice}")
        if result is None or result.header.get("package") != "_global_":
            continue
        content = OmegaConf.to_container(result.config)
        assert isinstance(content, dict)
        parts = {key for key, value in content.items() if isinstance(value, dict) and "_target_" in value}
        if content.keys() <= plain.keys() | parts and (content or result.defaults_list):
            found.append(choice)
    return [choice for choice in found if _overrides(loader, command, f"{group}={choice}")]


def _overrides(loader: ConfigLoaderImpl, command: str, choice: str) -> bool:
    """Whether a command has the groups that a choice overrides."""
    try:
        loader.compute_defaults_list(command, [f"+{choice}"], RunMode.RUN)
    except HydraException:
        return False
    return True


def _text(loader: ConfigLoaderImpl, config: str) -> str:
    """A configuration file, comments and all; empty for what no file holds."""
    result = loader.repository.load_config(config)
    if result is None or not (result.path == PACKAGE or result.path.startswith("file://")):
        return ""
    folder = files("conf") if result.path == PACKAGE else Path(result.path.removeprefix("file://"))
    return (folder / f"{config}.yaml").read_text(encoding="utf-8")


def _head(text: str) -> str:
    """The comment that a file begins with."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines += [] if line.startswith("# @package") else [line.removeprefix("#").removeprefix(" ")]
    return "\n".join(lines)

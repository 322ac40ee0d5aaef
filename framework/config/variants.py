"""Trackers by name from the configuration groups: `sam2`, `samurai`, `every_nth policy.interval=10`.

Options may be swept as on Hydra's command line: `random policy.seed=range(64)` stands for 64 variants.
"""

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from framework.config.checks import build
from framework.config.error_lines import explain
from framework.config.renamed import renamed_choice
from framework.config.sweep import SWEPT
from framework.config.texts import as_written, by_constructors
from framework.errors import InputError, unknown
from framework.interfaces import MemoryPolicy, Network
from framework.storage.files import safe_name
from framework.tracker import Tracker

OWN = ("policy", "motion", "selector", "tracker", "method")
"""Groups in which variants may differ; network, data and protocol are shared."""
DECIDING = (*OWN, "backbone", "data", "protocol")
"""Groups that decide results."""


@dataclass(frozen=True)
class Variant:
    """One row of a comparison."""

    name: str
    method: str
    """The method or policy that it is, without its options."""
    config: DictConfig
    """Holds at least policy, motion, selector and tracker."""

    @property
    def resolved(self) -> dict[str, Any]:
        """Its method and all options that decide its results, as plain values."""
        chosen = {key: self.config[key] for key in (*DECIDING, "excerpt", "seed") if key in self.config}
        plain = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in chosen.items()
        }
        return {**plain, "method": self.method}

    @property
    def file_name(self) -> str:
        """The name as that of a file or folder."""
        return safe_name(self.name)

    def tracker(self, network: Network) -> Tracker:
        """Raises InputError for an option of a wrong name, type or value."""
        try:
            policy, motion, selector, make = (
                build(self.config[group]) for group in ("policy", "motion", "selector", "tracker")
            )
            if not isinstance(policy, MemoryPolicy):
                raise InputError("policy is no MemoryPolicy: name one by policy._target_ in its file")
            return make(network=network, policy=policy, motion=motion, selector=selector)
        except InputError as error:
            raise InputError(f"variant '{self.name}': {error}") from error


def variants(config: DictConfig) -> list[Variant]:
    """The variants a configuration asks for: those it lists, or the one it is. Inside `@command` only."""
    if "variants" not in config:
        return [Variant(_name(), _method(), config)]
    shared = shared_options()
    return [variant(text, shared) for text in listed_texts("variants", config.variants)]


def listed_texts(option: str, given: Any) -> list[str]:
    """Texts of variants as an option lists them, with sweeps expanded. Raises InputError."""
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list | ListConfig) or not listed or not all(isinstance(item, str) for item in listed):
        raise InputError(f"{option} is a list of names, the baseline first: {option}=[sam2,skip_absent]")
    listed = [str(text) for item in listed for text in expand_sweep(item)]
    if len(set(listed)) < len(listed):
        twice = next(text for text in listed if listed.count(text) > 1)
        raise InputError(f"variant '{twice}' is listed twice: give each variant once")
    return listed


def _name() -> str:
    """Of the one variant that a configuration is: what it is called, and what differs from its file."""
    return " ".join([_method(), *_changed()])


def _changed() -> list[str]:
    """Options of the one variant that a configuration is.

    In a sweep also what the sweep varies of all else that decides results.
    """
    keys = [(str(option), _key(option)) for option in HydraConfig.get().overrides.task]
    return [
        option
        for option, key in keys
        if key not in _called() and (_group(key) in OWN or (_group(key) in DECIDING and key in SWEPT.get()))
    ]


def _called() -> tuple[str, ...]:
    """Options by which the one variant that a configuration is was chosen."""
    return ("policy", "method") if HydraConfig.get().runtime.choices.get("method") is None else ("method",)


def own_text() -> tuple[str, list[str]]:
    """The one variant that a configuration is as the text of a variant, and the options that are none of its own."""
    own = _changed()
    given = [str(option) for option in HydraConfig.get().overrides.task]
    return shlex.join([_method(), *own]), [o for o in given if o not in own and _key(o) not in _called()]


def _method() -> str:
    """Of the one variant that a configuration is: the method, or else the policy that was chosen."""
    choices = HydraConfig.get().runtime.choices
    return str(choices.get("method") or choices["policy"])


def shared_options(listing: str = "variants") -> list[str]:
    """Command line options that hold for every variant; `listing` names the one that lists them."""
    given = [str(override) for override in HydraConfig.get().overrides.task]
    for override in given:
        if _key(override) in ("policy", "method"):
            raise InputError(f"{override} has no effect on a list of {listing}: name it in {listing}=[...] instead")
    return [override for override in given if _key(override) != listing]


def expand_sweep(text: str) -> list[str]:
    """The variants that a text with swept options stands for; what cannot be read is left for `variant` to refuse."""
    try:
        name, *own = shlex.split(text)
        own = as_written(own, by_constructors({}, [_choice(name), *own], _composed), sweep=True)
        options = OverridesParser.create().parse_overrides(own)
    except (ValueError, HydraException):
        return [text]
    if not any(option.is_sweep_override() for option in options):
        return [text]
    choices = [
        [f"{option.get_key_element()}={value}" for value in option.sweep_string_iterator()]
        if option.is_sweep_override()
        else [given]
        for option, given in zip(options, own, strict=True)
    ]
    found = [shlex.join([name, *chosen]) for chosen in product(*choices)]
    if not found:
        raise InputError(f"variant '{text}' stands for no variant: a range leaves nothing")
    return found


def variant(text: str, shared: Sequence[str]) -> Variant:
    """The variant that a text names: a method or a policy, with options of its own after those that all share.

    Inside `@command` only. Raises InputError.
    """
    try:
        name, *own = shlex.split(text)
    except ValueError as error:
        raise InputError(f"variant '{text}': write a name and key=value options, separated by spaces") from error
    loader = GlobalHydra.instance().config_loader()
    methods, policies = loader.get_group_options("method"), loader.get_group_options("policy")
    if name not in methods and name not in policies:
        if line := renamed_choice("policy", name):
            raise InputError(f"variant '{text}': {line}")
        raise unknown("variant", name, {*methods, *policies})
    for override in own:
        if "=" not in override or _key(override).partition(".")[0] not in OWN:
            raise InputError(f"variant '{text}': {override} is not an option of {', '.join(OWN)} (group.option=value)")
    try:
        given = [*shared, _choice(name), *own]
        composed = functools.cache(_composed)
        return Variant(text, name, composed(*as_written(given, by_constructors({}, given, composed), sweep=False)))
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        raise InputError(f"variant '{text}': {line}") from error


def _choice(name: str) -> str:
    methods = GlobalHydra.instance().config_loader().get_group_options("method")
    return f"method={name}" if name in methods else f"policy={name}"


def _composed(*overrides: str) -> DictConfig:
    return compose(HydraConfig.get().job.config_name, overrides=list(overrides))


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _group(key: str) -> str:
    return key.partition(".")[0]

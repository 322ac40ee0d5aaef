"""What is tuned: methods, and for each the options that are searched with their ranges.

    policy.min_iou: [0.5, 0.95]                 # a number between; whole where the option takes whole numbers only
    policy.gap: [1, 10, int]                    # a whole number between
    policy.decay: [0.001, 0.5, log]             # a number between, by its logarithm
    policy.introspection: [true, false]         # one of these; of numbers or null: [3, 5, 8, choice]

`tune={...}` gives the ranges of every method; without it each has its own in `conf/search_space/<method>.yaml`.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from framework.config.checks import accepts, build
from framework.config.error_lines import annotations
from framework.config.quoting import quoted
from framework.config.variants import OWN, Variant, listed_texts, own_text, shared_options, variant
from framework.errors import InputError, unknown

GROUP = "search_space"
TAGS = ("int", "log", "choice")
Setting = Mapping[str, Any]
"""Option -> value."""


@dataclass(frozen=True)
class TunedMethod:
    """A method with the options that are searched."""

    text: str
    """Its name and the options that stay."""
    shared: tuple[str, ...]
    """Options of the command line that hold for all methods."""
    space: Mapping[str, BaseDistribution]

    def at(self, setting: Setting) -> Variant:
        """The variant that has these values. Raises InputError for a value that its option does not take."""
        words = [shlex.quote(f"{key}={_written(value)}") for key, value in setting.items()]
        return variant(" ".join([self.text, *words]), self.shared)

    @cached_property
    def untuned(self) -> Variant:
        """As it is without any tuning."""
        return self.at({})

    @property
    def own(self) -> Setting:
        """Its values untuned."""
        return {key: OmegaConf.select(self.untuned.config, key) for key in self.space}

    def check(self) -> None:
        """Raises InputError for an option that does not exist or refuses an end of its range."""
        for key, among in self.space.items():
            for value in among.choices if isinstance(among, CategoricalDistribution) else (among.low, among.high):  # type: ignore[attr-defined]
                tried = self.at({key: value})
                try:
                    for group in OWN[:-1]:
                        build(tried.config[group])
                except InputError as error:
                    raise InputError(f"variant '{tried.name}': {error}") from error


def tuned_methods(config: DictConfig) -> list[TunedMethod]:
    """Those that a configuration lists, or the one it is. Inside `@command` only. Raises InputError."""
    if config.methods is None:
        text, shared = own_text()
        texts = [text]
    else:
        texts, shared = listed_texts("methods", config.methods), shared_options("methods")
    given = _plain("tune", config.tune)
    methods = [_method(text, tuple(shared), given) for text in texts]
    for method in methods:
        method.check()
    return methods


def held_out(data: DictConfig, changes: Any) -> DictConfig:
    """The options of the data to test on: those to tune on with `split=test` and `changes`.

    Raises InputError for an option that the data lack.
    """
    found = data.copy()
    for key, value in {"split": "test", **(_plain("test", changes, "test={limit:60}") or {})}.items():
        parts = [found, *(node for node in found.values() if isinstance(node, DictConfig))]
        place = next((node for node in parts if key in node), None)
        if place is not None:
            place[key] = value
        elif key != "split" or changes is None:
            valid = ", ".join(str(name) for name in found if not str(name).startswith("_"))
            raise InputError(f"data have no option '{key}' to be another for the test: give test={{...}} with {valid}")
    return found


def _method(text: str, shared: tuple[str, ...], given: Mapping[str, Any] | None) -> TunedMethod:
    fixed = TunedMethod(text, shared, {})
    name, held = fixed.untuned.method, [word.partition("=")[0] for word in shlex.split(text)[1:]]
    if given is None:
        ranges = {key: values for key, values in _own_space(name).items() if key not in held}
    elif twice := [key for key in given if key in held]:
        raise InputError(f"variant '{text}': tune has {twice[0]} too: give it a value or a range")
    else:
        ranges = {**given}
    if not ranges:
        raise InputError(f"variant '{text}': nothing is left to tune: give tune={{policy.option:[low,high]}}")
    space = {key: _distribution(key, values, fixed.untuned.config) for key, values in ranges.items()}
    return TunedMethod(text, shared, space)


def _own_space(name: str) -> Mapping[str, Any]:
    if name not in GlobalHydra.instance().config_loader().get_group_options(GROUP):
        fix = f"give tune={{policy.option:[low,high]}}, or write {GROUP}/{name}.yaml"
        raise InputError(f"variant '{name}' has no search space of its own: {fix}")
    found = compose(HydraConfig.get().job.config_name, overrides=[f"+{GROUP}={name}"])
    return _plain(f"{GROUP}={name}", found[GROUP]) or {}


def _plain(name: str, given: Any, example: str = "tune={policy.min_iou:[0.5,0.95]}") -> Mapping[str, Any] | None:
    plain = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    if plain is not None and (not isinstance(plain, dict) or not plain):
        raise InputError(f"{name} names options: {example}")
    return {str(key): value for key, value in plain.items()} if plain is not None else None


def _distribution(key: str, values: Any, config: DictConfig) -> BaseDistribution:
    """Raises InputError for an unknown option, and for a range that is none."""
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(config, above) if above.partition(".")[0] in OWN[:-1] else None
    if not isinstance(node, DictConfig) or name not in node:
        among = list(node) if isinstance(node, DictConfig) else [f"{g}.option" for g in OWN[:-1]]
        raise unknown("option to tune", key, [part for part in among if not str(part).startswith("_")])
    wrong = InputError(
        f"tune.{key}={_listed(values)} is no range: give [low,high], [low,high,int], [low,high,log] or [a,b,c,choice]"
    )
    if not isinstance(values, list):
        raise wrong
    tags = [value for value in values if value in TAGS and isinstance(value, str)]
    rest = [value for value in values if not (isinstance(value, str) and value in TAGS)]
    if "choice" in tags or (not tags and rest and not any(map(_is_number, rest))):
        if len(set(tags)) > 1 or len(rest) < 2 or len({repr(value) for value in rest}) < len(rest):
            raise wrong
        return CategoricalDistribution(rest)
    if len(rest) != 2 or not all(map(_is_number, rest)) or len(set(tags)) < len(tags):
        raise wrong
    low, high = rest
    log = "log" in tags
    if not low < high or not math.isfinite(high - low) or (log and low <= 0):
        raise InputError(f"tune.{key}={_listed(values)}: low must be below high{', and above 0' if log else ''}")
    if "int" in tags or not accepts(annotations(node.get("_target_")).get(name, Any), 0.5):
        if not all(float(end).is_integer() for end in rest):
            raise InputError(f"tune.{key}={_listed(values)}: whole numbers have whole ends")
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=True) if log else _stepped(low, high)


def _stepped(low: float, high: float) -> FloatDistribution:
    """Numbers in steps of a power of ten, 1/50 to 1/500 of the range, so that what was tried can be written down."""
    places = math.ceil(-math.log10((high - low) / 50) - 1e-9)
    step = 10.0**-places
    if any(abs(end / step - round(end / step)) > 1e-6 for end in (low, high)):
        return FloatDistribution(low, high)
    return FloatDistribution(low, high, step=step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(values: Any) -> str:
    return (
        f"[{','.join(map(_written, values))}]"
        if isinstance(values, Sequence) and not isinstance(values, str)
        else str(values)
    )


def _written(value: Any) -> str:
    """As it stands on a command line."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return quoted(value) if isinstance(value, str) and not value.replace("_", "").isalnum() else str(value)

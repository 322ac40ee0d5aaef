"""Entry points: Hydra from the command line, and one line for whatever a user can fix.

    @command("track", source=str | int, frames=int | None)
    def main(config: DictConfig) -> None: ...

is `@hydra.main` on `conf/track.yaml` with exit code 2 and one line on stderr for bad input, full disks, unknown choices
and unknown options. HYDRA_FULL_ERROR=1 shows the whole trace instead. What the plain options take is declared: they are
checked, and those that are text arrive as they were written.
"""

import functools
import inspect
import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from cProfile import Profile
from dataclasses import replace
from pathlib import Path
from pstats import Stats
from typing import Any, NoReturn, SupportsFloat, cast

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.sweeper import Sweeper
from hydra.types import RunMode
from omegaconf import DictConfig

from framework.config.checks import check
from framework.config.error_lines import explain
from framework.config.help import help_text, options_of
from framework.config.sweep import Sweep, SweepJob, swept_options
from framework.config.texts import as_written, by_constructors, expand_home, in_home
from framework.errors import InputError

TRACE = "HYDRA_FULL_ERROR"
CONF = "pkg://conf"


Conclusion = Callable[[Sequence[SweepJob]], None]


def command(
    config_name: str, conclude: Conclusion | None = None, /, **options: Any
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """`@hydra.main` on `conf/<config_name>.yaml`, with one line and exit code 2 for what a user can fix.

    A sweep runs all its jobs, names those that failed one by one, and ends with the highest exit code of any. What a
    command returns is what a sweeper optimises, where it is a number.

    Args:
        conclude: what is made of the jobs of a sweep, in their order, by what the command returned for each.
        options: the plain options with their annotations, as `framework.config.checks.check` takes them.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def main() -> None:
            failures: list[Exception] = []
            traced = TRACE in os.environ

            def checked(config: DictConfig) -> Any:
                expand_home(config)
                check(config, **options)
                with Profile() if config.get("profile") else nullcontext() as profile:
                    result = task(config)
                if profile is not None:
                    Stats(profile).sort_stats("cumulative").print_stats(40)
                return result

            @functools.wraps(task)
            def job(config: DictConfig) -> float | None:
                nonlocal traced
                traced = traced or config.get("full_traces") is True
                if HydraConfig.get().mode == RunMode.MULTIRUN:
                    result = sweep.run(checked, config, traced)
                    return float(result) if isinstance(result, SupportsFloat) else None
                try:
                    checked(config)
                except Exception as error:  # Hydra would add a line of its own
                    failures.append(error)
                except SystemExit as end:
                    if isinstance(end.__context__, KeyboardInterrupt):  # how Lightning ends
                        raise KeyboardInterrupt from None
                    raise
                return None

            before, arguments = os.environ.get(TRACE), sys.argv
            os.environ[TRACE] = "1"  # makes Hydra raise instead of printing and exiting
            sweep = Sweep(())
            try:
                sys.argv = _arguments(task, config_name, options)
                sweep = replace(sweep, swept=swept_options(sys.argv[1:]))
                GlobalHydra.instance().clear()  # importing sam2 leaves it initialised
                try:
                    hydra.main(version_base="1.3", config_path=CONF, config_name=config_name)(job)()
                except Exception as error:  # of a launcher, whose jobs may have done much all the same
                    failures.append(error)
                code = _concluded(sweep.jobs(), conclude)
                if failures:
                    raise failures[0]
            except KeyboardInterrupt as stop:
                print(str(stop) or "interrupted", file=sys.stderr)
                raise SystemExit(130) from None
            except Exception as error:
                if traced or not _explained(error):
                    raise
                raise SystemExit(2) from None
            finally:
                sweep.close()
                sys.argv = arguments
                os.environ.pop(TRACE)
                if before is not None:
                    os.environ[TRACE] = before
            if code:
                raise SystemExit(code)

        return main

    return decorate


def _concluded(jobs: Sequence[SweepJob], conclude: Conclusion | None) -> int:
    """The exit code, after what the jobs of a sweep come to, and a line for every one that failed."""
    if conclude is not None and len(jobs) > 1:
        conclude(jobs)
    for job in jobs:
        if job.failure is not None:
            print(f"job {job.number} ({' '.join(job.options)}): {job.failure}", file=sys.stderr)
    return max((job.code for job in jobs), default=0)


def _explained(error: Exception) -> bool:
    """Prints a line, or one for every job of a sweep that cannot be composed; False for what deserves its trace."""
    lines = list(map(explain, _refused(error)))
    for line in lines if None not in lines else []:
        print(line, file=sys.stderr)
    return None not in lines


def _refused(error: Exception) -> list[Exception]:
    """The error and, where it ended a sweep before its first job, those of all jobs that cannot be composed."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_qualname != "BasicSweeper.sweep":
            continue
        refused: dict[str | None, Exception] = {}
        for overrides in frame.f_locals.get("batch") or ():
            try:
                cast(Sweeper, frame.f_locals["self"]).validate_batch_is_legal([overrides])
            except Exception as failure:
                refused.setdefault(explain(failure), failure)
        return [*refused.values()] or [error]
    return [error]


def _arguments(task: Callable[[DictConfig], Any], config_name: str, options: Mapping[str, Any]) -> list[str]:
    """The command line with options that are text as they were written. Raises InputError for one that is none.

    Ends with the help of the command where it is asked for.
    """
    sys.argv = [_with_home(argument) for argument in sys.argv]
    given = _checked_arguments()
    command = Path(inspect.getfile(task)).stem
    about = "" if command == config_name else inspect.getdoc(inspect.getmodule(task)) or ""
    config_name = given.config_name or config_name
    path = create_config_search_path(f"file://{Path(given.config_path).absolute()}" if given.config_path else CONF)
    if given.config_dir:
        path.prepend("command-line", f"file://{Path(given.config_dir).absolute()}", SearchPathQuery(provider="schema"))
    if given.help:
        print(help_text(command, options_of(ConfigLoaderImpl(path), config_name, given.overrides), about))
        raise SystemExit(0)

    def compose(*overrides: str) -> DictConfig:
        return ConfigLoaderImpl(path).load_configuration(config_name, list(overrides), RunMode.RUN, False, False)

    sweep = given.multirun or "hydra.mode=MULTIRUN" in given.overrides
    written = as_written(given.overrides, by_constructors(options, given.overrides, compose), sweep)
    replaced = dict(zip(given.overrides, written, strict=True))
    return [sys.argv[0], *(replaced.get(argument, argument) for argument in sys.argv[1:])]


def _with_home(argument: str) -> str:
    """An argument such as --config-dir=~/conf with its path, which a shell leaves alone."""
    name, equals, value = argument.partition("=")
    return f"{name}{equals}{in_home(value)}" if name.startswith("--config-") else argument


def _checked_arguments() -> Namespace:
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        if {"-m", "--multirun"} & {*sys.argv[2:]}:
            message += " (-m stands before all options)"
        raise InputError(f"{message}: options are written key=value, and --help lists them")

    parser.error = refuse  # type: ignore[method-assign]
    given = parser.parse_args()
    for folder in filter(None, (given.config_dir, given.config_path)):
        for path in sorted(Path(folder).rglob("*.yaml")):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise InputError(f"{path} is not text in UTF-8: {error}") from error
            except IsADirectoryError as error:
                raise InputError(f"{path} is a folder: a configuration is a file") from error
    return given

"""Engram: video object tracking with SAM2-family models in which the memory is a plug-in.

The public names, each imported when it is first used, and the command `engram`.
"""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from framework.data.procedural.dataset import Procedural as Procedural
    from framework.defaults import Greedy as Greedy
    from framework.defaults import NoMotion as NoMotion
    from framework.diagnostics.contract import check_contract as check_contract
    from framework.diagnostics.contract import clauses_of as clauses_of
    from framework.errors import InputError as InputError
    from framework.evaluation.comparison import Comparison as Comparison
    from framework.evaluation.evaluate import evaluate as evaluate
    from framework.evaluation.protocol import EvaluationProtocol as EvaluationProtocol
    from framework.interfaces import MemoryPolicy as MemoryPolicy
    from framework.interfaces import MotionModel as MotionModel
    from framework.interfaces import Selector as Selector
    from framework.networks.by_name import network as network
    from framework.report.data_frames import by_frame as by_frame
    from framework.report.data_frames import by_sequence as by_sequence
    from framework.report.data_frames import by_variant as by_variant
    from framework.report.overlay import overlay as overlay
    from framework.report.pictures import grid as grid
    from framework.report.sequence_progress import SequenceProgress as SequenceProgress
    from framework.storage.saved_state import load_state as load_state
    from framework.storage.saved_state import save_state as save_state
    from framework.tracker import Tracker as Tracker
    from framework.tracker import lockstep as lockstep
    from framework.types import Candidates as Candidates
    from framework.types import Cue as Cue
    from framework.types import Entry as Entry
    from framework.types import Frame as Frame
    from framework.types import Outcome as Outcome
    from framework.types import Pick as Pick
    from framework.types import Prompt as Prompt
    from framework.types import Query as Query
    from framework.types import Read as Read
    from framework.types import Reason as Reason
    from framework.types import Result as Result

__version__ = "0.2.0"
PUBLIC = {
    "Candidates": "framework.types",
    "Comparison": "framework.evaluation.comparison",
    "Cue": "framework.types",
    "Entry": "framework.types",
    "EvaluationProtocol": "framework.evaluation.protocol",
    "Frame": "framework.types",
    "Greedy": "framework.defaults",
    "InputError": "framework.errors",
    "MemoryPolicy": "framework.interfaces",
    "MotionModel": "framework.interfaces",
    "NoMotion": "framework.defaults",
    "Outcome": "framework.types",
    "Pick": "framework.types",
    "Procedural": "framework.data.procedural.dataset",
    "Prompt": "framework.types",
    "Query": "framework.types",
    "Read": "framework.types",
    "Reason": "framework.types",
    "Result": "framework.types",
    "Selector": "framework.interfaces",
    "SequenceProgress": "framework.report.sequence_progress",
    "Tracker": "framework.tracker",
    "by_frame": "framework.report.data_frames",
    "by_sequence": "framework.report.data_frames",
    "by_variant": "framework.report.data_frames",
    "check_contract": "framework.diagnostics.contract",
    "clauses_of": "framework.diagnostics.contract",
    "evaluate": "framework.evaluation.evaluate",
    "grid": "framework.report.pictures",
    "load_state": "framework.storage.saved_state",
    "lockstep": "framework.tracker",
    "network": "framework.networks.by_name",
    "overlay": "framework.report.overlay",
    "save_state": "framework.storage.saved_state",
}
__all__ = tuple(PUBLIC)
PACKAGES = ("conf", "experiments", "framework", "motion", "policies")
MODULES = {"inspect": "inspect_frame"}
"""Of `experiments`, where the command is not called like its module."""
COMMANDS = {
    "track": "one video into masks, boxes, a record of memory and an overlay",
    "ablate": "compare memories over the same frames: a table, a report",
    "evaluate": "track and score a data set with one variant",
    "tune": "best settings of methods, chosen on validation and measured on test videos",
    "status": "how far a comparison is",
    "rank": "whether memories come in the same order on other videos",
    "score": "score finished results as an official evaluator would",
    "export": "write finished results for an official tool or server",
    "train": "train a learned policy or motion model",
    "pretrain": "train the embedded network",
    "describe": "what a data set holds, and a sheet of pictures",
    "inspect": "what was proposed, read and decided on one tracked frame",
    "view": "all results below a folder, with their interactive pages, in a browser",
    "check": "a policy, motion model or selector of your own against its contract",
    "new": "the files of a new policy or motion model, and a test",
    "diagnose": "box prompts, confidence and alternatives of a network",
    "doctor": "what this machine has that is used: versions, devices, decoders, folders",
    "verify": "this engine beside sam2's own predictor on this machine",
    "bench": "cost of a network, of lockstep and of decisions",
}


def own_packages() -> None:
    """Imports the packages beside this file, whatever the working folder or PYTHONPATH has of the same names.

    Raises ImportError where another package of such a name is imported already.
    """
    for name in PACKAGES:
        home = Path(__file__).resolve().parent
        loaded = sys.modules.get(name)
        if loaded is None:
            spec = PathFinder.find_spec(name, [str(home)])
            if spec is None or spec.loader is None:
                raise ImportError(f"{home / name} is missing: install engram-tracking again")
            sys.modules[name] = loaded = module_from_spec(spec)
            spec.loader.exec_module(loaded)
        elif Path(loaded.__file__ or name).resolve().parent != home / name:
            raise ImportError(f"{loaded.__file__} is imported as {name}, which is a package of Engram: rename it")


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    own_packages()
    try:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    except ModuleNotFoundError as error:
        raise _with_its_extra(error) from error


def main() -> None:
    """`engram <command> [options]`: a module of `experiments`, from any working folder."""
    name, *options = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        return
    if name == "--version":
        print(__version__)
        return
    sys.argv = [f"engram {name}", *options]
    sys.path.append(str(Path.cwd()))  # for plug-ins of the user's own, after everything that is installed
    try:
        own_packages()
        entry = _entry_point(name)
    except KeyboardInterrupt:
        _refuse("interrupted", 130)
    except ImportError as error:
        _refuse(str(error))
    entry()


def _help() -> str:
    listed = "\n".join(f"  {name:10}{does}" for name, does in COMMANDS.items())
    return f"""usage: engram <command> [option=value ...]

{listed}

engram <command> --help lists the options of a command; engram --version says which version this is."""


def _entry_point(name: str) -> Callable[[], None]:
    """Raises ImportError with one line for what is unknown or not installed."""
    from framework.config.renamed import renamed_command
    from framework.errors import unknown

    if name not in COMMANDS:
        raise ImportError(renamed_command(name) or str(unknown("command", name, COMMANDS)))
    try:
        return importlib.import_module(f"experiments.{MODULES.get(name, name)}").main
    except ModuleNotFoundError as error:
        raise _with_its_extra(error, name) from error


def _with_its_extra(error: ModuleNotFoundError, command: str | None = None) -> ImportError:
    """One line that says what to install; the error itself where no extra brings what is missing."""
    from framework.config.extras import how_to_install

    line = how_to_install(error.name, command)
    return error if line is None else ImportError(line)


def _refuse(line: str, code: int = 2) -> NoReturn:
    print(line, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()

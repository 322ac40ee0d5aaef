"""What is installed only when asked for, and how to ask: the extras of the distribution."""

from importlib.util import find_spec

EXTRAS = {
    "av": "video",
    "hydra_plugins": "launchers",
    "filelock": "tune",
    "matplotlib": "report",
    "optuna": "tune",
    "pandas": "notebook",
    "pycocotools": "report",
    "pytorch_lightning": "train",
    "rich": "report",
    "scipy": "report",
    "wandb": "wandb",
}
"""Module -> extra that brings it."""
COMMANDS = {"track": "video", "train": "train", "pretrain": "train", "tune": "tune"}
"""Command -> extra that brings all it needs, where that is not `report`."""
SWEEPER = "optuna"
LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")


def how_to_install(name: str | None, command: str | None = None) -> str | None:
    """`rich is not installed: pip install 'engram-tracking[report]'`, by what could not be imported for a command.

    None for a module that no extra brings, and for one that is installed.
    """
    module = (name or "").partition(".")[0]
    if module not in EXTRAS or _installed(module):
        return None
    extra = COMMANDS.get(command or "", EXTRAS[module])
    return f"{module} is not installed: pip install {extra_of(extra)}"


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:
        return False


def extra_of(extra: str) -> str:
    """As a requirement for a shell."""
    return f"'engram-tracking[{extra}]'"

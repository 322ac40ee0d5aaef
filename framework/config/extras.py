"""What is installed only when asked for, and how to ask: the extras of the distribution."""

EXTRAS = {
    "av": "video",
    "hydra_plugins": "launchers",
    "matplotlib": "report",
    "pycocotools": "report",
    "pytorch_lightning": "train",
    "rich": "report",
    "scipy": "report",
    "wandb": "wandb",
}
"""Module -> extra that brings it."""
COMMANDS = {"track": "video", "train": "train", "pretrain": "train"}
"""Command -> extra that brings all it needs, where that is not `report`."""
LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")


def how_to_install(error: ModuleNotFoundError, command: str | None = None) -> str | None:
    """`rich is not installed: pip install 'engram-tracking[report]'`; None for a module that no extra brings."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    extra = COMMANDS.get(command or "", EXTRAS[module])
    return f"{module} is not installed: pip install {extra_of(extra)}"


def extra_of(extra: str) -> str:
    """As a requirement for a shell."""
    return f"'engram-tracking[{extra}]'"

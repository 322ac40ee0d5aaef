"""The README's example runs as printed, and its commands exist."""

import re
from pathlib import Path

import numpy as np
import torch

from framework.data.procedural.dataset import Procedural

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def test_library_example() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    video = Procedural(split="val", level="calm", length=4).sequence(0)
    scope: dict[str, object] = {"frames": [video.frame(index) for index in range(4)]}
    with torch.inference_mode():
        exec(example, scope)
    mask = scope["mask"]
    assert isinstance(mask, torch.Tensor) and mask.dtype == torch.bool and tuple(mask.shape) == video.size
    assert np.isfinite(float(mask.sum()))


def test_commands_exist() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^make ([\w-]+)", README, flags=re.MULTILINE)) <= targets
    modules = set(re.findall(r"python -m (experiments\.\w+)", README))
    assert modules and all((PROJECT / module.replace(".", "/")).with_suffix(".py").exists() for module in modules)
    for page in re.findall(r"\]\((\w[\w/.-]+)\)", README):
        assert (PROJECT / page).exists(), page

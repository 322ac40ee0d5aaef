"""The README's example runs as printed, and its commands exist."""

import re
from pathlib import Path

import torch

from framework.data.procedural.dataset import Procedural
from framework.metrics.tracking import mask_box

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def test_library_example() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 12
    video = Procedural(split="val", level="calm", length=4).sequence(0)
    truth = torch.from_numpy(video.truth(3)[1])
    here, box = "(40.0, 32.0, 72.0, 64.0)", mask_box(video.truth(0)[1])
    assert example.count(here) == 1 and box is not None
    scope: dict[str, object] = {"frames": [video.frame(index) for index in range(4)]}
    with torch.inference_mode():
        exec(example.replace(here, repr(box)), scope)
    mask = scope["mask"]
    assert isinstance(mask, torch.Tensor) and mask.dtype == torch.bool and tuple(mask.shape) == video.size
    assert int((mask & truth).sum()) > 0.5 * int((mask | truth).sum())


def test_the_policy_is_the_one_of_the_page() -> None:
    (excerpt,) = re.findall(r"```py\n(.*?)```", README, flags=re.DOTALL)
    page = (PROJECT / "docs/adding-a-policy.md").read_text()
    assert all(line in page.splitlines() for line in excerpt.splitlines())


def test_commands_exist() -> None:
    targets = set(re.findall(r"^(\w[\w-]*):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([\w-]+)", README, flags=re.MULTILINE))
    assert {"demo", "test", "docs"} <= named <= targets
    commands = set(re.findall(r"^engram (\w+)", README, flags=re.MULTILINE))
    assert {"track", "ablate"} <= commands <= {path.stem for path in (PROJECT / "experiments").glob("*.py")}

"""SAM 3's own tracker from the package `sam3`, small and on a CPU; run as a program beside a folder with the package.

    python -m tests.sam3_package FOLDER SIDE

writes FOLDER/sam3.pt, weights from a hash under the published file's names, and FOLDER/<scenario>.npz, what it shows
of each of `SCENARIOS`. Only names and arguments of the package are used; what needs a GPU, or a package that tracking
never calls, is replaced. Memories are kept in float32.
"""

import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from unittest.mock import MagicMock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from framework.diagnostics.deterministic_weights import OBJ_SCORE_BIAS, frame, value
from framework.networks.sam3 import MASK_CELLS, MLP_RATIO, PATCH, Sam3Size
from framework.types import Prompt

SIZE = Sam3Size(width=64, depth=4, heads=4, window=6, global_blocks=(1, 3), pretrained_grid=7)
FRAMES, VIDEO = 6, (96, 160)
CORRECTED = 3
"""Frame of the correction."""
REPLACED = ("torchvision", "triton", "decord")


def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
    y, x = np.mgrid[: VIDEO[0], : VIDEO[1]]
    return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1


MASK, OTHER = Prompt(mask=ellipse(50, 46, 20, 17)), Prompt(mask=ellipse(120, 30, 15, 12))
BOX = Prompt(box=(90.0, 50.0, 140.0, 90.0))
POINTS = Prompt(points=((60.0, 46.0), (10.0, 80.0)), labels=(1, 0))
CLICK = Prompt(points=((60.0, 46.0),), labels=(1,))
CORRECTION = Prompt(points=((70.0, 40.0), (20.0, 20.0)), labels=(1, 0), refine=True)
SCENARIOS: dict[str, dict[int, dict[int, Prompt]]] = {
    "mask": {0: {1: MASK}},
    "box": {0: {1: BOX}},
    "points": {0: {1: POINTS}},
    "click": {0: {1: CLICK}},
    "two_masks": {0: {1: MASK, 2: OTHER}},
    "three_objects": {0: {1: MASK, 2: BOX, 3: CLICK}},
    "correction": {0: {1: MASK}, CORRECTED: {1: CORRECTION}},
    "correction_of_one_of_two": {0: {1: MASK, 2: BOX}, CORRECTED: {1: CORRECTION}},
    "selection": {0: {1: MASK}},
}
"""Frame -> object -> prompt."""
OVERLAPPING = ("three_objects", "correction_of_one_of_two")
"""Those in which the package would remember what objects share for one of them only; here it does not."""


def video() -> list[np.ndarray]:
    return [frame(t, VIDEO[1])[: VIDEO[0]] for t in range(FRAMES)]


class Replaced(ModuleType):
    """A package whose every name stands for nothing."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__.setdefault(name, MagicMock())


class Replacements(MetaPathFinder, Loader):
    """Finds them in place of the packages."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in REPLACED else None

    def create_module(self, spec: ModuleSpec) -> Replaced:
        return Replaced(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class OnCpu(TorchFunctionMode):
    """Whatever is asked for on a GPU is made here."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = [self.here(each) for each in args], {key: self.here(x) for key, x in (kwargs or {}).items()}
        return function(*args, **kwargs)

    @staticmethod
    def here(given: Any) -> Any:
        return "cpu" if isinstance(given, str | torch.device) and str(given).startswith("cuda") else given


def opened(side: int) -> Any:
    """The package's predictor with a trunk of `SIZE` for `side` pixels."""
    sys.meta_path.insert(0, Replacements())
    for kind, name in ((Tensor, "cuda"), (Tensor, "pin_memory"), (nn.Module, "cuda")):
        setattr(kind, name, lambda self, *_, **__: self)
    warnings.filterwarnings("ignore", message="CUDA is not available")
    from sam3 import model_builder
    from sam3.model.vitdet import ViT

    predictor = model_builder.Sam3TrackerPredictor
    model_builder.Sam3TrackerPredictor = lambda **options: predictor(**options | {"image_size": side})
    model_builder._create_vit_backbone = lambda **_: ViT(
        img_size=side,
        patch_size=PATCH,
        embed_dim=SIZE.width,
        depth=SIZE.depth,
        num_heads=SIZE.heads,
        mlp_ratio=MLP_RATIO,
        rel_pos_blocks=(),
        window_size=SIZE.window,
        global_att_blocks=SIZE.global_blocks,
        use_rope=True,
        use_interp_rope=True,
        pretrain_img_size=SIZE.pretrained_grid * PATCH,
        retain_cls_token=False,
        ln_pre=True,
        bias_patch_embed=False,
        use_act_checkpoint=False,
    )
    built = model_builder.build_tracker(apply_temporal_disambiguation=False, with_backbone=True)
    tokens = side // PATCH
    for part in built.transformer.modules():
        if hasattr(part, "freqs_cis"):
            part.freqs_cis = part.compute_cis(end_x=tokens, end_y=tokens)
    built.maskmem_backbone.mask_downsampler.interpol_size = [MASK_CELLS * tokens] * 2
    return built.eval()


def set_up(built: Any, scenario: str) -> None:
    """Memory selection, and what objects that overlap give up, as the scenario has them."""
    built.use_memory_selection = scenario == "selection"
    if scenario in OVERLAPPING:
        built._apply_non_overlapping_constraints = lambda masks: masks
    else:
        vars(built).pop("_apply_non_overlapping_constraints", None)


def published_name(name: str) -> str:
    """Of an entry of the predictor, in the file."""
    return f"detector.{name}" if name.startswith("backbone.") else f"tracker.{name}"


def filled(built: nn.Module) -> dict[str, Tensor]:
    """Weights by published name, which the predictor has from now on."""
    state = {name: entry for name, entry in built.state_dict().items() if not name.endswith("freqs_cis")}
    file = {}
    for name, entry in state.items():
        drawn = np.full(entry.shape, 4.0, np.float32) if name.endswith(OBJ_SCORE_BIAS) else value(name, entry.shape)
        file[published_name(name)] = torch.from_numpy(drawn)
    built.load_state_dict({name: file[published_name(name)] for name in state}, strict=False)
    return file


def tell(built: Any, state: Any, index: int, key: int, prompt: Prompt) -> None:
    """Gives it one prompt, in parts of the video's sides."""
    size = np.array(VIDEO[::-1], np.float32)
    if prompt.mask is not None:
        built.add_new_mask(state, index, key, torch.from_numpy(prompt.mask))
    elif prompt.box is not None:
        corners = np.array(prompt.box, np.float32).reshape(2, 2) / size
        built.add_new_points_or_box(state, index, key, box=torch.from_numpy(corners.reshape(1, 4)))
    else:
        points, labels = np.array(prompt.points, np.float32) / size, np.array(prompt.labels, np.int32)
        built.add_new_points_or_box(state, index, key, points=torch.from_numpy(points), labels=torch.from_numpy(labels))


@torch.inference_mode()
def shown(built: Any, side: int, prompts: dict[int, dict[int, Prompt]]) -> dict[str, np.ndarray]:
    """Logits before they are brought to the size of the video, by "<frame>/<object>"."""
    state = built.init_state(video_height=VIDEO[0], video_width=VIDEO[1], num_frames=FRAMES)
    small = [np.asarray(Image.fromarray(image).resize((side, side))) for image in video()]
    state["images"] = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1
    found: dict[str, np.ndarray] = {}
    for start in sorted(prompts):
        for key, prompt in prompts[start].items():
            tell(built, state, start, key, prompt)
        built.propagate_in_video_preflight(state)
        for index, keys, logits, *_ in built.propagate_in_video(state, start, FRAMES, False, tqdm_disable=True):
            found |= {f"{index}/{key}": logits[row, 0].numpy() for row, key in enumerate(keys)}
    return found


def main(folder: Path, side: int) -> None:
    torch.set_num_threads(1)
    with OnCpu():
        built = opened(side)
        torch.save(filled(built), folder / "sam3.pt")
        torch.bfloat16 = torch.float32  # what memories are stored in, by name
        for name, prompts in SCENARIOS.items():
            set_up(built, name)
            np.savez(folder / f"{name}.npz", **shown(built, side, prompts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

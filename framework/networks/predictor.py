"""sam2's own video predictor over a model that is built already."""

import copy

from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor

from framework.errors import InputError

__all__ = ["SAM2VideoPredictor", "predictor"]


def predictor(model: SAM2Base, **options: object) -> SAM2VideoPredictor:
    """sam2's predictor, which shares every weight with `model`. Raises InputError for what sam2 does not know.

    Options as sam2's builder sets them, without its CUDA hole filling.
    """
    if type(model) is not SAM2Base:
        raise InputError(f"sam2's own predictor runs SAM 2 and 2.1: {type(model).__name__} has nothing to compare with")
    made = copy.copy(model)
    made.__class__ = SAM2VideoPredictor
    settings = {
        "fill_hole_area": 0,
        "non_overlap_masks": False,
        "clear_non_cond_mem_around_input": False,
        "add_all_frames_to_correct_as_cond": False,
        "binarize_mask_from_pts_for_mem_enc": True,
        **options,
    }
    for name, value in settings.items():
        setattr(made, name, value)
    return made

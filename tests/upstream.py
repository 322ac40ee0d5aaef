"""sam2's own video predictor over the modules of a built model, for side-by-side tests."""

import copy

from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor


def upstream_predictor(model: SAM2Base, **options: object) -> SAM2VideoPredictor:
    """Shares every weight with `model`. Options as sam2's builder sets them, without its CUDA hole filling."""
    predictor = copy.copy(model)
    predictor.__class__ = SAM2VideoPredictor
    settings = {
        "fill_hole_area": 0,
        "non_overlap_masks": False,
        "clear_non_cond_mem_around_input": False,
        "add_all_frames_to_correct_as_cond": False,
        "binarize_mask_from_pts_for_mem_enc": True,
        **options,
    }
    for name, value in settings.items():
        setattr(predictor, name, value)
    return predictor

"""What entries of published files are called here, where their authors' network is put together in another way."""

import re

_SAM3 = (
    ("detector.backbone.vision_backbone.trunk.", "image_encoder.trunk."),
    ("detector.backbone.vision_backbone.sam2_convs.", "image_encoder.neck.convs."),
    ("tracker.transformer.encoder.", "memory_attention."),
    ("tracker.maskmem_backbone.", "memory_encoder."),
    ("tracker.", ""),
)
"""Prefix in the file, prefix here; the first that fits."""
_UNUSED = re.compile(r"image_encoder\.trunk\.blocks\.\d+\.attn\.freqs_cis|image_encoder\.neck\.convs\.3\..*")
"""Tables that are made anew for the size of the input, and a level that tracking never looks at."""


def of_sam3(name: str) -> str | None:
    """An entry of SAM 3's own file; None for what the tracker has no use for. Others keep their name."""
    for theirs, ours in _SAM3:
        if name.startswith(theirs):
            here = ours + name.removeprefix(theirs)
            here = re.sub(r"^(sam_mask_decoder\.transformer\..*\.mlp\.)lin1\.", r"\1layers.0.", here)
            here = re.sub(r"^(sam_mask_decoder\.transformer\..*\.mlp\.)lin2\.", r"\1layers.1.", here)
            return None if _UNUSED.fullmatch(here) else here
    return None if name.startswith("detector.") or _UNUSED.fullmatch(name) else name

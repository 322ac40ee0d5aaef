"""Masks as COCO run-length counts, the form in which they are kept on disk."""

import numpy as np
from jaxtyping import Bool
from pycocotools import mask as rle

from framework.types import Size


def encode_mask(mask: Bool[np.ndarray, "H W"]) -> str:
    """COCO run-length counts."""
    return rle.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")


def decode_mask(counts: str, size: Size) -> Bool[np.ndarray, "H W"]:
    """Inverse of `encode_mask`."""
    return rle.decode({"size": list(size), "counts": counts.encode("ascii")}).astype(bool)

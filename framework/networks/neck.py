"""From a trunk's maps to the feature pyramid, without what tracking never looks at."""

from functools import singledispatch

from jaxtyping import Float
from sam2.modeling.backbones.image_encoder import FpnNeck
from torch import Tensor, nn


@singledispatch
def fuse(
    neck: nn.Module, maps: list[Tensor], levels: int
) -> tuple[list[Float[Tensor, "B C _ _"]], Float[Tensor, "B C y x"]]:
    """The first `levels` maps of a neck, finest first, and the position code of the coarsest among them.

    Necks with work to spare register their own version.
    """
    fused, positions = neck(maps)
    return fused[:levels], positions[levels - 1]


@fuse.register
def _(
    neck: FpnNeck, maps: list[Tensor], levels: int
) -> tuple[list[Float[Tensor, "B C _ _"]], Float[Tensor, "B C y x"]]:
    """`FpnNeck.forward` to the last bit. It codes positions on every level, though only the coarsest one's are read,
    and doubles maps by an interpolation that, on a CPU, changes their memory layout and back.
    """
    if (neck.fpn_interp_model, neck.fuse_type) != ("nearest", "sum"):
        return fuse.dispatch(nn.Module)(neck, maps, levels)
    fused: list[Tensor] = []
    for level, lateral in zip(reversed(range(len(maps))), neck.convs, strict=True):
        here = lateral(maps[level])
        if fused and level in neck.fpn_top_down_levels:
            here = _plus_doubled(here, fused[0].float())
        fused.insert(0, here)
    coarsest = fused[levels - 1]
    return fused[:levels], neck.position_encoding(coarsest).to(coarsest.dtype)


def _plus_doubled(fine: Float[Tensor, "B C H W"], coarse: Float[Tensor, "B C H/2 W/2"]) -> Float[Tensor, "B C H W"]:
    """Each coarse cell is added to the 2 x 2 fine ones that it covers."""
    cells = fine.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    return (cells + coarse[:, :, :, None, :, None]).flatten(4, 5).flatten(2, 3)

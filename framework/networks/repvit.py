"""RepViT-M1, the trunk of EdgeTAM (Wang et al., "RepViT: Revisiting Mobile CNN From ViT Perspective", CVPR 2024).

Parameter names are those of timm's `repvit_m1.dist_in1k` behind its feature wrapper, as the published checkpoint has
them; the re-parameterised (fused) inference form is not built, because it changes names.
"""

from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (48, 96, 192, 384)
DEPTHS = (2, 2, 14, 2)


class ConvNorm(nn.Sequential):
    """Convolution without bias, then batch normalisation."""

    def __init__(self, d_in: int, d_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(d_in, d_out, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(d_out))


class TokenMixer(nn.Module):
    """Depthwise 3x3 and 1x1 branches beside the identity (RepViT, Fig. 3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, 3, groups=dim)
        self.conv1 = ConvNorm(dim, dim, 1, groups=dim)

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        return self.conv(x) + self.conv1(x) + x


class ChannelMixer(nn.Module):
    """Residual pointwise MLP of ratio 2."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(dim, 2 * dim)
        self.act = nn.GELU()
        self.conv2 = ConvNorm(2 * dim, dim)

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        return x + self.conv2(self.act(self.conv1(x)))


class SqueezeExcite(nn.Module):
    """Channel gate from the global mean; the reduced width is a quarter, rounded to a multiple of 8."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        reduced = (dim // 4 + 4) // 8 * 8
        self.fc1 = nn.Conv2d(dim, reduced, 1)
        self.fc2 = nn.Conv2d(reduced, dim, 1)

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Block(nn.Module):
    def __init__(self, dim: int, excite: bool) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(dim)
        self.se = SqueezeExcite(dim) if excite else nn.Identity()
        self.channel_mixer = ChannelMixer(dim)

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        return self.channel_mixer(self.se(self.token_mixer(x)))


class Downsample(nn.Module):
    """Halves the resolution between two stages."""

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.pre_block = Block(d_in, excite=False)
        self.spatial_downsample = ConvNorm(d_in, d_in, 3, stride=2, groups=d_in)
        self.channel_downsample = ConvNorm(d_in, d_out)
        self.ffn = ChannelMixer(d_out)

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B E H/2 W/2"]:
        return self.ffn(self.channel_downsample(self.spatial_downsample(self.pre_block(x))))


class Stage(nn.Module):
    def __init__(self, d_in: int, d_out: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if d_in == d_out else Downsample(d_in, d_out)
        self.blocks = nn.Sequential(*(Block(d_out, excite=i % 2 == 0) for i in range(depth)))

    def forward(self, x: Float[Tensor, "B D H W"]) -> Float[Tensor, "B E h w"]:
        return self.blocks(self.downsample(x))


class RepViT(nn.Module):
    """Image [B 3 H W] to four maps, strides 4, 8, 16, 32 with 48, 96, 192, 384 channels, fine to coarse."""

    def __init__(self) -> None:
        super().__init__()
        self.channel_list = list(reversed(WIDTHS))  # coarse to fine, as FpnNeck expects it
        first = WIDTHS[0]
        self.body = nn.Module()
        self.body.stem = nn.Sequential()
        self.body.stem.add_module("conv1", ConvNorm(3, first // 2, 3, stride=2))
        self.body.stem.add_module("act", nn.GELU())
        self.body.stem.add_module("conv2", ConvNorm(first // 2, first, 3, stride=2))
        for i, (d_in, d_out, depth) in enumerate(zip((first, *WIDTHS), WIDTHS, DEPTHS, strict=False)):
            self.body.add_module(f"stages_{i}", Stage(d_in, d_out, depth))

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        maps = []
        for layer in self.body.children():
            x = layer(x)
            maps.append(x)
        return maps[1:]  # without the stem's

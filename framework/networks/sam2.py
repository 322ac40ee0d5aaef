"""The stateless facade over a SAM2-family model: encode, condition, decode, prompt, memorise.

The modules are the model's own (package ``sam2`` and the compatible backbones beside this file); the memory bank, the
choice of a mask and every other decision of ``SAM2VideoPredictor`` are left to policies, motion models and selectors.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from PIL import Image as PillowImage
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

from framework.errors import InputError
from framework.networks.attention import Attended, KeyWeights, MemoryTokens, attend, attend_tokens
from framework.networks.conventions import Conventions, conventions
from framework.networks.neck import fuse
from framework.networks.prepared_memory import PreparedAttention, PreparedRead, can_be_prepared
from framework.types import (
    ABSENT_LOGIT,
    ANCHOR,
    Candidates,
    Features,
    Image,
    Opaque,
    Prompt,
    Query,
    Read,
    Size,
    upsample,
)

PRESENCE_LOGIT = 10.0
"""Object score of a given mask that is not empty, and minus that of an empty one."""
CORRECTED_LOGIT = 32.0
"""A mask under correction is clamped to +- this before it is fed back."""

COMPUTE: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""What a network may compute in, by name; None is the weights' own type."""
Resize = Literal["bicubic", "bilinear", "antialiased"]
"""How a video frame becomes network input: Pillow's bicubic on bytes (SAM2, SAMURAI, SAM2Long), or bilinear on floats,
plain or antialiased (DAM4SAM and HiM2SAM's VOT wrapper: torchvision's, which antialiases from 0.17 on)."""


@dataclass(frozen=True, slots=True)
class FeaturePyramid:
    """What the decoder and the memory attention need of a frame."""

    fine: tuple[Float[Tensor, "1 _ _ _"], ...]
    """Levels at 4x and 2x the token grid, projected for the mask decoder; empty for one-level backbones."""
    top: Float[Tensor, "1 C y x"]
    position: Float[Tensor, "1 C y x"]


def _together(parts: Iterable[Candidates]) -> Candidates:
    """Rows of several batches in order; a lone batch stays as it is."""
    first, *others = parts
    if not others:
        return first
    return Candidates(
        torch.cat([part.logits for part in (first, *others)]),
        torch.cat([part.iou for part in (first, *others)]),
        torch.cat([part.pointers for part in (first, *others)]),
        torch.cat([part.presence for part in (first, *others)]),
    )


def _stacked(maps: Sequence[Float[Tensor, "_ C y x"]]) -> Float[Tensor, "R C y x"]:
    """Rows of several batches, laid out in memory as those of one: layouts decide the last bits of what follows."""
    if len(maps) == 1:
        return maps[0]
    return torch.cat([each.permute(0, 2, 3, 1) for each in maps]).permute(0, 3, 1, 2)


def _antialiased(map_: Float[Tensor, "1 1 _ _"], size: Size) -> Float[Tensor, "1 1 _ _"]:
    """On another grid; the map itself where it has that size."""
    if tuple(map_.shape[-2:]) == tuple(size):
        return map_
    return F.interpolate(map_, size=size, mode="bilinear", align_corners=False, antialias=True)


def _tokens(map_: Float[Tensor, "R C y x"]) -> Float[Tensor, "R N C"]:
    return map_.flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Sam2Network:
    """A `Network` over a built `SAM2Base` (SAM2, SAM2.1, SAM3, EfficientTAM, EdgeTAM, micro) in evaluation mode.

    Memories are stored in `memory_dtype` (the published predictors store bfloat16 whatever they compute in).
    `autocast` is the compute dtype of every verb; None computes in the weights' own. `resize` brings video frames to
    the network's input size. At most `rows_at_once` rows go through the network together (None: all): the last bits of
    a row depend on how many there are, so 1 makes a lockstep equal to separate runs to the last bit, at a price.
    `prepare_memories` saves a tenth of the time where it can (`prepared_memory`); last bits differ from the published
    predictors', which memories stored in bfloat16 turn into steps of 1 in 256.
    """

    model: SAM2Base
    memory_dtype: torch.dtype = torch.bfloat16
    autocast: torch.dtype | None = None
    resize: Resize = "bicubic"
    rows_at_once: int | None = None
    prepare_memories: bool = False

    def __post_init__(self) -> None:
        if getattr(self.model, "non_overlap_masks_for_mem_enc", False):
            raise InputError(
                "the network's configuration has non_overlap_masks_for_mem_enc=true, by which the objects and trackers "
                "of a batch would change one another's memories: set it to false"
            )

    def _batches(self, rows: int) -> list[slice]:
        """All rows in order, in parts of at most `rows_at_once`."""
        size = self.rows_at_once or rows
        return [slice(start, start + size) for start in range(0, rows, size)]

    @cached_property
    def conventions(self) -> Conventions:
        return conventions(self.model)

    @property
    def fill_hole_area(self) -> int:
        return self.conventions.fill_hole_area

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def input_size(self) -> Size:
        return self.model.image_size, self.model.image_size

    @property
    def logit_size(self) -> Size:
        """Mask-logit grid: four times the token grid."""
        side = 4 * self.model.sam_image_embedding_size
        return side, side

    @property
    def slots(self) -> int:
        return len(self.model.maskmem_tpos_enc) - 1  # the last row is the anchors'

    def _computing(self) -> AbstractContextManager:
        return torch.autocast(self.device.type, self.autocast) if self.autocast else nullcontext()

    # ------------------------------------------------------------------ encode

    def prepare(self, image: Image) -> Float[Tensor, "3 H W"]:
        """Network input of a video frame: resized, 0..1, normalised.

        Tensors are taken to be prepared already.
        """
        if isinstance(image, Tensor):
            return image.to(self.device)
        height, width = self.input_size
        if self.resize == "bicubic":
            image = np.asarray(PillowImage.fromarray(image).resize((width, height)))
        scaled = torch.from_numpy(image / 255.0).permute(2, 0, 1).float()
        if tuple(scaled.shape[1:]) != self.input_size:
            smooth = self.resize == "antialiased"
            (scaled,) = F.interpolate(scaled[None], (height, width), mode="bilinear", antialias=smooth)
        return self.conventions.normalisation.apply(scaled).to(self.device)

    def encode(self, image: Image, frame: int, length: int | None) -> Features:
        prepared = self.prepare(image)
        encoder, decoder = self.model.image_encoder, self.model.sam_mask_decoder
        with self._computing():
            maps = encoder.trunk(prepared[None])
            (*fine, top), position = fuse(encoder.neck, maps, levels=self.model.num_feature_levels)
            sharp = (decoder.conv_s0, decoder.conv_s1) if self.model.use_high_res_features_in_sam else ()
            projected = tuple(project(level) for project, level in zip(sharp, fine, strict=False))
        height, width = image.shape[:2] if isinstance(image, np.ndarray) else prepared.shape[1:]
        private = FeaturePyramid(projected, top, position)
        query = Query(frame, top[0], length, self.conventions.max_anchors)
        return Features(query, prepared, private, (height, width), self.conventions.normalisation)

    # --------------------------------------------------------------- condition

    @cached_property
    def _memory_position(self) -> Float[Tensor, "N D"]:
        """Spatial code of one memory's tokens, the same on every frame."""
        side, model = self.model.sam_image_embedding_size, self.model
        blank = torch.zeros(1, model.hidden_dim, side, side, device=self.device)
        mask = torch.zeros(1, 1, *self.input_size, device=self.device)
        with torch.no_grad(), self._computing():  # rounded as the published predictors round it
            _, position = self._encode_memory(blank, mask, torch.ones(1, device=self.device))
        return _tokens(position)[0]

    def _pointer_positions(self, reads: Sequence[Read]) -> Float[Tensor, "R P D"]:
        """Temporal code of each pointer; zeros for models trained without one."""
        model, count = self.model, len(reads[0].pointers)
        if not model.add_tpos_enc_to_obj_ptrs:
            return torch.zeros(len(reads), count, model.mem_dim, device=self.device)
        ago = torch.tensor([[ago for _, ago in read.pointers] for read in reads], device=self.device)
        span = torch.tensor([[max(read.pointer_span, 1)] for read in reads], device=self.device)
        width = model.hidden_dim if model.proj_tpos_enc_in_obj_ptrs else model.mem_dim
        with self._computing():
            return model.obj_ptr_tpos_proj(get_1d_sine_pe(ago / span, dim=width))

    def _pointers(self, reads: Sequence[Read]) -> tuple[Float[Tensor, "R P D"], Float[Tensor, "R P D"]]:
        """Pointers split into memory-wide tokens, and the temporal code of each token."""
        model, split = self.model, self.model.hidden_dim // self.model.mem_dim
        stacked = torch.stack([entry.pointer for read in reads for entry, _ in read.pointers])
        tokens = stacked.reshape(len(reads), -1, model.mem_dim)
        return tokens, self._pointer_positions(reads).repeat_interleave(split, dim=1)

    def _memory(self, reads: Sequence[Read], weighted: bool) -> MemoryTokens:
        """The tokens of all reads: spatial memories in order, then pointers.

        Without `weighted` the reads' gain and bias are left out.
        """
        model, rows = self.model, len(reads)
        spatial, pointers = len(reads[0].spatial), len(reads[0].pointers)
        tokens, positions, lengths = [], [], []
        if spatial:
            features: list[Opaque] = [entry.features for read in reads for entry, _ in read.spatial]
            stored = torch.stack(features).to(model.maskmem_tpos_enc)  # device, dtype
            maps = _tokens(stored).unflatten(0, (rows, spatial))
            temporal = model.maskmem_tpos_enc[[self._slots(read) for read in reads], 0]
            tokens.append(maps.flatten(1, 2))
            positions.append((self._memory_position + temporal).flatten(1, 2))
            lengths += [maps.shape[2]] * spatial
        if pointers:
            split, codes = self._pointers(reads)
            tokens.append(split)
            positions.append(codes)
            lengths += [split.shape[1] // pointers] * pointers
        return MemoryTokens(
            tokens=torch.cat(tokens, dim=1),
            positions=torch.cat(positions, dim=1),
            pointer_tokens=sum(lengths[spatial:]),
            weights=self._weights(reads, lengths) if weighted else None,
        )

    def _slots(self, read: Read) -> list[int]:
        """Of its spatial memories; -1, the anchors', is the last row of the temporal code."""
        slots = [slot for _, slot in read.spatial]
        if wrong := [slot for slot in slots if not ANCHOR <= slot < self.slots]:
            raise InputError(f"a memory is read at temporal slot {wrong[0]}: the network has 0 to {self.slots - 1}")
        return slots

    def _weights(self, reads: Sequence[Read], lengths: Sequence[int]) -> KeyWeights:
        """Gain and bias of items of so many tokens, token by token."""
        neutral = torch.zeros(len(lengths), device=self.device)
        gain = torch.stack([neutral + 1 if read.gain is None else read.gain.to(self.device) for read in reads])
        bias = torch.stack([neutral if read.bias is None else read.bias.to(self.device) for read in reads])
        owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).to(self.device)
        return KeyWeights(gain[:, owner], bias[:, owner], owner)

    def condition(self, features: Features, reads: Sequence[Read]) -> Float[Tensor, "R C y x"]:
        return _stacked([self._condition(features, reads[part]) for part in self._batches(len(reads))])

    def _condition(self, features: Features, reads: Sequence[Read]) -> Float[Tensor, "R C y x"]:
        if not reads[0].spatial and not reads[0].pointers:
            return self._without_memory(features.private, len(reads))
        weighted = any(read.gain is not None or read.bias is not None for read in reads)
        if weighted or self.prepared_attention is None:
            memory = self._memory(reads, weighted)
            layers = self.model.memory_attention.layers
            return self._attend(features, len(reads), lambda at, query: attend_tokens(layers[at], query, memory))[0]
        attention, prepared = self.prepared_attention, self._prepare(reads)
        return self._attend(features, len(reads), lambda at, query: (attention.attend(at, query, prepared), None))[0]

    @cached_property
    def prepared_attention(self) -> PreparedAttention | None:
        """Where it is asked for, weights are frozen and it was measured to be faster."""
        if not self.prepare_memories or self.autocast is not None or not can_be_prepared(self.model):
            return None
        return PreparedAttention(self.model, self._memory_position)

    def _prepare(self, reads: Sequence[Read]) -> list[PreparedRead]:
        if reads[0].pointers:
            pointers, codes = self._pointers(reads)
        else:
            pointers = codes = self._memory_position.new_empty(len(reads), 0, self.model.mem_dim)
        memories = [
            [(entry.features, slot) for (entry, _), slot in zip(read.spatial, self._slots(read), strict=True)]
            for read in reads
        ]
        return [
            PreparedRead(spatial, own, own + code) for spatial, own, code in zip(memories, pointers, codes, strict=True)
        ]

    def measure(
        self, features: Features, reads: Sequence[Read]
    ) -> tuple[Float[Tensor, "R C y x"], Float[Tensor, "R items y x"]]:
        measured = [self._measure(features, reads[part]) for part in self._batches(len(reads))]
        return _stacked([conditioned for conditioned, _ in measured]), _stacked([shares for _, shares in measured])

    def _measure(
        self, features: Features, reads: Sequence[Read]
    ) -> tuple[Float[Tensor, "R C y x"], Float[Tensor, "R items y x"]]:
        items = len(reads[0].spatial) + len(reads[0].pointers)
        if not items:
            conditioned = self._condition(features, reads)
            return conditioned, conditioned.new_zeros(len(reads), 0, *conditioned.shape[2:])
        memory, layers = self._memory(reads, weighted=True), self.model.memory_attention.layers
        conditioned, masses = self._attend(
            features, len(reads), lambda at, query: attend_tokens(layers[at], query, memory, items)
        )
        assert masses is not None
        return conditioned, masses

    def _attend(
        self, features: Features, rows: int, cross_attend: Callable[[int, Float[Tensor, "R N C"]], Attended]
    ) -> tuple[Float[Tensor, "R C y x"], Float[Tensor, "R items y x"] | None]:
        pyramid: FeaturePyramid = features.private
        # Row-major tokens once, or every normalisation would make its own.
        top, position = _tokens(pyramid.top).contiguous(), _tokens(pyramid.position)
        with self._computing():
            x, masses = attend(self.model.memory_attention, top, position, rows, cross_attend)
        grid = pyramid.top.shape[2:]
        return x.mT.unflatten(2, grid), None if masses is None else masses.mT.unflatten(2, grid)

    def _without_memory(self, pyramid: FeaturePyramid, rows: int) -> Float[Tensor, "R C y x"]:
        return (pyramid.top + self.model.no_mem_embed.reshape(1, -1, 1, 1)).expand(rows, -1, -1, -1)

    # ------------------------------------------------------------------ decode

    def decode(
        self,
        features: Features,
        conditioned: Float[Tensor, "R C y x"],
        presence_threshold: Float[Tensor, " R"],
    ) -> Candidates:
        thresholds = presence_threshold.to(self.device)
        return _together(
            self._decode(features, conditioned[part], thresholds[part], several=True)
            for part in self._batches(len(conditioned))
        )

    def _decode(
        self,
        features: Features,
        conditioned: Float[Tensor, "R C y x"],
        threshold: Float[Tensor, " R"],
        several: bool,
        points: Float[Tensor, "R K 2"] | None = None,
        labels: Tensor | None = None,
        mask: Float[Tensor, "R 1 _ _"] | None = None,
    ) -> Candidates:
        """The mask decoder under a prompt: three masks if `several`, else one (the best of three when unstable)."""
        model, rows = self.model, len(conditioned)
        if points is None or labels is None:
            points = torch.zeros(rows, 1, 2, device=self.device)
            labels = -torch.ones(rows, 1, dtype=torch.int32, device=self.device)
        if mask is not None:
            mask = _antialiased(mask, self.logit_size)
        pyramid: FeaturePyramid = features.private
        with self._computing():
            sparse, dense = model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=mask)
            logits, iou, tokens, presence = model.sam_mask_decoder(
                image_embeddings=conditioned,
                image_pe=model.sam_prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=several,
                repeat_image=False,
                high_res_features=[level.expand(rows, -1, -1, -1) for level in pyramid.fine] or None,
            )
            # Mask by mask, as the published predictors do: one row then agrees with them to the last bit.
            pointers = torch.stack([model.obj_ptr_proj(token) for token in tokens.unbind(dim=1)], dim=1)
        presence = presence[:, 0].float()
        visible = (presence > threshold)[:, None, None]
        pointers = torch.where(visible, pointers.float(), model.no_obj_ptr)
        logits = torch.where(visible[..., None], logits.float(), ABSENT_LOGIT)
        return Candidates(logits, iou.float(), pointers, presence)

    # ------------------------------------------------------------------ prompt

    def prompt(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        conditioned: Float[Tensor, "R C y x"] | None = None,
        previous: Float[Tensor, "R h w"] | None = None,
    ) -> Candidates:
        return _together(
            self._prompt_mask(features, prompt.mask)
            if prompt.mask is not None
            else self._prompt_points(
                features,
                prompt,
                None if conditioned is None else conditioned[index : index + 1],
                None if previous is None else previous[index : index + 1],
            )
            for index, prompt in enumerate(prompts)
        )

    def _prompt_mask(self, features: Features, mask: Bool[np.ndarray, "Hv Wv"]) -> Candidates:
        """A given mask is its own result; the decoder runs only for the object pointer, without memory embedding."""
        given, own = torch.from_numpy(mask)[None, None].float().to(self.device), self.conventions
        cells = own.prompt_cells and own.prompt_cells * self.model.sam_image_embedding_size
        shown = _antialiased(given, (cells, cells) if cells else self.input_size)
        if own.binarised_prompts:
            shown = remembered = shown if shown is given else (shown >= 0.5).float()
        else:
            remembered = _antialiased(given, features.video_size)
            remembered = remembered if remembered is given else (remembered > 0.5).float()
        logits = _antialiased(remembered * 2 * own.prompt_logit - own.prompt_logit, self.logit_size)
        with self._computing():
            dense = self.model.mask_downsample(shown)
        threshold = torch.zeros(1, device=self.device)  # the decoder may still find the object absent
        pointed = self._decode(features, features.private.top, threshold, several=False, mask=dense.float())
        visible = shown.flatten(1).any(dim=1)
        presence = torch.where(visible, PRESENCE_LOGIT, -PRESENCE_LOGIT)
        return Candidates(
            logits,
            torch.ones(1, 1, device=self.device),
            torch.where(visible[:, None, None], pointed.pointers, self.model.no_obj_ptr),
            torch.where(pointed.presence.isnan(), torch.nan, presence),  # or NaN would pass for an absent object
        )

    def _prompt_points(
        self,
        features: Features,
        prompt: Prompt,
        conditioned: Float[Tensor, "1 C y x"] | None,
        previous: Float[Tensor, "1 h w"] | None,
    ) -> Candidates:
        """Box corners count as two points with labels 2 and 3. One click proposes three masks and keeps the best."""
        corners = () if prompt.box is None else (prompt.box[:2], prompt.box[2:])
        xy = torch.tensor([*corners, *prompt.points], dtype=torch.float32, device=self.device)
        height, width = features.video_size
        xy = xy / torch.tensor([width, height], device=self.device) * self.model.image_size
        labels = torch.tensor([[2, 3][: len(corners)] + list(prompt.labels)], dtype=torch.int32, device=self.device)
        model, most = self.model, self.conventions.most_points
        if most is not None and len(xy) > most:
            kept = [*range(most // 2), *range(len(xy) - most // 2, len(xy))]
            xy, labels = xy[kept], labels[:, kept]
        if conditioned is None or not self.conventions.corrections_read_memory:
            conditioned = self._without_memory(features.private, 1)
        found = self._decode(
            features,
            conditioned,
            torch.zeros(1, device=self.device),
            several=model.multimask_min_pt_num <= len(xy) <= model.multimask_max_pt_num,
            points=xy[None],
            labels=labels,
            mask=None if previous is None else previous[:, None].clamp(-CORRECTED_LOGIT, CORRECTED_LOGIT),
        )
        best = found.iou.argmax(dim=1)
        token = best if found.pointers.shape[1] > 1 else torch.zeros_like(best)
        return Candidates(found.logits[:, best], found.iou[:, best], found.pointers[:, token], found.presence)

    # ---------------------------------------------------------------- memorise

    def _encode_memory(
        self, top: Float[Tensor, "R C y x"], logits: Float[Tensor, "R 1 H W"], presence: Float[Tensor, " R"]
    ) -> tuple[Float[Tensor, "R D _ _"], Float[Tensor, "R D _ _"]]:
        """Memory features and their spatial code."""
        features, positions = self.model._encode_new_memory(
            current_vision_feats=[_tokens(top).transpose(0, 1)],
            feat_sizes=[tuple(top.shape[-2:])],
            pred_masks_high_res=logits,
            object_score_logits=presence[:, None],
            is_mask_from_pts=False,
        )
        return features, positions[-1]

    def memorise(
        self,
        features: Features,
        logits: Float[Tensor, "R h w"],
        presence: Float[Tensor, " R"],
        prompted: Bool[Tensor, " R"],
    ) -> list[Opaque]:
        parts = self._batches(len(logits))
        return [row for at in parts for row in self._memorise(features, logits[at], presence[at], prompted[at])]

    def _memorise(
        self,
        features: Features,
        logits: Float[Tensor, "R h w"],
        presence: Float[Tensor, " R"],
        prompted: Bool[Tensor, " R"],
    ) -> list[Opaque]:
        lone = upsample(logits.float(), self.input_size)
        # sam2 upsamples a tracked mask before it chooses it among three, and torch rounds a lone map differently.
        three = logits.float()[:, None].expand(-1, 3, -1, -1)
        among = F.interpolate(three, self.input_size, mode="bilinear")[:, 0]
        # The sigmoid of an infinite logit is exactly 0 or 1: binarised.
        full = torch.where(prompted.to(self.device)[:, None, None], torch.where(lone > 0, torch.inf, -torch.inf), among)
        top = features.private.top.expand(len(logits), -1, -1, -1)
        with self._computing():
            encoded, _ = self._encode_memory(top, full[:, None], presence.to(self.device))
        stored = encoded.to(self.memory_dtype)
        return [row.clone() for row in stored]  # or the memory of one row would keep those of the whole batch

    def similarity(self, memory: Opaque, others: Sequence[Opaque]) -> Float[Tensor, " n"]:
        one = memory.to(self.device).float().flatten()
        cosines = [F.cosine_similarity(one, other.to(self.device).float().flatten(), dim=0) for other in others]
        return torch.stack(cosines) if cosines else one.new_zeros(0)

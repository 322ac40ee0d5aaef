"""The four seams: memory policy, motion model, selector, network. State goes in, state comes out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from framework.types import Candidates, Cue, Entry, Features, Image, Opaque, Outcome, Pick, Prompt, Query, Read, Reason

S = TypeVar("S")


class MemoryPolicy(ABC, Generic[S]):
    """Decides what is remembered and what is read. Fields are hyper-parameters; a video's state is a value.

    The state type `S` is the policy's own. All that is remembered sits in it, and what it no longer refers to is
    forgotten; `entries` must stay bounded however long the video.
    """

    @property
    def privileged(self) -> bool:
        """Receives `Outcome.truth` (oracle rows)."""
        return False

    @property
    def measures(self) -> bool:
        """Receives `Outcome.attention`."""
        return False

    @property
    def slots(self) -> int:
        """Temporal slots that it reads at most, beside that of the anchors."""
        return 0

    @abstractmethod
    def init(self) -> S:
        """Memory before the first frame of a video."""

    @abstractmethod
    def read(self, state: S, query: Query) -> Read:
        """What to attend to on the frame of `query`."""

    @abstractmethod
    def write(self, state: S, entry: Entry, outcome: Outcome) -> S:
        """Memory after a frame. `entry.scores.prompted` tells a prompt from a tracked frame.

        Prompts of later frames arrive first when a video is tracked offline, so `entry.frame` need not grow.
        """

    @abstractmethod
    def entries(self, state: S) -> Sequence[Entry]:
        """Everything still held."""

    def explain(self, state: S, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        """The numbers that decided the last `write`, of a tracked frame; `state` is the one it returned.

        They are recorded and decide nothing. Whoever overrides a decision overrides this.
        """
        return ()


@dataclass(frozen=True)
class Wrapped(MemoryPolicy[S]):
    """Does what `policy` does: a base for what changes a part of any policy."""

    policy: MemoryPolicy[S]

    @property
    def privileged(self) -> bool:
        return self.policy.privileged

    @property
    def measures(self) -> bool:
        return self.policy.measures

    @property
    def slots(self) -> int:
        return self.policy.slots

    def init(self) -> S:
        return self.policy.init()

    def read(self, state: S, query: Query) -> Read:
        return self.policy.read(state, query)

    def write(self, state: S, entry: Entry, outcome: Outcome) -> S:
        return self.policy.write(state, entry, outcome)

    def entries(self, state: S) -> Sequence[Entry]:
        return self.policy.entries(state)

    def explain(self, state: S, entry: Entry, outcome: Outcome) -> Sequence[Reason]:
        return self.policy.explain(state, entry, outcome)


class MotionModel(ABC, Generic[S]):
    """Predicts where the object should be and says how well each hypothesis agrees."""

    @abstractmethod
    def init(self) -> S:
        """State before the first frame of a video."""

    @abstractmethod
    def score(self, state: S, features: Features, candidates: Candidates) -> tuple[S, Cue | None]:
        """Predict, then judge the masks of one row (R = 1; `iou` is on the host); None abstains."""

    @abstractmethod
    def update(self, state: S, features: Features, outcome: Outcome) -> S:
        """State after the chosen mask is known; also called on prompted frames."""


class Selector(ABC):
    """Decides which hypotheses of an object live on."""

    hindsight: ClassVar[bool] = False
    """Branches keep their past, and the best branch answers for earlier frames too."""
    lag: int | None = None
    """Frames of past that a branch keeps before it is committed; None keeps all."""

    @abstractmethod
    def select(
        self, totals: Sequence[float], candidates: Sequence[Candidates], cues: Sequence[Cue | None]
    ) -> list[Pick]:
        """Best first. One running total, one candidate row (`iou`, `presence` on the host) and one cue per branch."""


@runtime_checkable
class Network(Protocol):
    """A stateless video-segmentation network. Rows are independent of one another."""

    @property
    def slots(self) -> int:
        """Temporal slots of a memory, beside that of the anchors."""

    @property
    def fill_hole_area(self) -> int:
        """Cells of the holes in a mask that its own video predictor fills."""

    def encode(self, image: Image, frame: int, length: int | None) -> Features:
        """Image features of one frame; the costly part, done once per frame."""

    def condition(self, features: Features, reads: Sequence[Read]) -> Float[Tensor, "R C y x"]:
        """Memory attention. All reads hold equally many spatial memories and equally many pointers."""

    def measure(
        self, features: Features, reads: Sequence[Read]
    ) -> tuple[Float[Tensor, "R C y x"], Float[Tensor, "R items y x"]]:
        """`condition`, and the share of each token's attention that each item received (mean over heads and layers)."""

    def decode(
        self,
        features: Features,
        conditioned: Float[Tensor, "R C y x"],
        presence_threshold: Float[Tensor, " R"],
    ) -> Candidates:
        """Three masks a row; rows whose object score is not above the threshold are absent."""

    def prompt(
        self,
        features: Features,
        prompts: Sequence[Prompt],
        conditioned: Float[Tensor, "R C y x"] | None = None,
        previous: Float[Tensor, "R h w"] | None = None,
    ) -> Candidates:
        """One mask a row (M = 1). A correction brings the conditioned features and the mask it corrects."""

    def memorise(
        self,
        features: Features,
        logits: Float[Tensor, "R h w"],
        presence: Float[Tensor, " R"],
        prompted: Bool[Tensor, " R"],
    ) -> list[Opaque]:
        """Memory features of each row, in a storage of its own; masks of prompted rows are binarised first."""

    def similarity(self, memory: Opaque, others: Sequence[Opaque]) -> Float[Tensor, " n"]:
        """How alike `memory` and each of n others are: the cosine of their features, -1..1, whatever n is."""

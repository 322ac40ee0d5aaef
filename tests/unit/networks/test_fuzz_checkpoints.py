"""Whatever a checkpoint holds: its weights, bit for bit, or one clear line."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from framework.errors import InputError
from framework.networks import micro
from framework.networks.checkpoints import load, read
from framework.ops import plugin_weights
from policies.components import read_gate

pytestmark = pytest.mark.slow
many = settings(max_examples=1000 * settings().max_examples // 100, deadline=None)

REFUSALS = (InputError, ValueError)
"""Of networks and of plug-ins, which entry points print alike."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(2, 2, bias=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


LAYOUT = {key: tuple(value.shape) for key, value in Net().state_dict().items()}


def result_or_line(action: Callable[[], Any]) -> Any:
    """What it returns; None where it refuses with one line."""
    try:
        return action()
    except REFUSALS as error:
        assert str(error).strip() and "\n" not in str(error)
        return None


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A path of its own at each call."""
    return lambda: tmp_path_factory.mktemp("fuzz") / "weights.pt"


@pytest.fixture(scope="module")
def embedded() -> SAM2Base:
    return micro.micro()


KINDS = [
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
]


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> Tensor:
    if shape is None:
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    value = torch.arange(max(1, torch.Size(shape).numel()), dtype=torch.float32)[: torch.Size(shape).numel()]
    value = (value.reshape(shape) - draw(st.sampled_from([0.0, 0.5, float("nan")]))).to(draw(st.sampled_from(KINDS)))
    match draw(st.integers(0, 12)):
        case 0:
            return value.to_sparse() if value.ndim else value
        case 1:
            return value.to("meta")
        case 2:
            return nn.Parameter(value, requires_grad=value.is_floating_point())
        case 3:
            return value.mT if value.ndim > 1 else value
    return value


others = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3), st.floats())
keys = st.one_of(st.sampled_from([*LAYOUT, "module.first.weight", "a\nb"]), st.integers(0, 3), st.none(), st.booleans())


@st.composite
def states(draw: st.DrawFn) -> dict[Any, Any]:
    """A right state, with some entries dropped, changed or added."""
    state: dict[Any, Any] = {key: draw(tensors(shape)) for key, shape in LAYOUT.items()}
    for key in draw(st.lists(st.sampled_from([*LAYOUT]), max_size=2)):
        state.pop(key, None)
    return {**state, **draw(st.dictionaries(keys, st.one_of(tensors(), tensors(), others), max_size=2))}


contents = st.one_of(
    states().map(lambda state: {"model": state}),
    states(),
    st.dictionaries(st.sampled_from(["model", "state_dict", "epoch", "a\nb"]), st.one_of(states(), others, tensors())),
    st.lists(st.one_of(others, tensors()), max_size=3),
    tensors(),
    others,
)


@many
@given(contents)
def test_dictionaries(fresh: Callable[[], Path], content: Any) -> None:
    path, net = fresh(), Net()
    torch.save(content, path)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    loaded = result_or_line(lambda: load(net, "edgetam", path, lambda name: {}, path.parent))
    for key, value in net.state_dict().items():
        wanted = before[key] if loaded is None else content["model"][key].to_dense().to(value.dtype)
        assert torch.equal(value.nan_to_num(), wanted.nan_to_num())
        assert loaded is None or content["model"][key].is_floating_point() == value.is_floating_point()


@many
@given(
    st.sampled_from([{}, {"_use_new_zipfile_serialization": False}]),
    st.integers(0, 1 << 20),
    st.integers(0, 255),
    st.sampled_from(["change", "cut", "insert", "end"]),
)
def test_damaged_bytes(fresh: Callable[[], Path], options: dict[str, Any], place: int, byte: int, damage: str) -> None:
    state = Net().state_dict()
    content = bytearray(saved({"model": state}, **options))
    place %= len(content)
    match damage:
        case "change":
            content[place] = byte
        case "cut":
            del content[place : place + 1 + byte]
        case "insert":
            content.insert(place, byte)
        case "end":
            del content[place:]
    path = fresh()
    path.write_bytes(content)
    found = result_or_line(lambda: read(path))
    if found is not None and not options:  # the older format has no checksums
        assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)


@many
@given(st.binary(max_size=40), st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"\x80\x02}q\x00", b"<"]))
def test_other_bytes(fresh: Callable[[], Path], content: bytes, head: bytes) -> None:
    path = fresh()
    path.write_bytes(head + content)
    assert result_or_line(lambda: read(path)) is None or content
    result_or_line(lambda: plugin_weights.load(lambda _: Net(), path, ["area"], 1, "judge"))
    result_or_line(lambda: read_gate.load(str(path)))


@many
@example({"inputs": list(read_gate.FEATURES), "version": {"weight": torch.eye(9)}})
@example({"inputs": list(read_gate.FEATURES), "version": read_gate.VERSION, "model": {"layers.0.bias": torch.ones(2)}})
@given(
    st.dictionaries(
        st.sampled_from(["model", "inputs", "version", "judge", "read_gate"]),
        st.one_of(states(), others, st.just(["area"]), st.just(list(read_gate.FEATURES)), st.just(read_gate.VERSION)),
    )
)
def test_plug_ins(fresh: Callable[[], Path], embedded: SAM2Base, content: dict[str, Any]) -> None:
    path, net = fresh(), Net()
    torch.save(content, path)
    result_or_line(lambda: plugin_weights.load(lambda _: net, path, ["area"], 1, "judge"))
    result_or_line(lambda: read_gate.load(str(path)))
    assert result_or_line(lambda: micro.load(embedded, path)) is None

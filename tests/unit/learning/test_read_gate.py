"""Training of learnable policies: data, gradients, reproducibility, resuming."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from experiments.train import train
from framework.data.procedural.dataset import Procedural
from framework.errors import InputError
from framework.learning.checkpoints import claim
from framework.learning.read_gate.clips import ClipSampler, VideoClipStream
from framework.learning.read_gate.detach import detached
from framework.learning.read_gate.module import ReadGateTraining
from framework.learning.supervised.training import EstimatorTraining
from framework.networks.build import facade
from framework.networks.micro import MicroSize, micro
from framework.types import Entry, Scores
from policies.components.bank import Bank
from policies.components.read_features import FEATURES
from policies.components.read_gate import ReadGate, load
from policies.learned_read_gate import LearnedReadGate
from policies.skip_absent import SkipAbsent
from policies.spread import Spread
from tests.composition import as_from_the_command_line
from tests.power import power_cut

SIZE, ALL = 64, -1e9
DATA = Procedural("train", "distractors", length=24, size=SIZE, targets=2)


def small_network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        built = micro(SIZE, MicroSize(width=32, memory_width=32, layers=1, feedforward=64, trunk_widths=(8, 16, 32)))
    return facade(lambda: built, device="cpu")


def small_learner(**options):
    policy = LearnedReadGate(ReadGate(8), Spread(presence=ALL, interval=2))
    return ReadGateTraining(small_network(), policy, presence_threshold=ALL, **{"followed": 0.0, **options})


# ------------------------------------------------------------------------------------------------------------ data


def test_a_clip_depends_on_seed_and_number_alone():
    def stream(seed, **part):
        return iter(VideoClipStream([DATA], ClipSampler(frames=3, burn_in=5), seed, **part))

    whole, odd, other = stream(0), stream(0, start=1, step=2), stream(1)
    first, second = next(whole), next(whole)
    assert all(np.array_equal(a, b) for a, b in zip(second.images, next(odd).images, strict=True))
    assert not np.array_equal(first.images[0], next(other).images[0])
    for clip in (first, second):
        assert len(clip.truth) == 3 and 1 <= clip.burn_in <= 6
        assert all(prompt.mask.any() for prompt in clip.prompts.values()) and len(clip.prompts) <= 2
        assert all(set(truth) == set(clip.prompts) for truth in clip.truth)


def test_data_without_masks_are_refused():
    short = Procedural("train", "distractors", length=4, size=SIZE)
    with pytest.raises(InputError, match=short.name):
        VideoClipStream([short], ClipSampler(frames=8), 0).draw(0)


# ------------------------------------------------------------------------------------------------------- gradients


def losses(module, clip, monkeypatch):
    logged = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    return module.training_step(clip, 0), logged


def test_the_gradient_reaches_the_gate_through_memory_attention(monkeypatch):
    module = small_learner()
    torch.nn.init.normal_(module.learned.layers[-1].weight)
    clip = VideoClipStream([DATA], ClipSampler(frames=2, burn_in=9), 0).draw(3)
    loss, logged = losses(module, clip, monkeypatch)
    loss.backward()
    assert loss.isfinite() and {"train/mask", "train/presence", "train/iou", "train/bias/spread"} <= set(logged)
    for name, parameter in module.learned.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name != "layers.4.bias":  # which the mean takes away again
            assert parameter.grad.abs().max() > 0, name
    assert not any(parameter.requires_grad for parameter in module.tracker.network.model.parameters())


def test_an_untrained_gate_has_a_gradient_to_start_with(monkeypatch):
    module = small_learner()
    loss, _ = losses(module, VideoClipStream([DATA], ClipSampler(frames=2, burn_in=9), 0).draw(3), monkeypatch)
    loss.backward()
    assert module.learned.layers[-1].weight.grad.abs().max() > 0


def test_an_object_that_is_lost_is_not_learned_from(monkeypatch):
    module = small_learner(followed=1.01)
    loss, logged = losses(module, VideoClipStream([DATA], ClipSampler(frames=2, burn_in=9), 0).draw(3), monkeypatch)
    loss.backward()
    assert loss == 0 and "train/mask" not in logged
    assert not any(parameter.grad.any() for parameter in module.learned.parameters())


def test_without_a_budget_there_is_no_hard_gate():
    assert set(small_learner(budget=None).variants) == {"soft", "soft at start"}
    assert set(small_learner().variants) == {"soft", "soft at start", "hard", "hard at start"}


def test_detached_values_share_what_they_shared():
    scores = Scores(1.0, 1.0, None, 1, False)
    made, plain = (
        Entry(t, torch.ones(2, requires_grad=grad) * 2, None, scores) for t, grad in enumerate((True, False))
    )
    bank, (again, first) = detached((Bank((made,), (plain,)), (made, plain)))
    assert again is bank.anchors[0] and not again.pointer.requires_grad and torch.equal(again.pointer, made.pointer)
    assert first is plain and made.pointer.requires_grad


def test_only_a_policy_with_an_open_gate_can_be_trained():
    for policy in (SkipAbsent(), LearnedReadGate(ReadGate(), budget=7)):
        with pytest.raises(InputError, match="learned_read_gate"):
            ReadGateTraining(small_network(), policy)


# ------------------------------------------------------------------------------------------------ the entry point


@pytest.fixture
def config(tmp_path):
    """A training of four steps with a validation after every second, as the command line would give it."""
    torch.set_num_threads(1)

    def composed(name="run", *more):
        video = [f"learner.data.{split}.{level}" for split in ("train", "val") for level in ("occlusion", "hard")]
        overrides = [
            *("learner=read_gate", "steps=4", "threads=1", "train_logger=csv", f"folder={tmp_path / name}"),
            *("backbone.checkpoint=random", "trainer.val_check_interval=2", "trainer.accumulate_grad_batches=1"),
            *("trainer.accelerator=cpu", "backbone.device=cpu", "learner.data.workers=0", *(f"~{v}" for v in video)),
            "trainer.callbacks.1.seconds=1.0e9",  # states after validations alone, however slow the machine
            *(
                "learner.data.sampler.frames=1",
                "learner.data.sampler.burn_in=2",
                "learner.data.train.distractors.length=8",
            ),
            *("learner.data.val.distractors.limit=1", "learner.data.val.distractors.length=4"),
            *(
                "learner.module.presence_threshold=-1.0e9",
                "learner.module.followed=0.0",
                "policy.policy.presence=-1.0e9",
                *more,
            ),
        ]
        return as_from_the_command_line("train", overrides)

    yield composed
    GlobalHydra.instance().clear()


def weights(config):
    state = torch.load(Path(config.folder) / "last.ckpt", weights_only=True)
    return state["global_step"], torch.cat([value.flatten() for value in state["state_dict"].values()])


def test_training_repeats_and_goes_on_bit_for_bit(config, capsys):
    """A training that breaks off in its fourth step and is started again ends as one that ran through."""
    whole, cut = config("whole"), config("cut")
    train(whole)
    printed = capsys.readouterr().out.splitlines()
    told = [line for line in printed if line and not line.startswith("steps: ")]  # progress, on a slow machine
    defined = [line for line in told if line.startswith("  ")]
    assert [line.split(":")[0].strip() for line in defined] == list(ReadGateTraining.definitions)
    told = [line for line in told if line not in defined]
    assert [line.split("  val/J ")[0] for line in told[:2]] == ["step 2", "step 4"]
    assert told[2].startswith("weights") and len(told) == 3
    with power_cut(ReadGateTraining, at=3):
        train(cut)
    assert weights(cut)[0] == 2 and not Path(cut.weights).exists()
    halfway = weights(cut)[1]
    train(cut)
    (reached, expected), (steps, resumed) = weights(whole), weights(cut)
    assert reached == steps == 4 and torch.equal(resumed, expected) and not torch.equal(resumed, halfway)
    features = torch.rand(4, len(FEATURES))
    assert torch.equal(load(cut.weights)(features), load(whole.weights)(features))
    curves = (Path(whole.folder) / "log/version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/loss", "train/gradient", "train/bias/spread", "val/soft", "val/hard_minus_initial", "val/J"} <= set(
        curves
    )


def test_what_was_learned_since_the_last_validation_is_kept(config):
    whole = config("whole", "trainer.accumulate_grad_batches=2", "trainer.val_check_interval=4")
    cut = config(
        "cut", "trainer.accumulate_grad_batches=2", "trainer.val_check_interval=4", "trainer.callbacks.1.seconds=0.0"
    )
    train(whole)
    with power_cut(ReadGateTraining, at=3):
        train(cut)
    assert weights(cut)[0] == 3  # of 4; validations are after steps 2 and 4
    train(cut)
    (reached, expected), (steps, resumed) = weights(whole), weights(cut)
    assert reached == steps == 4 and torch.equal(resumed, expected)


def test_rounds_go_on_with_the_one_that_was_broken_off(config, tmp_path):
    def rounds(name):
        options = [
            *("learner=judge", "steps=2", "trainer.max_epochs=3", "threads=1", "train_logger=csv"),
            *(f"folder={tmp_path / name}", f"learner.data.cache={tmp_path / 'cache'}", "backbone.checkpoint=random"),
            *("trainer.accelerator=cpu", "backbone.device=cpu", "learner.data.workers=0", "learner.data.videos=2"),
            "trainer.callbacks.1.seconds=1.0e9",
            *("learner.data.held_out=1", "learner.data.data.videos.length=6", "learner.module.validation.limit=1"),
        ]
        return as_from_the_command_line("train", options)

    whole, cut = rounds("whole"), rounds("cut")
    train(whole)
    with power_cut(EstimatorTraining, at=5):
        train(cut)
    assert weights(cut)[0] == 4
    train(cut)
    (reached, expected), (steps, resumed) = weights(whole), weights(cut)
    assert reached == steps == 6 and torch.equal(resumed, expected)


def test_a_folder_belongs_to_one_configuration(tmp_path):
    assert claim(tmp_path / "run", "rate: 1") is None
    torch.save({"state_dict": {}}, tmp_path / "run" / "last.ckpt")
    assert claim(tmp_path / "run", "rate: 1") == tmp_path / "run" / "last.ckpt"
    with pytest.raises(InputError, match=r"another configuration \(rate: 1, now 2; data: null, now .*\): give"):
        claim(tmp_path / "run", "rate: 2\ndata: {size: 3}")
    (tmp_path / "run" / "last.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"last.ckpt is damaged: remove it to begin again"):
        claim(tmp_path / "run", "rate: 1")


def test_a_trainer_that_cannot_be_is_refused_before_anything_is_written(config, tmp_path):
    with pytest.raises(InputError, match=r"trainer: .*devices=0"):
        train(config("none", "trainer.devices=0"))
    assert not list(tmp_path.iterdir())

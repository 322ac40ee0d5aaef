"""Pretraining from the command's own configuration: weights that load, and going on where it was stopped."""

from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from experiments.pretrain import pretrain
from framework.learning.pretraining.module import Pretraining
from framework.networks.micro import network
from framework.networks.photo import photo
from tests.composition import as_from_the_command_line
from tests.fakes.cutouts import write_folders
from tests.power import power_cut

SMALL = (
    *("train_logger=csv", "threads=1", "minutes=55.0", "trainer.accelerator=cpu", "+trainer.max_steps=3"),
    *("module.curriculum.videos=1", "module.curriculum.sequence_videos=1", "module.curriculum.sequential_from=0.0"),
    *("module.curriculum.burn_in=[1,1]", "module.curriculum.learned=2", "module.half_encoder=false"),
    *("data.workers=0", "data.videos=1", "data.frames=3", "trainer.val_check_interval=2"),
    *("trainer.callbacks.1.update_starting_at_step=1", "trainer.callbacks.2.every_n_train_steps=1"),
)


@pytest.fixture
def config(tmp_path):
    torch.set_num_threads(1)
    yield as_from_the_command_line("pretrain", [*SMALL, f"folder={tmp_path}"])
    GlobalHydra.instance().clear()


def reached(config):
    state = torch.load(Path(config.folder) / "last.ckpt", weights_only=True)
    return state["global_step"], state["spent"]


def test_a_training_that_broke_off_goes_on_and_writes_weights_that_load(config):
    with power_cut(Pretraining, at=1):
        pretrain(config)
    steps, spent = reached(config)
    assert steps == 1
    pretrain(config)
    assert reached(config)[0] == 3 and reached(config)[1] > spent
    trained, fresh = network(config.weights).model.state_dict(), network("random").model.state_dict()
    assert all(value.isfinite().all() for value in trained.values())
    assert any(not torch.equal(trained[name], fresh[name]) for name in trained)
    (curves,) = Path(config.folder).rglob("metrics.csv")
    assert {"val/calm/J", "val/hard/J"} <= set(curves.read_text().splitlines()[0].split(","))


def test_photographic_clips_train_a_network_grown_from_the_embedded_one(tmp_path):
    root = write_folders(tmp_path / "pictures")
    where = (f"data.photographs.sprites={root / 'sprites'}", f"data.photographs.backgrounds={root / 'grounds'}")
    small = ("module.network.image_size=128", "data.photographic=1.0", f"folder={tmp_path / 'photo'}", *where)
    config = as_from_the_command_line("pretrain", ["+pretraining=photo", *SMALL, *small])
    torch.set_num_threads(1)
    pretrain(config)
    GlobalHydra.instance().clear()
    assert reached(config)[0] == 3
    trained, before = torch.load(config.weights, weights_only=True)["model"], photo(128, initial="micro").state_dict()
    assert trained.keys() == before.keys() and all(value.isfinite().all() for value in trained.values())
    assert trained["image_encoder.trunk.context.0.gather.weight"].any()
    (curves,) = Path(config.folder).rglob("metrics.csv")
    assert {"val/distractors/J", "val/photo_calm/J"} <= set(curves.read_text().splitlines()[0].split(","))

"""Train the embedded network on the procedural benchmark: `python -m experiments.pretrain minutes=55`."""

from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig


@hydra.main(config_path="pkg://conf", config_name="pretrain", version_base="1.3")
def main(config: DictConfig) -> None:
    """Go on from the folder's last checkpoint when there is one."""
    torch.set_num_threads(config.threads)
    pl.seed_everything(config.seed)
    module = instantiate(config.module, network=instantiate(config.network))
    if config.initial is not None:
        module.network.load_state_dict(torch.load(config.initial, weights_only=True)["model"])
    trainer = instantiate(config.trainer, logger=instantiate(config.logger))
    last = Path(config.folder) / "last.ckpt"
    trainer.fit(module, instantiate(config.data), ckpt_path=str(last) if last.exists() else None, weights_only=False)


if __name__ == "__main__":
    main()

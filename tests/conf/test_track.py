"""The command that tracks one video, with the embedded network: untrained, since only its plumbing is at stake."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from pycocotools import mask as rle

from experiments import track
from tests.conf.test_ablate import call
from tests.fakes.colour import square_mask, write_folder, write_video

MICRO = "backbone.checkpoint=random"
UNSEEN = "object 1 was never seen again after the prompt: "
"""What the untrained network comes to."""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4", 8)


def test_tracks_a_video_into_its_own_folder(capsys):
    threads = torch.get_num_threads()
    assert call(track.main, "source=clip.mp4", "prompt.box=[0,16,16,32]", MICRO) == 0
    shown = capsys.readouterr()
    assert "8 frames at" in shown.out and "outputs/track/clip-sam2" in shown.out
    assert shown.err.startswith(UNSEEN) and shown.err.count("\n") == 1
    output = Path("outputs/track/clip-sam2")
    assert len(json.loads((output / "masks.json").read_text())) == 8
    assert json.loads((output / "run.json").read_text())["configuration"]["tracker"]["policy"]["slots"] == 6
    assert sorted(path.name for path in Path().iterdir()) == ["clip.mp4", "outputs"]
    assert threads == torch.get_num_threads()


def test_policies_prompts_and_outputs_are_chosen(tmp_path):
    write_folder(tmp_path / "frames", 6)
    prompts = [{"object": 2, "box": [0, 16, 16, 32]}, {"object": 4, "frame": 3, "points": [[10, 20]]}]
    (tmp_path / "p.json").write_text(json.dumps(prompts))
    options = ["source=frames", "prompts=p.json", "policy=keep_first", "outputs=[memory.json,masks.json]", "output=o"]
    assert call(track.main, *options, MICRO) == 0
    memory = json.loads(Path("o/memory.json").read_text())
    assert [(item["frame"], item["object"]) for item in memory] == [(0, 2), (1, 2), (2, 2)] + [
        (frame, key) for frame in (3, 4, 5) for key in (2, 4)
    ]
    assert {tuple(map(tuple, item["spatial"])) for item in memory if item["frame"] > 3} == {((0, -1),), ((3, -1),)}
    assert sorted(path.name for path in Path("o").iterdir()) == ["masks.json", "memory.json", "run.json"]


def test_some_frames_of_a_video_keep_their_numbers(capsys):
    options = ["source=clip.mp4", "first=2", "last=7", "stride=2", "prompt.box=[4,16,20,32]"]
    assert call(track.main, *options, "direction=both", MICRO) == 0
    output = Path("outputs/track/clip-sam2-first=2-last=7-stride=2-both")
    assert " frames at" in capsys.readouterr().out
    assert [item["image_id"] for item in json.loads((output / "masks.json").read_text())] == [2, 4, 6]
    assert sorted(path.name for path in (output / "masks").iterdir()) == ["00002.png", "00004.png", "00006.png"]
    assert [line.split(",")[0] for line in (output / "boxes.csv").read_text().splitlines()[1:]] == ["2", "4", "6"]
    about = json.loads((output / "run.json").read_text())["configuration"]
    assert (about["first"], about["stride"], about["length"]) == (2, 2, 3)
    assert call(track.main, *options, "prompt.frame=0", MICRO) == 2
    assert capsys.readouterr().err == "prompt is for frame 0, and frames 2 to 6 are tracked\n"
    assert call(track.main, *options, "output=o", MICRO) == 0
    assert call(track.main, *options, "stride=1", "output=o", MICRO) == 2
    assert "o holds results of another configuration (" in capsys.readouterr().err


def test_some_frames_of_a_sequence_are_compared_with_their_truth(capsys):
    options = ["data=calm", "data.limit=1", "data.length=12", "last=8", "stride=4", "backbone=micro", "output=o"]
    assert call(track.main, *options, "outputs=[boxes.csv]") == 0
    rows = [line.split(",") for line in Path("o/boxes.csv").read_text().splitlines()[1:]]
    assert [row[0] for row in rows] == ["0", "4", "8"] and min(float(row[-1]) for row in rows) > 0.5
    assert call(track.main, *options, "first=1") == 2
    assert "the prompt of object 1 is for frame 0, and frames 1 to 5 are tracked" in capsys.readouterr().err


def test_a_mask_prompt_is_shown_as_it_was_given(tmp_path):
    from PIL import Image

    Image.fromarray(square_mask(0)).save(tmp_path / "m.png")
    assert call(track.main, "source=clip.mp4", "prompt.mask=m.png", "frames=2", "output=o", MICRO) == 0
    first = json.loads(Path("o/masks.json").read_text())[0]
    mask = rle.decode(first["segmentation"]).astype(bool)
    assert (mask & square_mask(0)).sum() / (mask | square_mask(0)).sum() > 0.8


def test_a_sweep_has_one_folder_per_policy():
    options = ["source=clip.mp4", "prompt.box=[0,16,16,32]", "frames=2", "outputs=[boxes.csv]", MICRO]
    assert call(track.main, "-m", "policy=sam2,no_memory", *options) == 0
    assert sorted(path.parent.name for path in Path("outputs/track").glob("*/boxes.csv")) == [
        "clip-no_memory",
        "clip-sam2",
    ]


def test_a_broken_video_is_tracked_up_to_there(tmp_path, capsys):
    write_video(tmp_path / "cut.mp4", 40)
    content = (tmp_path / "cut.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) * 6 // 10])
    assert call(track.main, "source=cut.mp4", "prompt.box=[0,16,16,32]", "output=o", MICRO) == 2
    line = capsys.readouterr().err.strip()
    frames = len(json.loads(Path("o/masks.json").read_text()))
    assert "\n" not in line and f"frame {frames} of 40" in line and 5 < frames < 40
    assert json.loads(Path("o/run.json").read_text())["ended"] == line


def test_hydra_may_be_initialised_already(monkeypatch):
    """Importing sam2 does that."""
    GlobalHydra.instance().clear()
    initialize_config_module("sam2", version_base="1.2")
    monkeypatch.setattr(
        sys, "argv", ["track", "source=clip.mp4", "prompt.box=[0,16,16,32]", "frames=1", "output=o", MICRO]
    )
    track.main()
    assert Path("o/run.json").exists()


def run(*options: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """A process of its own, with `before` run first in it."""
    code = f"import sys; sys.argv = ['track', *{options!r}]; {before}\nfrom experiments.track import main; main()"
    root = Path(track.__file__).parents[1]
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(root)})


def test_as_a_process_of_its_own():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.track", "source=clip.mp4", "prompt.box=[0,16,16,32]", "output=o", MICRO],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(track.__file__).parents[1])},
    )
    assert done.returncode == 0 and "8 frames at" in done.stdout
    assert done.stderr.startswith(UNSEEN) and done.stderr.count("\n") == 1
    masks = json.loads(Path("o/masks.json").read_text())
    assert np.mean([item["area"] for item in masks]) > 0


def test_a_disk_that_fills_up():
    """Files may not grow beyond 2 kB here, which the operating system enforces as it does a full disk."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    options = ("source=clip.mp4", "prompt.box=[0,16,16,32]", "outputs=[overlay.mp4,masks.json]", "output=o", MICRO)
    done = run(*options, before=limit)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "choose a folder that can be written and has room" in done.stderr
    assert not Path("o").exists()


def test_an_interrupted_command_goes_on_when_it_is_given_again(capfd):
    """Ctrl-C comes while the sixth frame is written, in a process of its own."""
    write_video(Path("long.mp4"), 12)
    options = ("source=long.mp4", "prompt.box=[0,16,16,32]", "outputs=[masks.json,boxes.csv]", "threads=1", MICRO)
    interrupting = """
import os, signal
from framework.inference import writers
written = writers.BoxTable.write
def write(self, frame):
    written(self, frame)
    if frame.frame == 5:
        os.kill(os.getpid(), signal.SIGINT)
writers.BoxTable.write = write
"""
    done = run(*options, "output=o", before=interrupting)
    assert done.returncode == 130
    line = "interrupted after frame 5, and o holds what came before; the same command goes on from there"
    assert done.stderr == f"{line}\n"
    about = json.loads(Path("o/run.json").read_text())
    assert (about["frames"], about["complete"], about["ended"]) == (6, False, line)
    done = run(*options, "output=o")
    assert done.returncode == 0 and "o: goes on after 6 frames" in done.stdout and "12 frames at" in done.stdout
    assert run(*options, "output=whole").returncode == 0
    for name in ("masks.json", "boxes.csv", "run.json"):
        assert (Path("o") / name).read_bytes() == (Path("whole") / name).read_bytes()
    assert sorted(item.name for item in Path("o").iterdir()) == ["boxes.csv", "masks.json", "run.json"]


def test_a_prompt_behind_what_a_video_shows_is_refused_at_once(capsys):
    assert call(track.main, "source=clip.mp4", "prompt.box=[0,16,16,32]", "prompt.frame=8", "output=o", MICRO) == 2
    assert (
        "is for frame 8 but the video has 8 frames: give 0 to 7" in capsys.readouterr().err and not Path("o").exists()
    )


def test_without_a_backbone_the_best_weights_are_taken_and_said(tmp_path, monkeypatch, capsys):
    """Nothing is here and nothing is fetched: the embedded network for photographs, which another one replaces."""
    monkeypatch.setenv("ENGRAM_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    options = ("source=clip.mp4", "prompt.box=[0,16,16,32]", "frames=2", "outputs=[boxes.csv]")
    assert call(track.main, *options, "output=best", "backbone.fetch=false") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("backbone=photo, embedded, as no checkpoint is here or can be fetched (fetching is off): ")
    assert call(track.main, *options, "output=photo", "backbone=photo") == 0
    assert "backbone=" not in capsys.readouterr().err
    assert Path("best/boxes.csv").read_bytes() == Path("photo/boxes.csv").read_bytes()


def test_a_network_of_drawn_videos_is_not_given_photographs_unsaid(tmp_path, capsys):
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "photographs").mkdir()
    for index in range(3):
        light = rng.normal(120, 25, (128, 128, 1)) * (1.0, 0.9, 0.75)
        Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).save(tmp_path / "photographs" / f"{index}.png")
    options = ("source=photographs", "prompt.box=[0,16,16,32]", "outputs=[boxes.csv]", "backbone=micro")
    assert call(track.main, *options, "output=micro") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "knows drawn videos alone" in line]
    assert len(lines) == 1
    assert call(track.main, *options, "output=random", MICRO) == 0
    assert "knows drawn videos alone" not in capsys.readouterr().err

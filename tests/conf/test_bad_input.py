"""Whatever a user gets wrong with `experiments.track` is one line that names it, exit code 2, and nothing written."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from experiments import track
from framework.inference import folder as tracks
from framework.inference import writers as outputs
from tests.conf.test_ablate import call
from tests.fakes.colour import square, square_mask, write_folder, write_video

CLIP = "source=clip.mp4"
BOX = "prompt.box=[0,16,16,32]"

BAD: dict[str, tuple[list[str], str]] = {
    # sources
    "no source": ([BOX], "what is to be tracked? give source=FILE, or data=NAME and sequence=NAME"),
    "missing video": (["source=nope.mp4", BOX], "nope.mp4: no such video or folder; give a video file"),
    "not a video": (["source=text.mp4", BOX], "text.mp4: cannot be opened as a video"),
    "video without its end": (["source=noindex.mp4", BOX], "noindex.mp4: cannot be opened as a video"),
    "empty folder": (["source=empty", BOX], "empty holds no .png, .jpg, .jpeg files: give a folder of frames"),
    "single image": (["source=mask.png", BOX], "mask.png is a single image: give the folder"),
    "corrupt first image": (["source=rubbish", BOX], "frame0.png: cannot be read as an image"),
    "no camera": (["source=93", BOX], "camera 93 gives no image"),
    "no stream": (["source=rtsp://127.0.0.1:9/x", BOX], "rtsp://127.0.0.1:9/x: cannot be opened as a video"),
    "no frames": ([CLIP, BOX, "frames=0"], "frames=0 must be 1 or more"),
    "frames in words": ([CLIP, BOX, "frames=ten"], "frames=ten is of a wrong type: give a whole number or null"),
    # prompts
    "no prompt": ([CLIP], "no prompt: give prompt.mask=FILE, prompt.box="),
    "missing mask": ([CLIP, "prompt.mask=nope.png"], "nope.png: no such mask"),
    "mask of another size": ([CLIP, "prompt.mask=small.png"], "the mask is 32x24 but the video is 64x48; resize"),
    "empty mask": ([CLIP, "prompt.mask=black.png"], "black.png: the mask is empty; paint the object"),
    "corrupt mask": ([CLIP, "prompt.mask=text.mp4"], "text.mp4: cannot be read as an image"),
    "bound without truth": (
        [CLIP, BOX, "policy=oracle_gate"],
        "OracleGate decides by true masks, which are not shown to it here: give another policy=",
    ),
    "blurred mask": ([CLIP, "prompt.mask=mask.jpg"], "mask.jpg: JPEG blurs masks into more objects; save it as a"),
    "coloured mask": ([CLIP, "prompt.mask=frames/frame0.png"], "the mask is a colour image"),
    "box outside": ([CLIP, "prompt.box=[70,0,90,20]"], "box=[70,0,90,20] is outside the 64x48 video"),
    "box partly outside": ([CLIP, "prompt.box=[50,0,90,20]"], "partly outside the 64x48 video; give [50,0,64,20]"),
    "box without area": ([CLIP, "prompt.box=[9,9,9,20]"], "box=[9,9,9,20] has no area"),
    "box of three": ([CLIP, "prompt.box=[1,2,3]"], "box=[1, 2, 3] must be [xmin,ymin,xmax,ymax] in pixels"),
    "box in words": ([CLIP, "prompt.box=left"], "prompt.box=left is of a wrong type: give a list or null"),
    "point outside": ([CLIP, "prompt.points=[[64,5]]"], "point=[64,5] is outside the 64x48 video"),
    "labels for other points": ([CLIP, "prompt.points=[[6,5]]", "prompt.labels=[1,0]"], "must be one per point"),
    "two kinds of prompt": ([CLIP, BOX, "prompt.mask=mask.png"], "a mask and a box or points"),
    "prompt past the end": ([CLIP, BOX, "prompt.frame=8"], "is for frame 8 but the video has 8 frames: give 0 to 7"),
    "prompt is a number": ([CLIP, "prompt=3"], "3 stands where a group of options should"),
    "missing prompt file": ([CLIP, "prompts=nope.json"], "nope.json: no such prompt file"),
    "broken prompt file": ([CLIP, "prompts=broken.json"], "broken.json: not valid JSON"),
    "unknown field": ([CLIP, "prompts=typo.json"], "typo.json, prompt 1: unknown field 'bx': did you mean box?"),
    "frame past the end in a file": ([CLIP, "prompts=late.json"], "late.json, prompt 2 is for frame 30"),
    "prompts twice": ([CLIP, BOX, "prompts=late.json"], "prompts=late.json and prompt.box cannot both be given"),
    # checkpoints
    "missing checkpoint": ([CLIP, BOX, "backbone.checkpoint=nope.pt"], "nope.pt does not exist"),
    "not a checkpoint": ([CLIP, BOX, "backbone.checkpoint=text.mp4"], "text.mp4 is not a checkpoint"),
    "wrong checkpoint": ([CLIP, BOX, "backbone.checkpoint=other.pt"], "other.pt"),
    "truncated checkpoint": ([CLIP, BOX, "backbone.checkpoint=cut.pt"], "cut.pt is truncated or damaged"),
    # options
    "unknown policy": ([CLIP, BOX, "policy=sma2"], "unknown policy 'sma2': choose one of dam4sam, every_nth"),
    "unknown motion": ([CLIP, BOX, "motion=magic"], "unknown motion 'magic': choose one of "),
    "unknown backbone": (
        [CLIP, BOX, "backbone=sam4"],
        "unknown backbone 'sam4': choose one of auto, edgetam, efficienttam",
    ),
    "unknown option": ([CLIP, BOX, "ouput=o"], "unknown option 'ouput': did you mean output"),
    "unknown policy option": ([CLIP, BOX, "policy.slot=3"], "unknown option 'policy.slot': did you mean slots?"),
    "option that is not listed": (
        [CLIP, BOX, "policy=oracle_gate", "policy.max_anchors=3"],
        "option 'policy.max_anchors' is left to its default: write +policy.max_anchors=... to change it",
    ),
    "unknown option of the backbone": (
        [CLIP, BOX, "backbone=micro", "+backbone.colour=3"],
        "unknown option 'backbone.colour': (valid: checkpoint, ",
    ),
    "size that no backbone has": (
        [CLIP, BOX, "backbone=micro", "backbone.size.width=50"],
        "backbone.size: the embedded network's width is a multiple of 8 and of memory_width (64), not 50",
    ),
    "added policy option": ([CLIP, BOX, "+policy.magic=3"], "unknown option 'policy.magic': (valid: "),
    "policy option in words": ([CLIP, BOX, "policy.slots=many"], "policy.slots=many is of a wrong type: give a whole"),
    "refused value": ([CLIP, BOX, "policy.slots=-3"], "policy"),
    "more slots than the network has": (
        [CLIP, BOX, "policy.slots=100"],
        "Sam2 reads 100 temporal slots, and the network has 6: use at most 6",
    ),
    "unknown output": ([CLIP, BOX, "outputs=[mask]"], "unknown output 'mask': did you mean masks"),
    "outputs in words": ([CLIP, BOX, "outputs=all"], "outputs=all is of a wrong type: give a list of text"),
    "overwrite in words": ([CLIP, BOX, "overwrite=maybe"], "overwrite=maybe is of a wrong type: give true or false"),
    "threads of zero": ([CLIP, BOX, "threads=0"], "threads=0 must be 1 or more"),
    "flag": ([CLIP, BOX, "--verbose"], "unrecognized arguments: --verbose"),
    "no equals sign": ([CLIP, BOX, "overwrite"], "cannot read the option 'overwrite': write key=value"),
    "open bracket": ([CLIP, "prompt.box=[1,2"], "cannot read the option 'prompt.box=[1,2': write key=value"),
    # outputs
    "output is a file": ([CLIP, BOX, "output=text.mp4"], "output=text.mp4 is a file: give a folder"),
    "output below a file": ([CLIP, BOX, "output=text.mp4/o"], "text.mp4"),
    "output in use": ([CLIP, BOX, "output=frames"], "frames holds files that are not results of this command: choose"),
    "output of another configuration": (
        [CLIP, BOX, "output=done", "policy.slots=3"],
        "done holds results of another configuration (tracker.policy.slots: 6, now 3): choose another output=",
    ),
    "output of another prompt": (
        [CLIP, "prompt.box=[0,16,16,30]", "output=done"],
        "done holds results of another configuration (prompts.prompts.0.1.box",
    ),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the cases name."""
    root = tmp_path_factory.mktemp("material")
    write_video(root / "clip.mp4", 8)
    write_video(root / "noindex.mp4", 40, faststart=False)
    whole = (root / "noindex.mp4").read_bytes()
    (root / "noindex.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "text.mp4").write_text("neither a video nor an image nor weights " * 50)
    (root / "empty").mkdir()
    write_folder(root / "frames", 3)
    (root / "rubbish").mkdir()
    (root / "rubbish" / "frame0.png").write_bytes(b"rubbish")
    Image.fromarray(square_mask(0)).save(root / "mask.png")
    Image.fromarray(255 * square_mask(0).astype(np.uint8)).save(root / "mask.jpg")
    Image.fromarray(square_mask(0)[::2, ::2]).save(root / "small.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(root / "black.png")
    (root / "broken.json").write_text('[{"box": [1, 2')
    (root / "typo.json").write_text('[{"bx": [1, 2, 3, 4]}]')
    (root / "late.json").write_text('[{"box": [1, 2, 3, 4]}, {"box": [1, 2, 3, 4], "frame": 30}]')
    torch.save({"model": {"weight": torch.zeros(3)}}, root / "other.pt")
    torch.save({"model": {"weight": torch.zeros(3000)}}, root / "cut.pt")
    (root / "cut.pt").write_bytes((root / "cut.pt").read_bytes()[:6000])
    return root


@pytest.fixture
def workplace(material: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(material)
    if not (material / "done").exists():
        assert call(track.main, CLIP, BOX, "output=done", "backbone.checkpoint=random") == 0
    return material


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case: str, workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options, words = BAD[case]
    before = contents(workplace)
    defaults = [] if any(item.startswith("backbone.checkpoint") for item in options) else ["backbone.checkpoint=random"]
    assert call(track.main, *options, *defaults) == 2
    shown = capfd.readouterr()
    assert shown.err.count("\n") == 1 and words in shown.err, shown.err
    assert contents(workplace) == before


def refuse_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    def mkdir(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)


def fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: object, frame: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "boxes.csv")

    monkeypatch.setattr(outputs.BoxTable, "write", write)


def fill_the_disk_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(tracks, "write_atomic", write)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (refuse_to_write, "Read-only file system; choose a folder that can be written"),
        (fill_the_disk, "boxes.csv: No space left on device; choose a folder that can be written and has room"),
        (fill_the_disk_at_the_end, "No space left on device; choose"),
    ],
)
def test_output_that_cannot_be_written(
    trouble: Callable[[pytest.MonkeyPatch], None],
    words: str,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = contents(workplace)
    trouble(monkeypatch)
    assert call(track.main, CLIP, BOX, "output=new/deep", "frames=3", "backbone.checkpoint=random") == 2
    shown = capfd.readouterr()
    assert shown.err.count("\n") == 1 and words in shown.err, shown.err
    assert contents(workplace) == before


def test_a_corrupt_frame_comes_after_the_results_before_it(workplace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_folder(workplace / "late", 4)
    Image.fromarray(square(0)[:40]).save(workplace / "late" / "frame3.png")
    assert call(track.main, "source=late", BOX, "output=partly", "backbone.checkpoint=random") == 2
    shown = capfd.readouterr()
    assert shown.err.count("\n") == 1 and "frame3.png (frame 3) is 64x40 but the first frame is 64x48" in shown.err
    assert len(json.loads((workplace / "partly" / "masks.json").read_text())) == 3


def test_a_bug_keeps_its_trace(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("framework.inference.plan.stream", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        call(track.main, CLIP, BOX, "output=bug", "backbone.checkpoint=random")
    assert not (workplace / "bug").exists()


def test_in_a_process_of_its_own(workplace: Path) -> None:
    options = [CLIP, BOX, "policy=sma2", "output=o"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.track", *options],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(track.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("unknown policy 'sma2': choose one of ")
    assert not (workplace / "o").exists()

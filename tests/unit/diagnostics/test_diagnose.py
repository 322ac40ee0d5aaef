"""What a diagnosis of a backbone reports."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from framework.data.procedural.dataset import Procedural
from framework.data.readers.folder import AnyFolder
from framework.diagnostics.backbone import ColourHistogram, Findings, diagnose
from framework.errors import InputError
from framework.networks.micro import network
from framework.tracker import Tracker
from policies.oracle_masks import OracleMasks
from policies.sam2 import Sam2
from policies.skip_absent import SkipAbsent
from tests.miniatures import write_frames, write_labels, write_text


def test_every_frame_is_counted_once():
    data = Procedural("val", "hard", length=20)
    with torch.no_grad():
        findings = diagnose(Tracker(network("random"), Sam2()), data, 2)
    videos = [data.sequence(i) for i in range(2)]
    visible = sum(video.visible(t) for video in videos for t in range(1, 20))
    assert len(findings.box_prompt) == 2
    assert len(findings.found) == len(findings.overlap) == len(findings.predicted) == visible
    assert len(findings.frozen) == len(findings.coloured) == visible
    assert len(findings.missed) == 38 - visible
    areas = [[video.truth(t)[1].sum() for t in range(20)] for video in videos]
    assert len(findings.found_well) == sum(area > one[0] / 4 for one in areas for area in one[1:]) < visible
    assert all(0 <= value <= 1 for value in findings.overlap + findings.predicted)


def test_a_bound_sees_the_truth():
    """True memories are what tells a network that misjudges from one that lost its object."""
    data, net = Procedural("val", "occlusion", length=12), network()
    with torch.no_grad():
        plain, bound = (diagnose(Tracker(net, policy), data, 1) for policy in (SkipAbsent(), OracleMasks()))
    assert len(bound.overlap) == len(plain.overlap) and bound.overlap != plain.overlap


def test_frames_without_annotation_are_passed_over(tmp_path):
    video = Procedural("val", "distractors", length=7).sequence(0)
    (tmp_path / "clip/frames").mkdir(parents=True)
    for t in range(video.length):
        Image.fromarray(video.frame(t)).save(tmp_path / f"clip/frames/{t}.png")
        if t % 3 == 0:
            write_labels(tmp_path / f"clip/masks/{t}.png", video.truth(t)[1])
    with torch.no_grad():
        findings = diagnose(Tracker(network("random"), OracleMasks()), AnyFolder(str(tmp_path)), 1)
    assert len(findings.found) + len(findings.missed) == 2


def test_data_without_masks_are_refused(tmp_path):
    write_frames(tmp_path / "clip/frames", 2)
    write_text(tmp_path / "clip/boxes.txt", "3,4,9,8\n3,4,9,8\n")
    with pytest.raises(InputError, match="clip comes without true masks"):
        diagnose(Tracker(network("random"), Sam2()), AnyFolder(str(tmp_path)), 1)


def test_the_summary_ranks_and_averages():
    findings = Findings(
        overlap=[0.1, 0.4, 0.9], predicted=[0.2, 0.3, 0.99], found=[True, True, False], alternative_near=[True, False]
    )
    summary = findings.summary()
    assert summary["IoU calibration (Spearman)"] == 1.0
    assert summary["alternative, look-alike near"] == 0.5
    assert math.isclose(summary["visible frames right"], 2 / 3)
    assert math.isnan(summary["absent frames right"])


def test_the_colour_histogram_follows_a_colour():
    def frame(x: int) -> np.ndarray:
        image = np.full((60, 80, 3), (40, 60, 200), dtype=np.uint8)
        image[20:32, x : x + 12] = (220, 40, 30)
        return image

    mask = np.zeros((60, 80), dtype=bool)
    mask[20:32, 10:22] = True
    colours = ColourHistogram(frame(10), mask)
    for x in range(13, 60, 3):
        moved = colours.follow(frame(x))
        assert moved[20:32, x : x + 12].mean() > 0.8 and moved.sum() == 144

"""Small copies of the layouts of public data sets, drawn by the tests."""

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def square(left, top, side=6):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


NOTHING = np.zeros((HEIGHT, WIDTH), dtype=bool)


def write_frames(folder, count, first=1, digits=8, suffix=".jpg"):
    """Frame i (from 0) is grey at level 10 (i % 25), so that a test can tell which one it got."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = np.full((HEIGHT, WIDTH, 3), 10 * (index % 25), np.uint8)
        cv2.imwrite(str(folder / f"{index + first:0{digits}d}{suffix}"), image)


def shown(video, index):
    """Which frame of `write_frames` this is, modulo 25."""
    return round(float(video.frame(index).mean()) / 10)


def write_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette([channel for label in range(256) for channel in (label, 255 - label, 7)])
    image.save(path)


def write_binary(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def labels_of(masks):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for key, mask in masks.items():
        labels[mask] = key
    return labels

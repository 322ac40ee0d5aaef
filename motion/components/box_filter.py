"""A Kalman filter on a box."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from framework.ops.boxes import Corners

_STEP = np.eye(8) + np.eye(8, k=4)
"""Position += velocity, once per frame."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxFilter:
    """Gaussian belief about a box: centre x, centre y, aspect ratio (w / h), height and their velocities.

    Constant velocity with noise proportional to the height, as in SORT and ByteTrack; float64, pixels of the grid that
    the boxes are measured on.
    """

    mean: Float[np.ndarray, "8"]
    covariance: Float[np.ndarray, "8 8"]

    @staticmethod
    def start(box: Corners) -> "BoxFilter":
        """At a first box, standing still and unsure of the velocity."""
        measured = _measurement(box)
        height = measured[3]
        return BoxFilter(np.concatenate([measured, np.zeros(4)]), _noise(height / 10, height / 16))

    def predict(self) -> "BoxFilter":
        """One frame later."""
        height = self.mean[3]
        noise = _noise(height / 20, height / 160)
        return BoxFilter(_STEP @ self.mean, _STEP @ self.covariance @ _STEP.T + noise)

    def correct(self, box: Corners) -> "BoxFilter":
        """After seeing the box of this frame."""
        position = self.mean[3] / 20
        projected = self.covariance[:4, :4] + np.diag(np.array([position, position, 1e-1, position]) ** 2)
        gain = np.linalg.solve(projected, self.covariance[:4]).T
        mean = self.mean + gain @ (_measurement(box) - self.mean[:4])
        return BoxFilter(mean, self.covariance - gain @ projected @ gain.T)

    def box(self) -> Corners:
        """Where the target is believed to be."""
        x, y, aspect, height = (float(value) for value in self.mean[:4])
        width = aspect * height
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _measurement(box: Corners) -> Float[np.ndarray, "4"]:
    height = (box[3] - box[1]) or 1.0
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / height, height])


def _noise(position: float, velocity: float) -> Float[np.ndarray, "8 8"]:
    """Covariance for standard deviations of the position and the velocity; those of the aspect ratio are fixed."""
    deviations = [position, position, 1e-2, position, velocity, velocity, 1e-5, velocity]
    return np.diag(np.array(deviations) ** 2)

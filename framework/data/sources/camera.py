"""Sources without an end: a camera, or a stream from the network. Each is opened once and read once."""

import time
from collections.abc import Iterator

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from framework.data.sources.video import open_container, upright, videos
from framework.errors import InputError
from framework.types import Size

PATIENCE = 30.0  # seconds that a stream may say nothing


class Camera:
    """A camera of this machine, by number. Raises InputError when it gives no image."""

    length = None

    def __init__(self, number: int) -> None:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a missing camera is our line to write
        self.name = f"camera{number}"
        self._number = number
        self._device = cv2.VideoCapture(number)
        self._first = self._read()
        self.size: Size = (self._first.shape[0], self._first.shape[1])
        self.rate = float(self._device.get(cv2.CAP_PROP_FPS)) or 30.0

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        """RGB frames as they come, until the camera is taken away (InputError)."""
        yield self._first
        count = 1
        try:
            while True:
                yield self._read(f" any more after {count} frames, which are kept")
                count += 1
        finally:
            self._device.release()

    def _read(self, when: str = "") -> UInt8[np.ndarray, "Hv Wv 3"]:
        found, image = self._device.read()
        if not found:
            raise InputError(f"camera {self._number} gives no image{when}: is it plugged in, and free?")
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


class LiveStream:
    """A stream by URL (rtsp, http, udp ...). Raises InputError when nothing answers or nothing comes for `PATIENCE`."""

    length = None

    def __init__(self, url: str) -> None:
        self.name = "".join(c if c.isalnum() else "-" for c in url.partition("://")[2]).strip("-") or "stream"
        self._url = url
        called = time.monotonic()
        self._container = open_container(url, PATIENCE)
        self._silent = time.monotonic() - called >= PATIENCE  # what came before that is still to be read
        stream = videos(self._container)[0]
        self.rate = float(stream.average_rate or 30)
        self._decoded = enumerate(self._container.decode(stream))
        first = self._read()
        if first is None:
            raise InputError(f"{url}: the stream ended before its first frame; is anyone sending?")
        self._first = first
        self.size: Size = (first.shape[0], first.shape[1])

    def frames(self) -> Iterator[UInt8[np.ndarray, "Hv Wv 3"]]:
        """RGB frames until the stream ends."""
        image: UInt8[np.ndarray, "Hv Wv 3"] | None = self._first
        try:
            while image is not None:
                yield image
                image = self._read()
        finally:
            self._container.close()

    def _read(self) -> UInt8[np.ndarray, "Hv Wv 3"] | None:
        called = time.monotonic()
        try:
            index, frame = next(self._decoded, (0, None))
        except (av.FFmpegError, OSError) as error:
            silent = self._silent or time.monotonic() - called >= PATIENCE
            why = f"nothing came for {PATIENCE:g} s" if silent else error.strerror
            raise InputError(f"{self._url}: the stream broke off ({why}); what came before it is kept") from error
        self._silent = self._silent or time.monotonic() - called >= PATIENCE
        image = None if frame is None else upright(frame)
        if image is not None and index and image.shape[:2] != self.size:
            raise InputError(f"{self._url}: the stream changed its frame size at frame {index}; one size is needed")
        return image

"""Streams from the network, sent by a server on the loopback, and a camera that goes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from framework.data.sources import camera
from framework.data.sources.source import open_source
from framework.errors import InputError
from tests.fakes.colour import write_video

FRAMES = 400


def transport_stream(folder: Path) -> bytes:
    """A clip as a broadcast sends it."""
    return write_video(folder / "clip.ts", FRAMES, codec="mpeg2video", faststart=False).read_bytes()


@contextmanager
def server(content: bytes) -> Iterator[str]:
    """The URL of a server that answers with the content and says nothing more while the connection lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    connections.append(connection)
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/clip.ts"
        for connection in connections:
            connection.close()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("frames", [FRAMES, 0])
def test_a_stream_that_stalls_ends_in_one_line(frames: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "PATIENCE", 2.0)
    read = 0
    content = transport_stream(tmp_path) if frames else b""
    with server(content) as url, pytest.raises(InputError, match=r"clip\.ts: .*nothing came for 2 s"):
        for _ in open_source(url).frames():
            read += 1
    assert read > frames * 0.9 or read == frames == 0


class Unplugged:
    """A camera that gives three images."""

    def __init__(self, number: int) -> None:
        self.left = 3

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.full((4, 6, 3), self.left, np.uint8)) if self.left >= 0 else (False, None)

    def get(self, what: int) -> float:
        return 0.0

    def release(self) -> None:
        self.left = -1


def test_a_camera_that_is_unplugged_ends_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera.cv2, "VideoCapture", Unplugged)
    frames = camera.Camera(0).frames()
    assert [int(next(frames).max()) for _ in range(3)] == [2, 1, 0]
    with pytest.raises(InputError, match="camera 0 gives no image any more after 3 frames, which are kept"):
        next(frames)

"""What lesson 14's explorers share: pictures of a game, light enough to move with a slider, and a note without one."""

import base64
import struct
import zlib
from importlib.util import find_spec

import ipywidgets as widgets
import numpy as np
from numpy.typing import NDArray

from gmrl_lab.plots import Trace

Bytes = NDArray[np.uint8]
MISSING = "Atari games need ale_py: pip install 'gmrl_lab[atari]'. The lesson goes on without; its tables are shipped."
HIDDEN = {"visible": False}
"""Axis of a picture."""


def without_emulator() -> widgets.HTML | None:
    """What stands in place of an explorer that plays, where the emulator is not installed; else None."""
    if find_spec("ale_py") is not None:
        return None
    return widgets.HTML(f'<div class="gmrl-alert" role="alert">{MISSING}</div>')


def picture(pixels: Bytes, name: str) -> Trace:
    """A trace of pixels `(height, width)`, gray, or `(height, width, 3)`: a PNG inside the page, a few kilobytes."""
    address = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    return {"type": "image", "source": address, "name": name, "hoverinfo": "skip"}


def png(pixels: Bytes) -> bytes:
    """The file of a picture (ISO/IEC 15948): a header, the rows, each after a zero, and an end."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.zeros((height, pixels[0].size + 1), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0),
        b"IDAT": zlib.compress(rows.tobytes(), 6),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts.items())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def mosaic(frames: Bytes, gap: int = 2) -> Bytes:
    """Four frames `(4, size, size)` as two rows of two, oldest first, with a white gap."""
    size = frames.shape[-1]
    whole = np.full((2 * size + gap,) * 2, 255, np.uint8)
    for i, frame in enumerate(frames):
        top, left = (size + gap) * (i // 2), (size + gap) * (i % 2)
        whole[top : top + size, left : left + size] = frame
    return whole

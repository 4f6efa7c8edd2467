"""Checkpoints: the whole state of a run in one file, written aside and renamed, and read back only if it is intact."""

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gmrl_lab._files import replacing
from gmrl_lab._validate import bad, lab_extra

HEADER = b"gmrl_lab.atari checkpoint 1 "
"""What every checkpoint begins with; the SHA-256 of the rest follows."""

PLAIN = (str, int, float, bool, type(None))
"""What a checkpoint may hold beside tensors; NumPy's numbers would not be read back."""

State = dict[str, Any]
"""Nested dictionaries and lists of tensors, numbers, words and None."""


def save_checkpoint(path: Path, identity: Mapping[str, object], state: Mapping[str, object]) -> None:
    """Write a run's state so that a reader, or a run that was killed meanwhile, finds the old file or the new one.

    Args:
        path: the file, replaced if it is there.
        identity: the settings of the run; `load_checkpoint` refuses a checkpoint of others.
        state: nested dictionaries and lists of tensors and plain values.

    Raises:
        ValueError: naming the entry, for a value that could not be read back.

    Taught in lesson 14.
    """
    content = {"identity": dict(identity), "state": dict(state)}
    for name, value in entries(content):
        if not isinstance(value, Tensor) and type(value) not in PLAIN:
            raise bad(name, type(value).__name__, "tensors, numbers, words, None, and dictionaries and lists of these")
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = _packed(buffer.getvalue())
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(HEADER + hashlib.sha256(payload).hexdigest().encode() + b"\n")
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, identity: Mapping[str, object] | None = None) -> State:
    """The state that `save_checkpoint` wrote, on the CPU; `None` as identity takes any run's.

    Raises:
        ValueError: if the file is missing, no checkpoint, damaged, or of a run with other settings (it names them).

    Taught in lesson 14.
    """
    found, state = _read(path)
    if identity is not None and found != dict(identity):
        names = [name for name in {**identity, **found} if found.get(name) != identity.get(name)]
        theirs, ours = ({name: run.get(name) for name in names} for run in (found, dict(identity)))
        raise bad("checkpoint", f"{path}, of a run with {_words(theirs)}", f"one with {_words(ours)}; {_LEFT}")
    return state


def read_identity(path: Path) -> State:
    """The settings of the run that wrote a checkpoint.

    Raises:
        ValueError: if the file is missing, no checkpoint, or damaged.

    Taught in lesson 14.
    """
    return _read(path)[0]


def digest(path: Path) -> str:
    """The SHA-256 of a file: which checkpoint it is.

    Taught in lesson 14.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def entries(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of nested dictionaries and lists, with its path, such as `learner.policy.weight`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from entries(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from entries(item, f"{name}[{i}]")
    else:
        yield name, value


def first_not_finite(state: object) -> str | None:
    """The path of the first tensor in a state that holds NaN or an infinity."""
    floats = ((name, x) for name, x in entries(state) if isinstance(x, Tensor) and x.is_floating_point())
    return next((name for name, x in floats if not bool(torch.isfinite(x).all())), None)


_LEFT = "move this file away or name another folder (it is left as it is)"


def _read(path: Path) -> tuple[State, State]:
    try:
        header, _, payload = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise bad("checkpoint", f"{path} ({error.strerror})", "a file that a run has written") from error
    if not header.startswith(HEADER):
        raise bad("checkpoint", f"{path}, which is none", f"a file that `gmrl-lab train` has written; {_LEFT}")
    if hashlib.sha256(payload).hexdigest().encode() != header.removeprefix(HEADER):
        raise bad("checkpoint", f"{path}, which is damaged", f"a file as it was written; {_LEFT}")
    content = torch.load(io.BytesIO(_unpacked(payload)), map_location="cpu", weights_only=True)
    return content["identity"], content["state"]


def _packed(content: bytes) -> bytes:
    """Compressed; the four bytes of each float stand apart, for signs and exponents repeat where digits do not."""
    with lab_extra():
        import pyarrow as pa

    padded = content + bytes(-len(content) % 4)
    planes = np.frombuffer(padded, np.uint8).reshape(-1, 4).T.tobytes()
    return bytes(pa.compress(planes, codec="zstd", asbytes=True))


def _unpacked(payload: bytes) -> bytes:
    """What `_packed` was given, with up to three zeros behind it; an archive that is not packed is left as it is."""
    if payload.startswith(b"PK"):
        return payload
    with lab_extra():
        import pyarrow as pa

    planes = pa.CompressedInputStream(pa.BufferReader(payload), "zstd").read()
    return np.frombuffer(planes, np.uint8).reshape(4, -1).T.tobytes()


def _words(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())

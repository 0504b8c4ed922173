"""Ways to break a file: flipped bits, cuts, other contents; JSON with odd values; payloads and bombs."""

import functools
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

ODD_NUMBERS = (0, -1, 10**9, 2**63, 10**40, 1.5, 1e308, float("inf"), float("nan"))
NAMES = st.text(max_size=8) | st.sampled_from(["name", "space", "config", "type", "range", "value"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(ODD_NUMBERS),
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


def flipped(raw: bytes, rng: np.random.Generator) -> bytes:
    "Return bytes with one to eight bits changed, or cut, or with a block zeroed, moved or added."
    if not raw:
        return bytes(rng.integers(0, 256, 8, dtype=np.uint8))
    broken = bytearray(raw)
    at = int(rng.integers(len(raw)))
    size = int(rng.integers(1, 65))
    match int(rng.integers(8)):
        case 0:
            return raw[:at]
        case 1:
            broken[at : at + size] = bytes(len(broken[at : at + size]))
        case 2:
            broken[at:at] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        case 3:
            broken[at : at + size] = b"\xff" * len(broken[at : at + size])
        case _:
            for _ in range(int(rng.integers(1, 9))):
                broken[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    "Yield the path of every value within plain data, the whole first."
    yield path
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value[:20])
    for key, part in inner:
        yield from places(part, (*path, key))


def replaced(value: Any, path: tuple, new: Any) -> Any:
    "Return plain data with the value at a path replaced."
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def odd_json(draw: Any, raw: bytes) -> bytes:
    "Draw a JSON text with one to three values replaced, or removed."
    value = json.loads(raw)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        value = replaced(value, path, draw(JSON_VALUES))
    return json.dumps(value).encode()


class Payload:
    "Makes a file when it is unpickled."

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def payloads(marker: Path) -> dict[str, bytes]:
    "Return files that run code where they are unpickled: it makes the folder `marker`."
    made = {f"pickle {p}": pickle.dumps(Payload(marker), p) for p in range(6)}
    made["pickle, gzipped"] = gzip.compress(made["pickle 4"])
    objects = io.BytesIO()
    np.savez(objects, allow_pickle=True, x=np.array([Payload(marker)], dtype=object))
    made["npz of objects"] = objects.getvalue()
    with io.BytesIO() as array:
        np.save(array, np.array([Payload(marker)], dtype=object), allow_pickle=True)
        made["npy of objects"] = array.getvalue()
    made["tensors"] = _zipped({"archive/data.pkl": made["pickle 2"], "archive/version": b"3\n"})
    made["tensors, old"] = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + made["pickle 2"] * 4
    return made


@functools.cache
def bombs() -> dict[str, bytes]:
    "Return files that announce or unpack to more than a machine has, or nest without end."
    deep = 200_000
    made = {
        "empty": b"",
        "a letter": b"x",
        "zeros": bytes(5000),
        "no UTF-8": '{"größe": 1}'.encode("latin-1"),
        "JSON, deep lists": b"[" * deep,
        "JSON, deep lists, closed": b"[" * deep + b"]" * deep,
        "JSON, deep objects": b'{"a":' * deep,
        "JSON, deep within an object": b'{"space": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        "JSON, long number": b'{"rows": ' + b"9" * 1_000_000 + b"}",
        "JSON, infinite": b'{"rows": 1e999, "name": NaN}',
        "text of one line": b"a," * 2_000_000,
        "png, wide": _png(60_000, 60_000),
        "bmp, wide": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**30, 2**30, 1, 24, *[0] * 6),
        "wave, long": _wave(2**31 - 64),
        "gzip of zeros": gzip.compress(bytes(400 * 2**20), 1),
        "npz, announced": _npz_announcing((10**12,)),
        "npz of zeros": _zipped({"x.npy": _npy_header((100 * 2**20,)) + bytes(100 * 2**20)}, deflate=True),
        "zip that climbs": _zipped({"../../climbed": b"x", "/climbed": b"x"}),
        "ubj, long array": b"{L" + struct.pack(">q", 7) + b"learner[$d#L" + struct.pack(">q", 2**60),
        "ubj, deep": b"{i\x01a" + b"[" * deep,
    }  # fmt: skip
    made["tar of links"] = _tar_of_links()
    return made


def _zipped(members: dict[str, bytes], deflate: bool = False) -> bytes:
    "Return an archive (zip)."
    buffer = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", kind, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy_header(shape: tuple) -> bytes:
    "Return the beginning of a file of bytes of this shape."
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _npz_announcing(shape: tuple) -> bytes:
    "Return a small archive of an array of this shape."
    names = ("x", "cells", "baseline_acc", "acc", "std", "_shapes", "content")
    return _zipped({f"{name}.npy": _npy_header(shape) for name in names})


def _png(width: int, height: int) -> bytes:
    "Return a picture whose header claims this size."

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10**6))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _wave(size: int) -> bytes:
    "Return a clip whose header claims so many bytes of samples."
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    body = (
        b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + bytes(100)
    )
    return b"RIFF" + struct.pack("<I", size + 36) + body


def _tar_of_links() -> bytes:
    "Return an archive whose members are links to files outside."
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for i in range(1, 6):
            member = tarfile.TarInfo(f"../data_batch_{i}.bin")
            member.type = tarfile.SYMTYPE
            member.linkname = "/etc/passwd"
            tar.addfile(member)
    return buffer.getvalue()

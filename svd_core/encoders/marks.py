"""A mark in the header of safetensors made from another file: that file's digest, and that of the tensors."""

import hashlib
import json
from typing import TypedDict


class Mark(TypedDict):
    """SHA-256 of the `original` file, and of the `tensors` as they lie in the safetensors."""

    original: str
    tensors: str


def marked(content: bytes, original: str) -> bytes:
    """The safetensors `content` with its mark."""
    size = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:size])
    header["__metadata__"] = Mark(original=original, tensors=hashlib.sha256(content[size:]).hexdigest())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[size:]


def read_mark(content: bytes) -> Mark:
    """The mark of safetensors. Raises ValueError where there is none, or where the tensors are not what it says."""
    size = 8 + int.from_bytes(content[:8], "little")
    try:
        mark: Mark = json.loads(content[8:size])["__metadata__"]
        original, expected = mark["original"], mark["tensors"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("its header does not say what it was made from") from error
    found = hashlib.sha256(content[size:]).hexdigest()
    if found != expected:
        raise ValueError(f"its tensors have sha256 {found}, and should have {expected}")
    return Mark(original=original, tensors=expected)

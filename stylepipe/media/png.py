"""Chunks of a PNG: texts, in all their three kinds, and the chunks that describe colours.

PNG specification, third edition (2025). Nothing here raises: what is damaged is left out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from stylepipe.types import Text

_SIGNATURE = 8
_MOST = 64 << 20
"""Bytes that a compressed text may unfold to."""
_LONG = 1024
"""Characters from which a text is compressed."""
PROFILE = "Raw profile type "
"""Texts that ImageMagick and exiftool put a block of binary metadata into, as hexadecimals."""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk but those of pixels."""
    at = _SIGNATURE
    while at + 12 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name != b"IDAT":
            yield name, data[at + 8 : at + 8 + size]
        at += 12 + size


def chunk(name: bytes, content: bytes) -> bytes:
    """The bytes of one chunk."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def texts(data: bytes) -> list[Text]:
    """Every text, before and after the pixels."""
    readers = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}
    found = (readers[name](content) for name, content in chunks(data) if name in readers)
    return [text for text in found if text is not None]


def profile(found: list[Text], *kinds: str) -> bytes | None:
    """Binary metadata that a text holds: ``exif``, ``iptc``, ``xmp`` or ``APP1``."""
    for text in found:
        if text.keyword in [PROFILE + kind for kind in kinds]:
            try:
                return bytes.fromhex("".join(text.text.strip().split("\n")[2:]))
            except ValueError:
                continue
    return None


def as_profile(kind: str, block: bytes) -> Text:
    """A text that holds binary metadata."""
    digits = block.hex()
    lines = [digits[i : i + 72] for i in range(0, len(digits), 72)]
    return Text(PROFILE + kind, "\n".join(["", kind, f"{len(block):8}", *lines, ""]))


def text_chunk(text: Text) -> bytes:
    """The chunk that holds a text: international only where it has to be."""
    keyword = text.keyword.encode("latin-1", "replace")
    if text.language or text.translated or not _is_latin(text.text):
        content, packed = text.text.encode(), len(text.text) > _LONG
        head = keyword + b"\0" + bytes([packed, 0]) + text.language.encode("latin-1", "replace")
        head += b"\0" + text.translated.encode() + b"\0"
        return chunk(b"iTXt", head + (zlib.compress(content) if packed else content))
    content = text.text.encode("latin-1")
    if len(content) > _LONG:
        return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content))
    return chunk(b"tEXt", keyword + b"\0" + content)


def _is_latin(text: str) -> bool:
    try:
        return b"\0" not in text.encode("latin-1")
    except UnicodeEncodeError:
        return False


def _plain(content: bytes) -> Text:
    keyword, _, text = content.partition(b"\0")
    return Text(keyword.decode("latin-1"), text.decode("latin-1"))


def _packed(content: bytes) -> Text | None:
    keyword, _, rest = content.partition(b"\0")
    text = _unpacked(rest[1:])
    return None if text is None else Text(keyword.decode("latin-1"), text.decode("latin-1"))


def _international(content: bytes) -> Text | None:
    keyword, _, rest = content.partition(b"\0")
    language, _, more = rest[2:].partition(b"\0")
    translated, _, body = more.partition(b"\0")
    text = _unpacked(body) if rest[:1] == b"\1" else body
    if text is None:
        return None
    return Text(
        keyword.decode("latin-1"), text.decode("utf-8", "replace"),
        language.decode("latin-1"), translated.decode("utf-8", "replace"),
    )


def _unpacked(data: bytes) -> bytes | None:
    try:
        worker = zlib.decompressobj()
        text = worker.decompress(data, _MOST)
    except zlib.error:
        return None
    return None if worker.unconsumed_tail else text

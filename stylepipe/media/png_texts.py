"""Texts of a PNG, in all their three kinds, and the metadata that some of them hold.

PNG specification, third edition (2025). Nothing here raises: what is damaged is left out.
"""

from __future__ import annotations

import zlib

from stylepipe.media.png import Chunk, chunks, unpacked
from stylepipe.types import Text

_LONG = 1024
"""Characters from which a text is compressed."""
PROFILE = "Raw profile type "
"""Texts that ImageMagick and exiftool put a block of binary metadata into, as hexadecimals."""


def texts(data: bytes) -> list[Text]:
    """Every text, before and after the pixels."""
    readers = {b"tEXt": _plain, b"zTXt": _packed, b"iTXt": _international}
    found = (readers[c.name](c.body) for c in chunks(data) if c.name in readers)
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
        return Chunk(b"iTXt", head + (zlib.compress(content) if packed else content)).written()
    content = text.text.encode("latin-1")
    if len(content) > _LONG:
        return Chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(content)).written()
    return Chunk(b"tEXt", keyword + b"\0" + content).written()


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
    text = unpacked(rest[1:])
    return None if text is None else Text(keyword.decode("latin-1"), text.decode("latin-1"))


def _international(content: bytes) -> Text | None:
    keyword, _, rest = content.partition(b"\0")
    language, _, more = rest[2:].partition(b"\0")
    translated, _, body = more.partition(b"\0")
    text = unpacked(body) if rest[:1] == b"\1" else body
    if text is None:
        return None
    return Text(
        keyword.decode("latin-1"),
        text.decode("utf-8", "replace"),
        language.decode("latin-1"),
        translated.decode("utf-8", "replace"),
    )

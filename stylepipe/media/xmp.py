"""XMP packets: their two parts in a JPEG, and what they claim of the file that they come from.

XMP specification, part 3 (2020), 1.1.3.1: what does not fit into one JPEG segment stands in an
extended packet, to which ``xmpNote:HasExtendedXMP`` in the main one points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.dom import minidom
from xml.parsers.expat import ExpatError

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NOTE = "http://ns.adobe.com/xmp/note/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
GAIN_MAP, VIDEO = "HDR gain map", "the video of a motion photo"

_ABSENT: tuple[tuple[str, str, str], ...] = (
    ("http://ns.adobe.com/hdr-gain-map/1.0/", "", GAIN_MAP),
    ("http://ns.apple.com/HDRGainMap/1.0/", "", GAIN_MAP),
    ("http://ns.apple.com/pixeldatainfo/1.0/", "", GAIN_MAP),
    ("http://ns.google.com/photos/1.0/camera/", "(MotionPhoto|MicroVideo)$", VIDEO),
    ("http://ns.google.com/photos/1.0/camera/", "Motion|Micro", ""),
    ("http://ns.google.com/photos/1.0/container/", "", ""),
    ("http://ns.google.com/photos/dd/1.0/", "", "depth map"),
    ("http://ns.adobe.com/xap/1.0/", "Thumbnails", ""),
    (_NOTE, "HasExtendedXMP", ""),
)
"""Namespace (its beginning), names in it (a pattern), and what the result has not."""
_PROFILE = ((_PHOTOSHOP, "ICCProfile$", ""), (_EXIF, "ColorSpace$", ""))


def truthful(packet: bytes) -> tuple[bytes, set[str]]:
    """The packet without claims about what a repainted file has not, and what that is.

    Claims are of gain maps, motion photos, depth maps, thumbnails, and extended packets. Packets
    without any stay byte for byte. Raises ValueError for a packet that is not well-formed.
    """
    return _without(packet, _ABSENT)


def without_profile(packet: bytes) -> bytes:
    """The packet without its statement of a color space. Raises ValueError as above."""
    return _without(packet, _PROFILE)[0]


def upright(packet: bytes, width: int, height: int) -> bytes:
    """The packet of a picture that was turned upright to the size ``width`` x ``height``."""
    for name, value in (
        ("tiff:Orientation", 1),
        ("tiff:ImageWidth", width),
        ("tiff:ImageLength", height),
        ("exif:PixelXDimension", width),
        ("exif:PixelYDimension", height),
    ):
        pattern = rb"(" + name.encode() + rb"(?:\s*=\s*[\"']|>)\s*)\d+"
        packet = re.sub(pattern, rb"\g<1>" + str(value).encode(), packet)
    return packet


def merged(packet: bytes, extended: bytes) -> bytes:
    """One packet of a main and an extended one. Raises ValueError as above."""
    with _well_formed():
        document, further = _parsed(packet), _parsed(extended)
        target = _rdf(document)
        for source in _rdf(further).childNodes:
            if isinstance(source, minidom.Element):
                copy = document.importNode(source, True)
                _declare(copy, source)
                target.appendChild(copy)
        return _text(document)


def pointing(packet: bytes, guid: str) -> bytes:
    """The main packet with the pointer to the extended one. Raises ValueError as above."""
    with _well_formed():
        document = _parsed(packet)
        note = document.createElement("rdf:Description")
        for name, value in (
            ("xmlns:rdf", _RDF),
            ("rdf:about", ""),
            ("xmlns:xmpNote", _NOTE),
            ("xmpNote:HasExtendedXMP", guid),
        ):
            note.setAttribute(name, value)
        _rdf(document).appendChild(note)
        return _text(document)


def _without(packet: bytes, claims: tuple[tuple[str, str, str], ...]) -> tuple[bytes, set[str]]:
    if not any(space.encode() in packet for space, _, _ in claims):
        return packet, set()
    with _well_formed():
        document = _parsed(packet)
        values = [value for element in _elements(document) for value in _remove(element, claims)]
        gone = {words for value, words in values if words and value != "0" and ">0<" not in value}
        for mark, words in (("GainMap", GAIN_MAP), ("MotionPhoto", VIDEO)):
            gone |= {words for value, named in values if not named and mark in value}
        return (_text(document) if values else packet), gone


def _remove(
    element: minidom.Element, claims: tuple[tuple[str, str, str], ...]
) -> list[tuple[str, str]]:
    """Take an element's claims out; returns what they said, and what is not there."""
    removed = []
    for node in [*element.attributes.values(), *element.childNodes]:
        words = _claim(node, claims)
        if words is None:
            continue
        removed.append((node.value if isinstance(node, minidom.Attr) else node.toxml(), words))
        if isinstance(node, minidom.Attr):
            element.removeAttributeNode(node)
        else:
            element.removeChild(node)
    return removed


def _claim(node: minidom.Node, claims: tuple[tuple[str, str, str], ...]) -> str | None:
    """What a node claims that is not there; None if nothing."""
    if not isinstance(node, (minidom.Attr, minidom.Element)) or not node.namespaceURI:
        return None
    for space, names, words in claims:
        if node.namespaceURI.startswith(space) and re.match(names, node.localName or ""):
            return words
    return None


def _elements(node: minidom.Node) -> Iterator[minidom.Element]:
    """Each element, those above first: what is taken out of one is not gone through."""
    for child in node.childNodes:
        if isinstance(child, minidom.Element):
            yield child
            yield from _elements(child)


def _rdf(document: minidom.Document) -> minidom.Element:
    found = document.getElementsByTagNameNS(_RDF, "RDF")
    if not found:
        raise ValueError("the XMP packet holds no RDF")
    return found[0]


def _declare(copy: minidom.Element, source: minidom.Element) -> None:
    """Give the copy the prefixes that stood on the elements around the source."""
    around = source.parentNode
    while isinstance(around, minidom.Element):
        for name, value in around.attributes.items():
            if name.startswith("xmlns") and not copy.hasAttribute(name):
                copy.setAttribute(name, value)
        around = around.parentNode


@contextmanager
def _well_formed() -> Iterator[None]:
    try:
        yield
    except (ExpatError, RecursionError) as error:  # nested without end
        raise ValueError(f"the XMP packet is not well-formed: {error}") from error


def _parsed(packet: bytes) -> minidom.Document:
    return minidom.parseString(packet.strip(b"\0 \t\r\n"))


def _text(document: minidom.Document) -> bytes:
    return "".join(node.toxml() for node in document.childNodes).encode()

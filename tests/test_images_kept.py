"""What a file says about itself: kept where the format can, told where it cannot, never stale."""

import hashlib
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from imagefiles import deep, jpeg, loaded, photo, png, probe, read, through, tiff
from PIL import Image

from stylepipe.cli import main
from stylepipe.errors import ItemError
from stylepipe.media import iptc as iptc_blocks
from stylepipe.types import Text

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

POSTERIZE = str(Path(__file__).parents[1] / "examples" / "posterize.py")
IPTC = b"".join(
    struct.pack(">3BH", 0x1C, 2, number, len(words)) + words
    for number, words in ((80, b"A. Author"), (120, b"A caption"), (25, b"keyword"))
)
THUMBNAIL = b"8BIM" + struct.pack(">HHI", 0x040C, 0, 5) + b"thumb\0"
RESOURCES = THUMBNAIL + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(IPTC)) + IPTC
APP1, APP13, COM = 0xE1, 0xED, 0xFE
MAIN = b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
TITLE = '<dc:title xmlns:dc="http://purl.org/dc/elements/1.1/">A title</dc:title>'


def packet(attributes: str = "", inside: str = TITLE) -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
        'xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'{attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def extended(body: bytes, size: int = 60_000) -> list[tuple[int, bytes]]:
    head = EXTENSION + hashlib.md5(body).hexdigest().upper().encode()
    return [
        (APP1, head + struct.pack(">2I", len(body), at) + body[at : at + size])
        for at in range(0, len(body), size)
    ]


def photo_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# -- IPTC ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
def test_iptc_is_kept(tmp_path, suffix):
    source = photo_file(tmp_path / "a.jpg", jpeg((APP13, b"Photoshop 3.0\0" + RESOURCES)))
    assert read(source).meta.iptc == IPTC
    assert through(source, tmp_path / f"b{suffix}") == []
    assert read(tmp_path / f"b{suffix}").meta.iptc == IPTC
    assert through(tmp_path / f"b{suffix}", tmp_path / "c.jpg") == []
    kept = loaded(tmp_path / "c.jpg").info["photoshop"]
    assert kept == {0x0404: IPTC}, "as others read it, and without the old thumbnail"


def test_iptc_in_several_segments(tmp_path):
    long = IPTC + struct.pack(">3BH", 0x1C, 2, 120, 30_000) + bytes(30_000)
    block = iptc_blocks.to_resources(long)
    parts = [
        (APP13, b"Photoshop 3.0\0" + block[at : at + 20_000]) for at in range(0, len(block), 20_000)
    ]
    assert read(photo_file(tmp_path / "a.jpg", jpeg(*parts))).meta.iptc == long


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [4, 7], ids=["LONG", "UNDEFINED"])
def test_iptc_of_a_tiff(tmp_path, kind, order):
    """LONG is what libtiff and old programs write, in the byte order of the file."""
    block = IPTC + bytes(-len(IPTC) % 4)
    value = struct.unpack(f"{order}{len(block) // 4}I", block) if kind == 4 else block
    source = photo_file(tmp_path / "a.tif", tiff(photo(), order=order, tag_33723=value))
    assert read(source).meta.iptc == block
    if kind == 4:  # swapped, as a program of the other byte order left them
        value = struct.unpack(f"{'<' if order == '>' else '>'}{len(block) // 4}I", block)
        source = photo_file(tmp_path / "a.tif", tiff(photo(), order=order, tag_33723=value))
        assert read(source).meta.iptc == block
    resources = photo_file(tmp_path / "b.tif", tiff(photo(), order=order, tag_34377=RESOURCES))
    assert read(resources).meta.iptc == IPTC


@pytest.mark.parametrize("suffix", [".webp", ".avif", ".bmp", ".gif"])
def test_iptc_that_has_no_place_is_told(tmp_path, suffix):
    source = photo_file(tmp_path / "a.jpg", jpeg((APP13, b"Photoshop 3.0\0" + RESOURCES)))
    assert through(source, tmp_path / f"b{suffix}") == [
        f"b{suffix}: left out, as {suffix} cannot hold it: IPTC"
    ]


def test_odd_resources_are_no_trouble():
    for block in (b"", b"8BIM", b"8BIM\4\4", RESOURCES[:20], b"8BIM\4\4\0\0\xff\xff\xff\xff"):
        assert iptc_blocks.from_resources(block) is None
    named = b"8BIM\4\4\3abc" + struct.pack(">I", len(IPTC)) + IPTC
    assert iptc_blocks.from_resources(named) == IPTC


# -- texts ---------------------------------------------------------------------------------

TEXTS = (
    Text("Author", "Grüße"),
    Text("Description", "long " * 400),
    Text("Title", "絵", "ja", "題名"),
    Text("Comment", "a note"),
)
TEXT_CHUNKS = (
    (b"tEXt", "Author\0Grüße".encode("latin-1")),
    (b"zTXt", b"Description\0\0" + zlib.compress(b"long " * 400)),
    (b"iTXt", b"Title\0\1\0ja\0" + "題名".encode() + b"\0" + zlib.compress("絵".encode())),
    (b"iTXt", b"Comment\0\0\0\0\0a note"),
)


@pytest.mark.parametrize("pixels", [photo(), deep()], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("behind", [False, True], ids=["in front", "behind the pixels"])
def test_texts_of_a_png_are_kept(tmp_path, behind, pixels):
    source = photo_file(tmp_path / "a.png", png(*TEXT_CHUNKS, behind=behind, pixels=pixels))
    assert through(source, tmp_path / "b.png") == []
    assert read(tmp_path / "b.png").meta.texts == TEXTS
    kept = loaded(tmp_path / "b.png").text
    assert dict(kept) == {text.keyword: text.text for text in TEXTS}
    assert (kept["Title"].lang, kept["Title"].tkey) == ("ja", "題名")


def test_texts_that_have_no_place_are_told_by_name(tmp_path):
    source = photo_file(tmp_path / "a.png", png(*TEXT_CHUNKS))
    lines = through(source, tmp_path / "b.jpg")
    assert lines == ["b.jpg: left out, as .jpg cannot hold it: texts (Author, Description, Title)"]
    assert loaded(tmp_path / "b.jpg").info["comment"] == b"a note"
    (line,) = through(source, tmp_path / "b.webp")
    assert line.endswith("texts (Author, Description, Title, Comment)")


@pytest.mark.parametrize("suffix", [".jpg", ".gif", ".png"])
def test_comments_are_kept(tmp_path, suffix):
    source = photo_file(tmp_path / "a.jpg", jpeg((COM, "Grüße".encode())))
    assert through(source, tmp_path / f"b{suffix}") == []
    assert read(tmp_path / f"b{suffix}").meta.texts == (Text("Comment", "Grüße"),)


def test_exif_and_xmp_behind_the_pixels_of_a_png(tmp_path):
    block = Image.Exif()
    block[271], block[274] = "Maker", 6
    chunks = (
        (b"eXIf", block.tobytes().removeprefix(b"Exif\0\0")),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet()),
    )
    for pixels in (photo(), deep()):
        frame = read(photo_file(tmp_path / "a.png", png(*chunks, pixels=pixels)))
        behind = read(photo_file(tmp_path / "b.png", png(*chunks, pixels=pixels)))
        assert behind.meta == frame.meta and b"Maker" in frame.meta.exif and frame.meta.xmp
        assert behind.pixels.shape == (90, 60, 3) and not frame.meta.texts


def test_a_text_of_megabytes_is_kept_and_one_without_end_refused(tmp_path):
    source = photo_file(tmp_path / "a.png", png((b"zTXt", b"W\0\0" + zlib.compress(b"x" * 2**21))))
    assert read(source).meta.texts == (Text("W", "x" * 2**21),)
    bomb = b"zTXt", b"Bomb\0\0" + zlib.compress(bytes(65 << 20), 1)
    with pytest.raises(ItemError, match="too large"):
        read(photo_file(tmp_path / "b.png", png(bomb)))
    behind = png(bomb, (b"tEXt", b"a\0b"), pixels=deep(), behind=True)
    assert read(photo_file(tmp_path / "c.png", behind)).meta.texts == (Text("a", "b"),)


# -- XMP -----------------------------------------------------------------------------------


def test_extended_xmp_is_kept(tmp_path):
    further = packet('xmlns:d="http://depth/"', "<d:Data>" + "A" * 150_000 + "</d:Data>")
    guid = hashlib.md5(further).hexdigest().upper()
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}"'
    source = photo_file(
        tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(note)), *extended(further)[::-1])
    )
    assert through(source, tmp_path / "b.jpg") == []
    segments = [body for name, body in loaded(tmp_path / "b.jpg").applist if name == "APP1"]
    assert guid.encode() in next(b for b in segments if b.startswith(MAIN))
    parts = [b[len(EXTENSION) :] for b in segments if b.startswith(EXTENSION)]
    assert {p[:32] for p in parts} == {guid.encode()}
    assert b"".join(p[40:] for p in parts) == further
    assert read(tmp_path / "b.jpg").meta.xmp_extended == further
    for suffix in (".png", ".webp", ".tif"):
        assert through(source, tmp_path / f"b{suffix}") == []
        whole = read(tmp_path / f"b{suffix}").meta.xmp
        assert b"A title" in whole and b"A" * 150_000 in whole
        assert b"HasExtendedXMP" not in whole


def test_a_pointer_to_nothing_is_removed_and_a_part_told(tmp_path):
    note = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123"'
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(note))))
    assert through(source, tmp_path / "b.jpg") == []
    kept = read(tmp_path / "b.jpg").meta.xmp
    assert b"HasExtendedXMP" not in kept and b"A title" in kept
    parts = extended(packet("", "x" * 100_000))[:1]
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(note)), *parts))
    (line,) = through(source, tmp_path / "b.jpg")
    assert line == "a.jpg: left out in reading: extended XMP, which is cut short"


CONTAINER = (
    '<C:Directory xmlns:C="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><rdf:Seq><rdf:li>'
    '<C:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="9999"/>'
    "</rdf:li></rdf:Seq></C:Directory>"
)
CLAIMS = {
    "gain map": (
        'xmlns:g="http://ns.adobe.com/hdr-gain-map/1.0/" g:Version="1.0"',
        CONTAINER,
        "HDR gain map",
        (b"g:Version", b"Directory", b"9999"),
    ),
    "gain map, by its item": ("", CONTAINER, "HDR gain map", (b"Directory", b"9999")),
    "gain map of Apple": (
        'xmlns:H="http://ns.apple.com/HDRGainMap/1.0/"',
        "<H:HDRGainMapVersion>131072</H:HDRGainMapVersion>",
        "HDR gain map",
        (b"131072",),
    ),
    "motion photo": (
        'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1" '
        'GCamera:MotionPhotoVersion="1"',
        "",
        "the video of a motion photo",
        (b'"1"',),
    ),
    "micro video": (
        'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MicroVideo="1" '
        'GCamera:MicroVideoOffset="4321"',
        "",
        "the video of a motion photo",
        (b"4321",),
    ),
    "thumbnails": (
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"',
        "<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/4AAQ</rdf:li></rdf:Alt></xmp:Thumbnails>",
        None,
        (b"4AAQ", b"Thumbnails"),
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_that_are_no_longer_true_are_removed_and_told_once(tmp_path, name):
    attributes, inside, told, gone = CLAIMS[name]
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(attributes, TITLE + inside))))
    lines = through(source, tmp_path / "b.jpg")
    assert lines == ([f"a.jpg: left out in reading: {told}"] if told else [])
    kept = read(tmp_path / "b.jpg").meta.xmp
    assert b"A title" in kept and kept.startswith(b"<?xpacket") and kept.endswith(b'"w"?>')
    assert not [claim for claim in gone if claim in kept]
    assert name != "thumbnails" or b'xmp:Rating="5"' in kept
    assert through(tmp_path / "b.jpg", tmp_path / "c.jpg") == [], "nothing is left to be told"


def test_a_motion_photo_that_is_none_loses_nothing(tmp_path):
    off = (
        'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="0" '
        'GCamera:MotionPhotoVersion="1"'
    )
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(off))))
    assert through(source, tmp_path / "b.jpg") == []


def test_a_gain_map_that_only_segments_tell_of(tmp_path):
    iso = (0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")
    source = photo_file(tmp_path / "a.jpg", jpeg(iso))
    assert through(source, tmp_path / "b.jpg") == ["a.jpg: left out in reading: HDR gain map"]


def test_a_packet_without_claims_stays_byte_for_byte(tmp_path):
    for body in (packet(), b"<not well-formed"):
        source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + body)))
        assert through(source, tmp_path / "b.jpg") == []
        assert read(tmp_path / "b.jpg").meta.xmp == body


def test_a_damaged_packet_with_claims_is_left_out_and_told(tmp_path):
    body = packet('xmlns:g="http://ns.adobe.com/hdr-gain-map/1.0/" g:Version="1.0"')[:-60]
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + body)))
    (line,) = through(source, tmp_path / "b.jpg")
    assert line.endswith("XMP, which is damaged") and read(tmp_path / "b.jpg").meta.xmp is None


def test_no_damaged_packet_costs_the_picture(tmp_path):
    random = np.random.default_rng(4)
    for attributes, inside, *_ in [*CLAIMS.values()] * 5:
        body = bytearray(packet(attributes, inside))
        for place in random.integers(0, len(body), 4):
            body[place] = random.integers(256)
        source = photo_file(
            tmp_path / "a.jpg", jpeg((APP1, MAIN + body), *extended(packet("", "x")))
        )
        for suffix in (".jpg", ".png"):
            through(source, tmp_path / f"b{suffix}")


def test_a_packet_nested_without_end_is_left_out_and_told(tmp_path):
    note = 'xmlns:n="http://ns.adobe.com/xmp/note/" n:HasExtendedXMP="1"'
    body = packet(note, "<a>" * 9000 + "</a>" * 9000)
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + body)))
    (line,) = through(source, tmp_path / "b.jpg")
    assert line == "a.jpg: left out in reading: XMP, which is damaged"


def test_the_size_in_xmp_follows_the_turn(tmp_path):
    block = Image.Exif()
    block[274] = 6
    says = (
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" '
        'tiff:ImageWidth="90" tiff:ImageLength="60"'
    )
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, MAIN + packet(says)), exif=block.tobytes()))
    kept = read(source).meta.xmp
    assert b'tiff:ImageWidth="60" tiff:ImageLength="90"' in kept and b'Orientation="1"' in kept


# -- depth, transparency, loss -------------------------------------------------------------


def test_depth_that_has_no_place_is_told(tmp_path):
    source = photo_file(tmp_path / "a.png", png(pixels=deep()))
    for suffix in (".jpg", ".webp", ".bmp"):
        assert through(source, tmp_path / f"b{suffix}") == [
            f"b{suffix}: left out, as {suffix} cannot hold it: 16 bits a channel (8 are written)"
        ]
    assert through(source, tmp_path / "b.tif") == []


def test_inks_of_sixteen_bits_are_told(tmp_path):
    inks = np.dstack([deep(), deep()[:, :, 0]])
    (line,) = through(photo_file(tmp_path / "a.tif", tiff(inks, photometric=5)), tmp_path / "b.tif")
    assert line == (
        "a.tif: left out in reading: 16 bits a channel (8 are read), CMYK inks, which become sRGB"
    )


def test_an_avif_of_ten_bits_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    with av.open(str(tmp_path / "a.avif"), "w", format="avif") as out:
        stream = out.add_stream("libsvtav1", rate=1, options={"preset": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        frame = av.VideoFrame.from_ndarray(photo(64, 96), format="rgb24")
        out.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        out.mux(stream.encode(None))
    (line,) = through(tmp_path / "a.avif", tmp_path / "b.png")
    assert line == "a.avif: left out in reading: 10 bits a channel (8 are read)"


def test_a_heic_of_ten_bits_is_told(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    fine = heif.from_bytes(mode="RGB;16", size=(64, 64), data=bytes(64 * 64 * 6))
    fine.save(tmp_path / "a.heic")
    (line,) = through(tmp_path / "a.heic", tmp_path / "b.png")
    assert line == "a.heic: left out in reading: 10 bits a channel (8 are read)"


@pytest.mark.parametrize(
    ("suffix", "told"),
    [
        (".jpg", "transparency (it is shown on white)"),
        (".bmp", "transparency (it is shown on"),
        (".gif", "partial transparency (a pixel is seen or not)"),
        (".webp", None),
        (".png", None),
    ],
)
def test_transparency_that_has_no_place_is_told(tmp_path, suffix, told):
    """A PNG named .jpg, as downloads are."""
    Image.fromarray(np.dstack([photo(), photo()[:, :, 1]])).save(tmp_path / "a.jpg", "PNG")
    lines = through(tmp_path / "a.jpg", tmp_path / f"b{suffix}")
    assert len(lines) == bool(told) and (not told or told in lines[0])


def test_alpha_that_hides_nothing_is_no_loss(tmp_path):
    Image.fromarray(photo()).convert("RGBA").save(tmp_path / "a.png")
    assert through(tmp_path / "a.png", tmp_path / "b.jpg") == []


def test_a_lossless_webp_stays_one(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.webp", lossless=True, exact=True)
    assert probe(tmp_path / "a.webp").details["lossless"] is True
    through(tmp_path / "a.webp", tmp_path / "b.webp")
    assert (read(tmp_path / "b.webp").pixels == photo()).all()
    through(tmp_path / "a.webp", tmp_path / "c.webp", image_quality=80)
    assert probe(tmp_path / "c.webp").details["lossless"] is False
    Image.fromarray(photo()).save(tmp_path / "d.webp", icc_profile=bytes(99), exif=b"Exif\0\0x")
    assert probe(tmp_path / "d.webp").details["lossless"] is False


# -- the rest ------------------------------------------------------------------------------


def test_tags_that_no_one_knows_are_told_and_places_on_earth_kept(tmp_path):
    earth = (1.5, 2.5, 0.0)
    source = photo_file(tmp_path / "a.tif", tiff(photo(), tag_33550=earth, tag_65000="mine"))
    spot = np.dstack([photo(), photo()[:, :, 0]])
    (line,) = through(photo_file(tmp_path / "s.tif", tiff(spot, tag_338=0)), tmp_path / "b.tif")
    assert line == "s.tif: left out in reading: an extra channel"
    (line,) = through(source, tmp_path / "b.tif")
    assert line == "a.tif: left out in reading: TIFF tags 65000"
    assert loaded(tmp_path / "b.tif").tag_v2[33550] == earth


def test_damaged_exif_is_told(tmp_path):
    source = photo_file(tmp_path / "a.jpg", jpeg((APP1, b"Exif\0\0junk")))
    (line,) = through(source, tmp_path / "b.jpg")
    assert line == "a.jpg: left out in reading: EXIF, which is damaged"


def test_credentials_are_told(tmp_path):
    manifest = (0xEB, b"JP\0\1\0\0\0\1" + bytes(8) + b"jumdc2pa" + bytes(20))
    source = photo_file(tmp_path / "a.jpg", jpeg(manifest))
    (line,) = through(source, tmp_path / "b.jpg")
    assert line.endswith("content credentials (C2PA)")


def test_what_stands_in_places_of_their_own_is_told(tmp_path):
    marks = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(body)) + body
        for number, body in ((0x040A, b"\1\0"), (0x040B, b"http://me"), (0x07D0, bytes(26)))
    ).replace(b"http://me", b"http://me\0")
    for data, told in (
        (
            jpeg((APP13, b"Photoshop 3.0\0" + marks)),
            "Photoshop's copyright mark and URL, clipping paths",
        ),
        (
            jpeg((APP1, b"FLIR\0data"), (0xE7, b"thing"), (0xEC, b"Ducky")),
            "segments of its maker (APP1, APP7)",
        ),
        (png((b"oFFs", bytes(9)), (b"prVW", b"x"), (b"tIME", bytes(7))), "chunks oFFs, prVW"),
        (jpeg(*extended(packet())), "extended XMP, of which the main part is missing"),
    ):
        source = photo_file(tmp_path / "a.img", data)
        assert through(source, tmp_path / "b.png") == [f"a.img: left out in reading: {told}"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".gif"])
def test_an_ordinary_picture_loses_nothing(tmp_path, suffix):
    Image.fromarray(photo()).save(tmp_path / f"a{suffix}")
    assert through(tmp_path / f"a{suffix}", tmp_path / f"b{suffix}") == []


def test_who_strips_metadata_is_not_told_of_it(tmp_path):
    source = photo_file(
        tmp_path / "a.jpg", jpeg((APP13, b"Photoshop 3.0\0" + RESOURCES), (COM, b"a note"))
    )
    for suffix in (".jpg", ".webp"):
        assert through(source, tmp_path / f"b{suffix}", strip_metadata=True) == []
        meta = read(tmp_path / f"b{suffix}").meta
        assert meta.iptc is None and meta.texts == ()


def test_a_run_tells_all_that_a_file_loses_in_one_line(tmp_path, capsys):
    pytest.importorskip("torch")
    rgba = np.dstack([deep(), deep()[:, :, 0]])
    (tmp_path / "a.png").write_bytes(png(*TEXT_CHUNKS, pixels=rgba[:, :, [0, 1, 2, 3]]))
    job = ["posterize", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.jpg")]
    assert main.run([*job, "--plugin", POSTERIZE]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(lines) == 1 and lines[0].startswith("a.png: ")
    for words in ("transparency", "16 bits", "Author"):
        assert words in lines[0]

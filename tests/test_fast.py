"""The fast stylizer: styles by name and by file, blends, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import stylepipe_plugins.fast as plugin
import tinyencoder
import torch
from stylepipe_plugins.fast import FastOptions, FastStylizer
from stylepipe_plugins.fast.bundled import bundled_files

from stylepipe import Batch, Context, Item, ItemError, SetupError, StyleRef, UsageError
from stylepipe.device import pick
from stylepipe.nst.networks import (
    LIGHT,
    QUALITY,
    NetworkSpec,
    StyleNetwork,
    StyleRecord,
    load_styles,
    save_styles,
)

TINY = NetworkSpec("tiny", (4, 6), blocks=1, kernel=3)
ITEM = Item(0, Path("a.png"), Path(), Path("b.png"))


def save(
    path: Path, *names: str, spec: NetworkSpec = TINY, seed: int = 0, family: str = ""
) -> Path:
    path.parent.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    net = StyleNetwork(spec, len(names))
    for norm in net.norms():
        torch.nn.init.normal_(norm.beta)
    records = [StyleRecord(name, f"The {name.title()}", "Somebody", "1900") for name in names]
    save_styles(path, net, records, licence="MIT", **({"family": family} if family else {}))
    return path


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "styles"
    folder.mkdir()
    save(folder / "quality" / "all.safetensors", "wave", "night", "scream", "relief", seed=1)
    save(folder / "light" / "all.safetensors", "wave", "night", seed=2, family="a")
    save(folder / "light" / "scream.safetensors", "scream", seed=3, family="a")
    save(folder / "light" / "mosaic.safetensors", "mosaic", seed=4, family="b")
    monkeypatch.setattr("stylepipe_plugins.fast.bundled.STYLES", folder)
    monkeypatch.setattr(plugin, "STYLES", folder)
    return folder


def opened(quality: str = "quality", style_scale: float = 1.0) -> FastStylizer:
    stylizer = FastStylizer(FastOptions(quality=quality, style_scale=style_scale))
    stylizer.open(Context(pick("cpu", "full"), 1 << 30, print))
    return stylizer


def painted(*styles: tuple[str, float], quality: str = "quality") -> torch.Tensor:
    stylizer = opened(quality)
    stylizer.prepare([StyleRef(name, weight) for name, weight in styles])
    images = torch.rand(1, 3, 70, 80, generator=torch.Generator().manual_seed(0))
    result = stylizer.stylize(Batch(images, ITEM))
    assert result.shape == images.shape
    stylizer.close()
    return result


def refs(*styles: str) -> list[StyleRef]:
    return [StyleRef(style, 1 / max(len(styles), 1)) for style in styles]


def refused(*styles: str) -> str:
    with pytest.raises(UsageError) as caught:
        opened().prepare(refs(*styles))
    return str(caught.value)


def test_bundled_styles_are_listed_with_titles(bundled: Path) -> None:
    infos = FastStylizer.styles()
    assert [i.name for i in infos] == ["wave", "night", "mosaic", "scream", "relief"]
    assert infos[0].title == "The Wave, Somebody, 1900" and infos[0].license == "MIT"


def test_listing_styles_imports_nothing_heavy() -> None:
    code = (
        "import sys, stylepipe_plugins.fast as f; f.FastStylizer.styles();"
        "print([m for m in ('torch', 'numpy', 'cv2', 'PIL', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_style_by_name_in_both_qualities(bundled: Path) -> None:
    good, light = painted(("night", 1.0)), painted(("night", 1.0), quality="light")
    assert not torch.allclose(good, light, atol=0.01)
    file = bundled / "quality" / "all.safetensors"
    assert torch.equal(good, painted((f"{file}#night", 1.0)))


def test_blends_mix_the_styles_of_one_network(bundled: Path) -> None:
    wave, night = painted(("wave", 1.0)), painted(("night", 1.0))
    blend = painted(("wave", 0.5), ("night", 0.5))
    assert not torch.allclose(blend, wave, atol=0.01)
    assert not torch.allclose(blend, night, atol=0.01)
    assert torch.allclose(painted(("wave", 0.25), ("night", 0.5), ("wave", 0.25)), blend)


@pytest.mark.parametrize(("scale", "seen"), [(1.0, (61, 80)), (2.0, (30, 40)), (0.5, (122, 160))])
def test_strokes_of_another_size_are_painted_in_another_size(
    bundled: Path, monkeypatch: pytest.MonkeyPatch, scale: float, seen: tuple[int, int]
) -> None:
    shown: list[tuple[int, ...]] = []

    def copy(engine: object, images: torch.Tensor) -> torch.Tensor:
        shown.append(tuple(images.shape[2:]))
        return images

    monkeypatch.setattr("stylepipe.nst.inference.StyleEngine.__call__", copy)
    stylizer = opened(style_scale=scale)
    stylizer.prepare(refs("wave"))
    images = tinyencoder.picture(61, 80)
    result = stylizer.stylize(Batch(images, ITEM))
    assert shown == [seen]
    # A network that changes nothing changes nothing: the edges that the small picture lacks are
    # there in the result.
    assert torch.allclose(result, images, atol=1e-6 if scale > 1 else 0.1)


def test_finer_strokes_keep_to_the_memory(bundled: Path) -> None:
    stylizer = FastStylizer(FastOptions(style_scale=0.5))
    stylizer.open(Context(pick("cpu", "full"), 1 << 20, print))
    stylizer.prepare(refs("wave"))
    with pytest.raises(ItemError, match=r"strokes of size 0\.5 takes pictures of 200x180"):
        stylizer.stylize(Batch(torch.zeros(1, 3, 90, 100), ITEM))


def test_blends_across_files_are_refused(bundled: Path, tmp_path: Path) -> None:
    own = save(tmp_path / "own.safetensors", "mine")
    assert "only styles of one network, or of networks trained from one start" in refused(
        "wave", str(own)
    )


def test_blends_mix_networks_of_one_family(bundled: Path, tmp_path: Path) -> None:
    def light(*styles: tuple[str, float]) -> torch.Tensor:
        return painted(*styles, quality="light")

    both = light(("night", 0.5), ("scream", 0.5))
    assert not torch.allclose(both, light(("night", 1.0)), atol=0.01)
    assert not torch.allclose(both, light(("scream", 1.0)), atol=0.01)
    # a share of nearly nothing changes nearly nothing
    assert torch.allclose(light(("night", 0.9999), ("scream", 0.0001)), light(("night", 1.0)),
                          atol=0.01)  # fmt: skip
    three = light(("wave", 0.25), ("night", 0.25), ("scream", 0.5))
    assert torch.allclose(three, light(("scream", 0.5), ("wave", 0.25), ("night", 0.25)), atol=1e-5)
    with pytest.raises(UsageError, match="trained from one start"):
        opened("light").prepare(refs("night", "mosaic"))
    larger = NetworkSpec("larger", (4, 8), blocks=1, kernel=3)
    other = save(tmp_path / "larger.safetensors", "own", spec=larger, family="a")
    with pytest.raises(UsageError, match="a 'larger' network is not of a 'tiny'"):
        opened("light").prepare(refs("scream", str(other)))


def test_the_quick_network_is_taken_unless_only_the_other_knows_a_style(bundled: Path) -> None:
    def auto(*styles: str) -> torch.Tensor:
        return painted(*((style, 1 / len(styles)) for style in styles), quality="auto")

    assert torch.equal(auto("wave"), painted(("wave", 1.0), quality="light"))
    assert torch.equal(auto("relief"), painted(("relief", 1.0), quality="quality"))
    assert torch.equal(
        auto("wave", "relief"), painted(("wave", 0.5), ("relief", 0.5), quality="quality")
    )
    with pytest.raises(UsageError, match="'relief' is not in the package for --quality light"):
        opened("auto").prepare(refs("mosaic", "relief"))


def test_a_style_that_one_network_lacks_is_refused_with_the_other(bundled: Path) -> None:
    message = refused("mosaic")
    assert "'mosaic' is not in the package for --quality quality, only for --quality light" in (
        message
    )


def test_own_file(bundled: Path, tmp_path: Path) -> None:
    own = save(tmp_path / "own.safetensors", "mine", seed=3)
    assert torch.equal(painted((str(own), 1.0)), painted((f"{own}#mine", 1.0)))
    assert "has no style 'mind' (did you mean 'mine'?)" in refused(f"{own}#mind")
    both = save(tmp_path / "both.safetensors", "one", "two")
    assert f"pick one as {both}#NAME of: one, two" in refused(str(both))


def test_no_style_and_unknown_style_list_the_bundled_ones(bundled: Path) -> None:
    assert "bundled: wave, night, mosaic, scream, relief" in refused()
    assert "unknown style 'waves' (did you mean 'wave'?)" in refused("waves")


def test_a_quick_check_refuses_in_the_same_words(bundled: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "mine.safetensors", "mine")
    pickled = tmp_path / "mine.pth"
    pickled.write_bytes(b"")
    unopened = FastStylizer(FastOptions(quality="quality"))
    for styles in ((), ("waves",), ("absent.safetensors",), (str(pickled),), ("wave", str(file))):
        with pytest.raises(UsageError) as caught:
            unopened.check(refs(*styles))
        assert str(caught.value) == refused(*styles)
    unopened.check(refs("wave", "night"))
    for style in (str(file), f"{file}#mine"):  # to which no quality in the package applies
        FastStylizer(FastOptions()).check(refs(style))


def test_missing_file(bundled: Path, tmp_path: Path) -> None:
    assert "no style file" in refused(str(tmp_path / "absent.safetensors"))
    assert "did you mean 'wave'?" in refused(str(tmp_path / "wavs.jpg"))


def test_a_painting_has_to_be_trained_first(bundled: Path, tmp_path: Path) -> None:
    painting = tmp_path / "painting.jpg"
    painting.write_bytes(b"\xff\xd8")
    message = refused(str(painting))
    assert f"stylepipe train fast --photos FOLDER --style {painting}" in message


@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.pkl"])
def test_pickles_are_refused_unread(bundled: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    assert "is a pickle, which can run code" in refused(str(file))


def test_truncated_and_foreign_files(bundled: Path, tmp_path: Path) -> None:
    whole = save(tmp_path / "own.safetensors", "mine").read_bytes()
    for i, data in enumerate((whole[:-100], whole[:50], b"", b"not a tensor" * 9)):
        file = tmp_path / f"{i}.safetensors"
        file.write_bytes(data)
        assert "not a safetensors file, or truncated" in refused(str(file))
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    assert "holds no stylepipe-fast styles" in refused(str(other))
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["__metadata__"]["architecture"] = QUALITY.to_json()
    text = json.dumps(header).encode()
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
    assert "not a 'quality' network" in refused(str(wrong))


def test_missing_or_damaged_bundled_network_is_a_matter_of_setup(bundled: Path) -> None:
    file = bundled / "light" / "all.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    stylizer = opened("light")
    with pytest.raises(SetupError, match=r"truncated.*install stylepipe again"):
        stylizer.prepare([StyleRef("wave", 1.0)])
    file.write_bytes(b"\x05")
    with pytest.raises(SetupError, match="damaged"):
        FastStylizer.styles()
    file.unlink()
    with pytest.raises(UsageError, match="unknown style 'wav'"):
        stylizer.prepare([StyleRef("wav", 1.0)])


@pytest.mark.parametrize(("quality", "spec"), [("quality", QUALITY), ("light", LIGHT)])
def test_the_real_bundled_networks(quality: str, spec: NetworkSpec) -> None:
    """All load, and paint something that is neither flat nor not a number."""
    known = {name: files[quality][1] for name, files in bundled_files().items()
             if quality in files}  # fmt: skip
    assert len(known) >= 6
    for name, file in known.items():
        assert file.stat().st_size < 4_000_000
        net, records, metadata = load_styles(file)
        assert net.spec == spec and name in [record.name for record in records]
        assert all(record.title and record.artist and record.year for record in records)
        assert metadata["licence"] == "MIT" and metadata["teacher"] and metadata["data"]
        result = painted((name, 1.0), quality=quality)
        assert bool(result.isfinite().all()) and float(result.std()) > 0.02


def test_only_a_styles_file_has_a_style_behind_a_hash(tmp_path):
    options = FastOptions(style=(f"{tmp_path}/a.safetensors#sea", f"{tmp_path}/b#1.safetensors"))
    files = FastStylizer(options).files()
    assert [path.name for path in files] == ["a.safetensors", "b#1.safetensors"]

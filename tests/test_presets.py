"""Presets: layers, inheritance, components that follow ``use``, and errors that name the place."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylepipe import Stylizer, UsageError
from stylepipe.job import OutputOptions
from stylepipe.plugins import Plugins
from stylepipe.presets import available, explain, load, resolve

TOY = str(Path(__file__).with_name("toy_plugin.py"))


@pytest.fixture
def plugins(monkeypatch, tmp_path):
    """The toy components only; user's presets in tmp_path / "config" / "presets"."""
    monkeypatch.setattr("stylepipe.plugins.entry_points", lambda group: [])
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / "config"))
    (tmp_path / "config" / "presets").mkdir(parents=True)
    return Plugins([TOY])


@pytest.fixture
def preset(tmp_path):
    """Write a preset into the user's folder and return its path."""

    def write(text: str, name: str = "mine") -> Path:
        path = tmp_path / "config" / "presets" / f"{name}.toml"
        path.write_text(text)
        return path

    return write


# -- layers --------------------------------------------------------------------------------


def test_the_strongest_layer_wins_and_is_named(plugins, preset):
    preset('[stylizer]\nuse = "fast"\nstrength = 0.1\nkeep_colors = true\nquality = "light"', "low")
    preset('extends = "low"\n[stylizer]\nstrength = 0.2\nlimit = 2', "mine")
    env = {"STYLEPIPE_STYLIZER_STRENGTH": "0.3", "STYLEPIPE_STYLIZER_LIMIT": "3"}
    overrides = {"stylizer": {"strength": "0.4"}}
    explained = explain(plugins, "mine", overrides, env)["stylizer"]
    assert {k: (v.value, v.origin) for k, v in explained.items()} == {
        "use": ("fast", "preset low"),
        "style": ([], "default"),
        "strength": (0.4, "command line"),
        "keep_colors": (True, "preset low"),
        "quality": ("light", "preset low"),
        "limit": (3, "environment STYLEPIPE_STYLIZER_LIMIT"),
    }
    settings = resolve(plugins, "mine", overrides, env)
    assert settings.stylizer.options.strength == 0.4 and settings.preset == "mine"


def test_an_empty_preset_is_fast_without_mask_or_flow_and_all_readers_and_writers(plugins, preset):
    settings = resolve(plugins, preset(""))
    assert settings.stylizer.name == "fast"
    assert settings.masker is None and settings.temporal is None
    assert [r.name for r in settings.readers] == ["npy", "npy-clip"]
    assert [w.name for w in settings.writers] == ["npy", "npy-clip", "packed", "packed-clip"]
    assert settings.output == OutputOptions()


def test_another_component_drops_what_was_meant_for_the_old_one(plugins, preset):
    preset('[stylizer]\nuse = "fast"\nquality = "light"\nstrength = 0.5', "low")
    preset('extends = "low"\n[stylizer]\nuse = "negative"\nwait = 2')
    assert resolve(plugins, "mine").stylizer.options.strength == 1.0
    overrides = {"stylizer": {"use": "negative"}}
    assert resolve(plugins, "low", overrides).stylizer.options.strength == 1.0


def test_naming_the_same_component_again_keeps_the_parents_keys(plugins, preset):
    preset('[stylizer]\nquality = "light"', "low")
    preset('extends = "low"\n[stylizer]\nuse = "fast"\nstrength = 0.5')
    assert resolve(plugins, "mine").stylizer.options.quality == "light"


def test_the_environment_holds_for_whatever_component_is_chosen(plugins, preset):
    env = {"STYLEPIPE_STYLIZER_STRENGTH": "0.3", "STYLEPIPE_MASK_INVERT": "1"}
    env["STYLEPIPE_DATA"] = "a variable of others"
    settings = resolve(plugins, preset(""), {"stylizer": {"use": "negative"}}, env)
    assert settings.stylizer.options.strength == 0.3
    assert settings.masker is None  # inverting nothing is no error where it is only in the air
    settings = resolve(plugins, preset(""), {"mask": {"use": "edges"}}, env)
    assert settings.mask.invert is True


def test_the_environment_can_choose_the_component(plugins, preset):
    env = {"STYLEPIPE_STYLIZER_USE": "negative"}
    assert resolve(plugins, preset(""), env=env).stylizer.name == "negative"


def test_a_variable_for_another_component_of_the_stage_is_void(plugins, preset):
    env = {"STYLEPIPE_STYLIZER_WAIT": "2", "STYLEPIPE_STYLIZER_LIMIT": "3"}
    env |= {"STYLEPIPE_OUTPUT_LEVEL": "3", "STYLEPIPE_OUTPUT_NAME": "{stem}_x"}
    assert resolve(plugins, preset(""), env=env).stylizer.options.limit == 3
    overrides = {"stylizer": {"use": "negative"}, "output": {"use": "npy"}}
    settings = resolve(plugins, preset(""), overrides, env)
    assert settings.stylizer.options.wait == 2 and settings.output.name == "{stem}_x"
    with pytest.raises(UsageError, match=r"unknown option 'limit' of negative"):
        resolve(plugins, preset(""), {"stylizer": {"use": "negative", "limit": 3}})
    with pytest.raises(UsageError, match=r"unknown option 'wiat' .*STYLEPIPE_STYLIZER_WIAT"):
        resolve(plugins, preset(""), overrides, {"STYLEPIPE_STYLIZER_WIAT": "2"})


# -- components ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "masker", "flow"),
    [
        ({"mask": {"path": "masks"}}, "files", None),
        ({"mask": {"use": "edges", "width": "2"}}, "edges", None),
        ({"temporal": {"blend": "0.5"}}, None, "dis"),
        ({"temporal": {"flow": "other"}}, None, "other"),
        ({"temporal": {"use": "median"}}, None, None),
    ],
)
def test_an_option_of_a_stage_brings_its_usual_component(plugins, preset, overrides, masker, flow):
    settings = resolve(plugins, preset(""), overrides)
    assert (settings.masker and settings.masker.name) == masker
    assert (settings.flow and settings.flow.name) == flow
    if flow:
        assert settings.temporal.name == "warp"


def test_a_flow_is_no_method_and_the_sentence_says_how_it_is_written(plugins, preset):
    with pytest.raises(UsageError, match=r"use = 'warp' and flow = 'dis' \(preset .*mine.toml\)"):
        resolve(plugins, preset('[temporal]\nuse = "dis"'))


def test_options_of_the_method_and_of_the_flow_are_keys_of_one_table(plugins, preset):
    preset('[temporal]\nflow = "other"\nblend = 0.4\nflow_blend = 5\nspeed = 2')
    settings = resolve(plugins, "mine")
    assert settings.temporal.options.blend == 0.4
    assert settings.flow.options.values() == {"blend": 5, "speed": 2}
    described = settings.describe()["temporal"]
    assert described == {
        "use": "warp", "blend": 0.4, "max_side": 640, "flow": "other", "flow_blend": 5, "speed": 2,
    }  # fmt: skip
    assert resolve(plugins, "default", {"temporal": described}).describe()["temporal"] == described
    with pytest.raises(UsageError, match=r"unknown option 'quality' of warp .*flow_blend, speed"):
        resolve(plugins, "mine", {"temporal": {"quality": "fast"}})


def test_another_flow_drops_what_was_meant_for_the_old_one_and_keeps_the_methods_keys(
    plugins, preset
):
    preset('[temporal]\nflow = "other"\nblend = 0.4\nflow_blend = 5\nspeed = 2')
    settings = resolve(plugins, "mine", {"temporal": {"flow": "dis", "quality": "fast"}})
    assert settings.temporal.options.blend == 0.4 and settings.flow.options.quality == "fast"
    assert resolve(plugins, "mine", {"temporal": {"flow": "other"}}).flow.options.speed == 2
    with pytest.raises(UsageError, match="median uses no optical flow"):
        resolve(plugins, "mine", {"temporal": {"use": "median", "flow": "dis"}})
    env = {"STYLEPIPE_TEMPORAL_FLOW": "dis", "STYLEPIPE_TEMPORAL_QUALITY": "fast"}
    assert resolve(plugins, "mine", {"temporal": {"use": "median"}}, env).flow is None


def test_none_switches_a_stage_off_with_its_keys(plugins, preset):
    preset('[temporal]\nflow = "dis"\nblend = 0.3\n[mask]\npath = "x"')
    off = {"temporal": {"use": "none"}, "mask": {"use": "none"}}
    settings = resolve(plugins, "mine", off, {"STYLEPIPE_TEMPORAL_BLEND": "0.9"})
    assert settings.temporal is None and settings.masker is None


def test_an_option_of_a_stage_that_is_off_is_a_contradiction(plugins, preset):
    with pytest.raises(
        UsageError, match=r"temporal.blend was set \(command line\), but no temporal m"
    ):
        resolve(plugins, preset(""), {"temporal": {"use": "none", "blend": 0.1}})
    with pytest.raises(UsageError, match=r"mask.invert was set .*mine.toml\), but no masker"):
        resolve(plugins, preset("[mask]\ninvert = true"))
    with pytest.raises(UsageError, match=r"temporal.flow was set \(command line\), but no tempo"):
        resolve(plugins, preset(""), {"temporal": {"use": "none", "flow": "dis"}})


def test_a_key_in_both_spellings_is_refused(plugins, preset):
    path = preset("[stylizer]\nkeep-colors = true\nkeep_colors = false")
    with pytest.raises(UsageError, match=r"mine.toml: \[stylizer\] has a key twice"):
        load(path)


def test_a_key_of_output_goes_to_every_writer_that_has_it(plugins, preset):
    settings = resolve(plugins, preset("[output]\nlevel = 7\nquality = 50"))
    options = {w.name: w.options.values() for w in settings.writers}
    assert options["packed"] == {"quality": 50, "level": 7}
    assert options["packed-clip"] == {"level": 7} and options["npy"] == {}


def test_use_in_output_leaves_one_writer(plugins, preset):
    settings = resolve(plugins, preset('[output]\nuse = "packed"'))
    assert [w.name for w in settings.writers] == ["packed"]
    with pytest.raises(UsageError, match=r"unknown writer 'paked'.*did you mean 'packed'"):
        resolve(plugins, preset('[output]\nuse = "paked"'))


# -- description ---------------------------------------------------------------------------


def test_the_description_is_complete_plain_and_tells_settings_apart(plugins, preset):
    path = preset("")
    one = resolve(plugins, path).describe()
    assert one == resolve(plugins, path).describe() == json.loads(json.dumps(one))
    assert list(one) == ["input", "mask", "stylizer", "temporal", "output"]
    assert one["mask"] == {"use": "none"} and one["output"]["name"] == "{stem}"
    # two writers differ in the default of one name: both are told
    assert one["output"]["level@packed"] == 1 and one["output"]["level@packed-clip"] == 4
    for table, key, value in [
        ("stylizer", "strength", 0.5), ("mask", "path", "x"), ("temporal", "blend", 0.1),
        ("output", "level", 9), ("output", "format", "npz"), ("output", "use", "npy"),
        ("input", "use", "npy"),
    ]:  # fmt: skip
        assert resolve(plugins, path, {table: {key: value}}).describe() != one


@given(
    strength=st.floats(0, 1), limit=st.integers(1, 99), keep=st.booleans(),
    style=st.lists(st.text(min_size=1), max_size=3),
)  # fmt: skip
def test_a_description_given_back_as_overrides_gives_the_same_settings(
    strength, limit, keep, style
):
    plugins = PLUGINS
    values = {"strength": strength, "limit": limit, "keep_colors": keep, "style": style}
    described = resolve(plugins, EMPTY, {"stylizer": values}).describe()
    again = resolve(plugins, EMPTY, {"stylizer": described["stylizer"]})
    assert again.describe() == described


@pytest.fixture(autouse=True, scope="module")
def shared(tmp_path_factory):
    """Plugins and an empty preset for the property above, which cannot take fixtures."""
    global PLUGINS, EMPTY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stylepipe.plugins.entry_points", lambda group: [])
        PLUGINS = Plugins([TOY])
    EMPTY = tmp_path_factory.mktemp("empty") / "empty.toml"
    EMPTY.write_text("")


# -- finding -------------------------------------------------------------------------------


def test_names_are_looked_up_at_the_users_first_and_may_extend_their_namesake(plugins, preset):
    preset('extends = "default"\n[stylizer]\nstrength = 0.5', "default")
    options = resolve(plugins, "default").stylizer.options
    assert options.strength == 0.5 and options.style == ("starry-night",)
    assert available(plugins)["default"][0] == "yours"
    assert available(plugins)["video-smooth"][0] == "shipped"


def test_plugins_ship_presets(plugins, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "theirs.toml").write_text("[stylizer]\nstrength = 0.4")
    shipper = tmp_path / "shipper.py"
    shipper.write_text(
        "import stylepipe\n@stylepipe.hookimpl\ndef stylepipe_presets(): "
        f"return [{str(tmp_path / 'more')!r}]\n"
    )
    plugins = Plugins([TOY, str(shipper)])
    assert resolve(plugins, "theirs").stylizer.options.strength == 0.4
    assert available(plugins)["theirs"][0] == "plugin"


def test_a_path_is_a_path_and_a_name_never_finds_a_file_of_the_current_folder(
    plugins, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("here.toml").write_text("[stylizer]\nstrength = 0.4")
    assert resolve(plugins, "here.toml").stylizer.options.strength == 0.4
    assert resolve(plugins, Path("here.toml")).preset == "here"
    with pytest.raises(UsageError, match="unknown preset 'here'"):
        resolve(plugins, "here")


def test_paths_beside_the_preset_travel_with_it(plugins, tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    path = folder / "p.toml"
    path.write_text('[stylizer]\nstyle = ["./a.safetensors:0.5", "b"]\n[mask]\npath = "../m"')
    settings = resolve(plugins, path)
    assert settings.stylizer.options.style == (f"{folder}/a.safetensors:0.5", "b")
    assert Path(settings.masker.options.path).resolve() == tmp_path / "m"


# -- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[stylizer]\nstrenght = 1", r"unknown option 'strenght' of fast in \[stylizer\] \(preset "
         r".*mine.toml\) \(did you mean 'strength'\?\)"),
        ("[stylizer]\nstrength = 2", r"strength must be between 0 and 1, not 2.0 \(preset .*mine"),
        ("[stylzer]\nstrength = 1", r"mine.toml: unknown table 'stylzer' \(did you mean 'styliz"),
        ("strength = 1", r"mine.toml: unknown key 'strength' \(options belong in a table"),
        ("stylizer = 3", "write \\[stylizer\\]"),
        ("extends = 3", "extends takes text, not 3"),
        ("[stylizer\n", r"mine.toml is not valid TOML: .*line 1"),
        ('[stylizer]\nuse = "fats"', r"unknown stylizer 'fats' \(did you mean 'fast'.*mine.toml"),
        ('[stylizer]\nuse = 3', "stylizer.use takes one name, not 3"),
        ('extends = "nothing"', r"mine.toml: unknown preset 'nothing'.*known:.*default"),
        ("[output]\nlevle = 3", "unknown option 'levle' in .output. .*did you mean 'level'"),
        ('[output]\nformat = "exe"', "format cannot be 'exe'.*choose one of: npy, npz"),
        ('[output]\nname = "{sten}"', r"\{sten\} \(did you mean 'stem'"),
        ('[output]\nname = "{stem"', "is no template"),
        ('[output]\nname = "{}"', "known:"),
        ('[output]\nname = "../{stem}"', "must stay inside the output folder"),
        ('[output]\nname = ""', "must stay inside the output folder"),
        ('[output]\nname = "{stem:d}"', "is no template"),
        ('[output]\nname = "{stem:{x}}"', "is no template: a field inside a field"),
        ('[output]\nname = "{stem:{}}"', "is no template: a field inside a field"),
        ('[stylizer]\nlimit = ' + "9" * 5000, "mine.toml is not valid TOML"),
        ('[stylizer]\nlimit = 0x1' + "0" * 5000, "limit is not a number of sensible size"),
        ('[stylizer]\nstyle = 2026-01-02', "style takes text"),
        ('[stylizer.style]\na = 1', "style takes text"),
    ],
)  # fmt: skip
def test_errors_name_the_key_the_file_and_the_nearest_word(plugins, preset, text, words):
    with pytest.raises(UsageError, match=words):
        resolve(plugins, preset(text))


def test_errors_name_the_variable_of_the_environment(plugins, preset):
    for name, value in [("STRENGTH", "2"), ("STRENGHT", "1")]:
        with pytest.raises(UsageError, match=f"environment variable STYLEPIPE_STYLIZER_{name}"):
            resolve(plugins, preset(""), env={f"STYLEPIPE_STYLIZER_{name}": value})


def test_a_circle_of_presets_is_an_error(plugins, preset):
    preset('extends = "b"', "a")
    preset('extends = "c"', "b")
    preset('extends = "a"', "c")
    preset('extends = "self"', "self")
    with pytest.raises(UsageError, match=r"in a circle: .*a -> b -> c -> a"):
        resolve(plugins, "a")
    with pytest.raises(UsageError, match="circle"):
        resolve(plugins, "self")


def test_a_missing_or_unreadable_file_is_named(plugins, tmp_path):
    with pytest.raises(UsageError, match=r"no preset file '.*gone.toml'"):
        resolve(plugins, tmp_path / "gone.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        resolve(plugins, binary)


def test_an_unknown_table_in_overrides_is_an_error(plugins, preset):
    with pytest.raises(UsageError, match=r"unknown table 'styliser' .did you mean 'stylizer'"):
        resolve(plugins, preset(""), {"styliser": {}})


# -- what we ship --------------------------------------------------------------------------

SHIPPED = sorted(p.stem for p in (Path(__file__).parents[1] / "presets").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_preset_works_with_the_shipped_components(name):
    plugins = Plugins()
    assert not [r.error for r in plugins.records if r.error and r.origin.startswith("stylepipe")]
    settings = resolve(plugins, name)
    assert load(available(plugins)[name][1]).description
    bundled = [s.name for s in plugins.component(Stylizer, settings.stylizer.name).styles()]
    assert set(settings.stylizer.options.style) <= set(bundled)
    assert settings.readers and settings.writers


def test_the_shipped_presets_do_what_their_names_say():
    plugins = Plugins()
    assert resolve(plugins, "default").stylizer.options.style == ("starry-night",)
    fast, smooth, best = (resolve(plugins, f"video-{n}") for n in ("fast", "smooth", "max"))
    sides = [settings.temporal.options.max_side for settings in (fast, smooth, best)]
    assert sides == sorted(set(sides)) and fast.flow.options.quality == "fast"
    assert smooth.temporal.options.blend < best.temporal.options.blend == 1
    assert resolve(plugins, "background").mask.invert is True
    assert resolve(plugins, "subject").mask.invert is False
    assert resolve(plugins, "keep-colors").stylizer.options.keep_colors is True


@pytest.mark.parametrize("name", ["video-fast", "video-smooth", "video-max"])
def test_presets_of_video_set_nothing_of_the_stylizer(name):
    plugins = Plugins()
    path = available(plugins)[name][1]
    assert set(load(path).tables) == {"temporal"}
    fast = resolve(plugins, name, {"stylizer": {"style": ["scream"]}})
    assert fast.stylizer.options.style == ("scream",) and fast.stylizer.options.quality == "auto"
    gatys = resolve(plugins, name, {"stylizer": {"use": "gatys", "style": ["a.jpg"]}})
    assert gatys.stylizer.options == gatys.stylizer.Options(style=("a.jpg",))
    assert gatys.temporal.name == "warp" and gatys.flow.name == "dis"

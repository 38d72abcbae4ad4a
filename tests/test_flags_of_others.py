"""A flag of a component that was not chosen is told whose it is."""

import pytest

from stylepipe.cli import main


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            ["run", "--temporal", "deflicker", "--temporal-blend", "0.5"],
            "--temporal-blend is an option of warp, and temporal is deflicker; leave it out, or "
            "pass --temporal warp",
        ),
        (["wct", "--keyframe", "1=a.png"], "is an option of keyframes, and stylizer is wct"),
        (["run", "--temporal", "deflicker", "--temporal-blond", "1"], "no such option"),
    ],
)
def test_a_flag_of_another_component(call, words, capsys):
    verb, *flags = call
    assert main.run([verb, "clip.mp4", "-o", "out", *flags]) == 2
    assert words in capsys.readouterr().err

"""Tables of colors between pictures that have nothing in common are made in bounded time."""

import pytest
import torch

from stylepipe.nst import grading

PURE = torch.eye(3)


def picture(kind):
    """A picture 3 64 64 that no photo is like."""
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(2))
    hard = (noise > 0.5).float()
    return {
        "noise": noise,
        "black and white": hard[:1].expand(3, -1, -1),
        "red and blue": hard * torch.tensor([1.0, 0.0, 1.0])[:, None, None],
        "green": noise * PURE[1][:, None, None],
    }[kind]


@pytest.mark.parametrize(
    ("photo", "reference"),
    [
        ("noise", "black and white"),
        ("green", "red and blue"),
        ("red and blue", "green"),
        ("black and white", "noise"),
    ],
)
def test_far_off_pairs_end_in_few_turns_and_gentle(photo, reference, monkeypatch):
    looks = []

    def counted(values):
        looks.append(1)
        return steep(values)

    steep = grading._steep
    monkeypatch.setattr(grading, "_steep", counted)
    table = grading.fitted_table(*(grading.samples(picture(kind)) for kind in (photo, reference)))
    assert len(looks) <= 113
    for axis in range(3):
        steps = table.values.diff(dim=axis).norm(dim=-1)
        assert steps.max() <= grading.STEEPEST / 32 + 1e-6


def test_many_turns_at_once_are_as_many_one_by_one():
    values = torch.rand(9, 9, 9, 3, generator=torch.Generator().manual_seed(0))
    once = values
    for _ in range(5):
        once = grading._blurred(once)
    torch.testing.assert_close(grading._blurred(values, 5), once)
    assert torch.allclose(grading._blurred(torch.ones_like(values)), torch.ones_like(values))

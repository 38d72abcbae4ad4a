"""Style-swap: every patch of a content's features replaced by the style's patch most like it.

Chen, Schmidt, "Fast Patch-based Style Transfer of Arbitrary Style" (2016): most like by normalized
cross-correlation, <c, s> / |s|; where patches overlap in the result, their mean.

The published way is a convolution with all the style's patches as filters, and a transposed one
back. The same scores take nine times fewer multiplications here, for patches of 3x3 features. Let
P[i, j] be the product, over the channels, of the content's pixel i and the style's pixel j. The
product of two patches is the sum of nine entries of P, one for each place in a patch:

    <c, s> = sum over y, x in 0..2 of P[i + y W + x, j + y w + x]

with i and j the first pixels of the patches, W and w the widths of the maps. So P, one matrix
product, is all that is computed. It is stored flat, n entries a row: then P[i + 1, j + 1] lies
n + 1 entries after P[i, j], whatever i and j, and the next line of both maps lies W n + w after it.
The nine-fold sum is a sum of three along the one distance, then of three along the other: plain
additions of contiguous memory. (A sum that runs over a map's border is no patch's, and left out.)
P goes by in blocks, and is summed line by line in the processor's cache: the working space is
small, whatever the sizes of the maps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Precision = Literal["exact", "fast"]
Found = tuple[Tensor, Tensor]
"""Scores of patches, and their numbers."""
Recall = Callable[[Tensor], Sequence[Tensor]]
"""Takes the numbers of a frame's best patches; returns those of the last frames, its own first."""

BLOCK = 5 << 19
"""Entries of P computed at once: the cache keeps so many until they are ranked."""
PIECE = 36 << 7
"""Pixels of the pieces of a style's map that are compared at once: entries in a row of P."""
BREADTH = 128
"""Columns of such a piece, at most."""
LINE = 128
"""Entries of a row of P of which the greatest is found at once."""
DOUBT = 3 * 2.0**-8
"""Share of a score by which two may be wrongly apart in bfloat16, where nothing averages out: three
roundings each, of both features and of their product. Nearer ones are compared exactly."""
CHUNK = 1 << 12
"""Patches that are compared exactly at once."""
HABIT = 0.05
"""Share of its score that a patch gains if it was the best in all of the last frames."""
WORKING = 40 << 20
"""Bytes of the working space, about, whatever the sizes of the maps."""


class StylePatches:
    """The patches of feature maps of one or several styles, prepared once for many contents.

    A patch is `side` x `side` features of all channels. One begins every `stride` features, and one
    ends where the map ends: where the stride does not divide, the published code leaves a border
    without features. Patches are numbered style by style, line by line.

    precision "exact": products in float32, or float64 if the maps are. "fast": in bfloat16, summed
    in float32; where the best two are too near to each other to be told apart in bfloat16, these
    two are compared exactly. For processors that multiply bfloat16 natively.
    """

    @torch.no_grad()
    def __init__(
        self,
        maps: Sequence[Tensor],
        side: int = 3,
        stride: int = 1,
        *,
        regions: Sequence[Tensor | None] | None = None,
        precision: Precision = "exact",
    ) -> None:
        """maps: features 1 C h w of each style, of any sizes, on one device.

        regions: for each style its planes K h w in [0,1]: a patch serves the regions that make up
        half of it or more. None: all its patches serve every region. Raises ValueError where a map
        is smaller than a patch or zero everywhere, where channels or regions do not agree, on a
        region that no patch serves, and on a stride that leaves gaps.
        """
        region_masks = list(regions or [None] * len(maps))
        _check(maps, side, stride, region_masks, precision)
        self.side, self.stride = side, stride
        self._fast = precision == "fast"
        self._dtype = torch.promote_types(maps[0].dtype, torch.float32)
        styles = [_Map(features, side, stride, self._dtype) for features in maps]
        pixels = [style.pixels for style in styles]
        # The last row is no pixel's: at a content's border fewer patches meet.
        self._pixels = torch.cat([*pixels, torch.zeros_like(pixels[0][:1])])
        starts = [sum(len(s.pixels) for s in styles[:i]) for i in range(len(styles))]
        self._corner = torch.cat(
            [(s.corner + start).flatten() for s, start in zip(styles, starts, strict=True)]
        )
        self._width = torch.cat([torch.full_like(s.corner, s.width).flatten() for s in styles])
        lengths = [style.lengths() for style in styles]
        for number, length in enumerate(lengths, 1):
            if not length.any():
                raise ValueError(
                    f"style {number} is flat: all its features are zero, and no patch of it is "
                    "like anything; take another picture"
                )
        length = torch.cat([each.flatten() for each in lengths])
        self._inverse = torch.where(length > 0, 1 / length, 0).to(self._dtype)
        # A patch of zeros is like nothing. The last row is for contents without regions.
        self._serves = _serves(styles, region_masks) & (length > 0)
        self._regions = next((len(each) for each in region_masks if each is not None), None)
        for number, patches in enumerate(self._serves[:-1], 1):
            if not patches.any():
                raise ValueError(
                    f"no patch of the style serves region {number}: enlarge that region of the "
                    "style's mask or, as styles are scaled to the photo, take a greater "
                    "style scale or a larger photo; or give the region a style of its own"
                )
        self._pieces: list[_Piece] = []
        first = 0
        for style in styles:
            self._pieces += self._cut(style, first)
            first += style.corner.numel()

    @property
    def nbytes(self) -> int:
        """Bytes of what is prepared."""
        parts = [p for i in self._pieces for p in (i.keys, i.inverse, i.bias, i.number)]
        own = [self._pixels, self._corner, self._width, self._inverse, self._serves]
        return sum(tensor.nbytes for tensor in (*own, *parts))

    @torch.no_grad()
    def best(self, content: Tensor, regions: Tensor | None = None) -> Tensor:
        """The number of the patch most like each patch of the content: rows x columns of them.

        content: features 1 C H W. regions: planes K H W of the content in [0,1], in the order of
        the style's; a patch belongs to the one that makes up most of it. Without regions, here or
        in all styles, it may take any patch. Of equal ones the first is taken. Raises ValueError on
        a content smaller than a patch, and where channels or regions do not agree with the style's.
        """
        return self._best(self._opened(content, regions), regions)

    @torch.no_grad()
    def swap(
        self, content: Tensor, regions: Tensor | None = None, recall: Recall | None = None
    ) -> Tensor:
        """The content 1 C H W made of the style's patches, their mean where they overlap.

        recall: for a frame of a film, takes the `best` of its patches and returns those of the
        last frames, its own first. Patches that were found in several of them at one place have an
        advantage there, see HABIT. Other arguments and errors as for `best`.
        """
        where = self._opened(content, regions)
        best = self._best(where, regions)
        if recall is not None:
            best = self._steadied(where, self._owner(where, regions), recall(best))
        # Which pixels of the styles meet in each pixel: one for each place in a patch, or none.
        none = len(self._pixels) - 1
        table = best.new_full((len(where.pixels), self.side**2), none, dtype=torch.int32)
        for place, (row, column) in enumerate(_places(self.side)):
            met = self._corner[best] + row * self._width[best] + column
            table[where.corner + row * where.width + column, place] = met.int()
        found = F.embedding_bag(table, self._pixels, mode="sum")
        found /= (table != none).sum(1, keepdim=True)
        height, width = content.shape[2:]
        return found.view(1, height, width, -1).permute(0, 3, 1, 2).to(content.dtype)

    def _opened(self, content: Tensor, regions: Tensor | None) -> _Map:
        _check_map("the content", content, self.side, self._pixels.shape[1])
        _check_planes("the content", content, regions, self._regions)
        return _Map(content, self.side, self.stride, self._dtype)

    def _cut(self, style: _Map, first: int) -> Iterator[_Piece]:
        """A style's map in pieces. first: number of its first patch."""
        whole, side = style.keys()
        rows, columns = style.corner.shape
        patches = slice(first, first + rows * columns)
        inverse = self._inverse[patches].view(rows, columns)
        serves = self._serves[:, patches].view(-1, rows, columns)
        for left, right in _spans(columns, max(BREADTH - side + 1, side)):
            tall = PIECE // (right - left + side - 1)
            for top, bottom in _spans(rows, max(tall - side + 1, side)):
                here = slice(top, bottom), slice(left, right)
                part = whole[top : bottom + side - 1, left : right + side - 1]
                keys = part.flatten(0, 1)
                rest = (0, side - 1, 0, side - 1)  # where a patch would run over the border
                more = (0, -len(keys) % LINE)
                number = torch.arange(top, bottom)[:, None] * columns + torch.arange(left, right)
                bias = torch.where(serves[:, *here], 0.0, -torch.inf).to(self._dtype)
                yield _Piece(
                    F.pad(keys, (0, 0, *more)).to(torch.bfloat16 if self._fast else self._dtype),
                    side,
                    part.shape[1],
                    F.pad(F.pad(inverse[here], rest).flatten(), more),
                    F.pad(F.pad(bias, rest, value=-torch.inf).flatten(1), more, value=-torch.inf),
                    F.pad(F.pad(number + first, rest).flatten(), more).to(keys.device),
                )

    def _steadied(self, content: _Map, owner: Tensor | None, frames: Sequence[Tensor]) -> Tensor:
        """The best patches of the present frame, the first, among those of all frames. owner: the
        regions of its patches.
        """
        own = frames[0]
        result = own.clone()
        votes = torch.stack(list(frames))  # F rows columns
        undecided = (votes != own).any(dim=0).nonzero()
        for part in torch.split(undecided, CHUNK):
            here = part.unbind(1)
            found = votes[:, here[0], here[1]]
            shares = (found[:, None] == found).sum(dim=1) / len(frames)
            scores = self._scored(content, here, found)
            scores += HABIT * shares * scores.abs()
            if owner is not None:
                scores[~self._serves[owner[here], found]] = -torch.inf
            result[here] = found.gather(0, scores.argmax(dim=0, keepdim=True))[0]
        return result

    def _scored(self, content: _Map, here: tuple[Tensor, ...], numbers: Tensor) -> Tensor:
        """The exact scores of patches n P for the content's patches at P places."""
        corner = content.corner[here]
        scores = torch.zeros_like(numbers, dtype=self._dtype)
        for row, column in _places(self.side):
            own = content.pixels[corner + row * content.width + column]
            met = self._pixels[self._corner[numbers] + row * self._width[numbers] + column]
            scores += (own * met).sum(dim=2)
        return scores * self._inverse[numbers]

    def _owner(self, content: _Map, regions: Tensor | None) -> Tensor | None:
        """The region of each of the content's patches; None where they may take any patch."""
        if regions is None or self._regions is None:
            return None
        return content.shares(regions).argmax(dim=0)

    # -- the search -------------------------------------------------------------------------

    def _best(self, content: _Map, regions: Tensor | None) -> Tensor:
        owner = self._owner(content, regions)
        keys, side = content.keys()
        # Room for all strips: what each leaves behind would lie between blocks that are free again.
        count = 2 if self._fast else 1
        scores = content.pixels.new_empty(count, *content.corner.shape)
        numbers = torch.empty_like(scores, dtype=torch.int64)
        for left, right in _spans(content.corner.shape[1], max(BREADTH - side + 1, side)):
            strip = keys[:, left : right + side - 1].to(self._pieces[0].keys.dtype)
            whose = None if owner is None else F.pad(owner[:, left:right], (0, side - 1)).flatten()
            for all_found, found in zip((scores, numbers), self._search(strip, whose), strict=True):
                lines = found.view(count, len(content.corner), strip.shape[1])
                all_found[..., left:right] = lines[..., : right - left]
        return self._told_apart(content, scores, numbers) if self._fast else numbers[0]

    def _search(self, strip: Tensor, owner: Tensor | None) -> Found:
        """The best for each pixel of h w C where a patch begins: 1 x pixels, in bfloat16 with the
        second best, 2 x pixels. Those in the last columns, where none begins, mean nothing.
        owner: regions of the patches.
        """
        pixels = (len(strip) - self._pieces[0].side + 1) * strip.shape[1]
        count = 2 if self._fast else 1
        best = strip.new_full((count, pixels), -torch.inf, dtype=self._dtype)
        numbers = torch.zeros_like(best, dtype=torch.int64)
        for piece in self._pieces:
            found = []
            for first, scores in _scores(strip, piece, self._dtype):
                here = slice(first, first + len(scores))
                if owner is not None:
                    scores += piece.bias[owner[here]]
                at, *more = piece.best(scores, best[-1, here], count)
                found.append((at + first, *more))
            _insert(best, numbers, *(torch.cat(parts) for parts in zip(*found, strict=True)))
        return best, numbers

    def _told_apart(self, content: _Map, scores: Tensor, numbers: Tensor) -> Tensor:
        """The better of two, by an exact comparison where their scores are too near."""
        score, second = scores.unbind()
        best, other = numbers.unbind()
        # The errors of side x side entries of P average out.
        doubt = DOUBT / self._pieces[0].side * score.abs()
        for near in torch.split((score - second <= doubt).nonzero(), CHUNK):
            here = near.unbind(1)
            both = torch.stack([best[here], other[here]]).sort(dim=0).values  # of equals the first
            exact = self._scored(content, here, both)
            best[here] = torch.where(exact[1] > exact[0], both[1], both[0])
        return best


class _Map:
    """A feature map as a list of pixels, and where its patches begin."""

    def __init__(self, features: Tensor, side: int, stride: int, dtype: torch.dtype) -> None:
        self.side, self.stride = side, stride
        self.height, self.width = features.shape[2:]
        self.pixels = features[0].permute(1, 2, 0).flatten(0, 1).to(dtype).contiguous()
        rows, columns = (
            torch.tensor(_starts(length, side, stride), device=features.device)
            for length in (self.height, self.width)
        )
        self.corner = rows[:, None] * self.width + columns
        """The first pixel of each patch, rows x columns."""

    def at_places(self, values: Tensor) -> Iterator[Tensor]:
        """For each place in a patch the values there, of all patches. values: one a pixel."""
        for row, column in _places(self.side):
            yield values[self.corner + row * self.width + column]

    def lengths(self) -> Tensor:
        """Euclidean, of the patches."""
        squares = torch.linalg.vector_norm(self.pixels, dim=1).square()
        return sum(self.at_places(squares), start=squares.new_zeros(())).sqrt()

    def shares(self, region_masks: Tensor) -> Tensor:
        """How much of each patch is of each region, K x rows x columns."""
        total = sum(self.at_places(region_masks.flatten(1).T), start=region_masks.new_zeros(()))
        return total.movedim(2, 0) / self.side**2

    def keys(self) -> tuple[Tensor, int]:
        """What is compared, a map h w C, and the side of a patch in it.

        With a stride the patches themselves are the pixels of a smaller map: few sums of nine
        entries of P would be asked for.
        """
        if self.stride == 1:
            return self.pixels.view(self.height, self.width, -1), self.side
        return torch.cat(list(self.at_places(self.pixels)), dim=-1), 1


@dataclass(frozen=True)
class _Piece:
    """A part of a style's map, whose products stay in the cache."""

    keys: Tensor
    """Its pixels, n C; zeros at the end make them a multiple of LINE."""
    side: int
    """Of its patches."""
    width: int
    """Of its lines, in pixels."""
    inverse: Tensor
    """Of the lengths of the patches that begin at its pixels, n."""
    bias: Tensor
    """Minus infinity where no patch begins that serves a region, else 0: K + 1 n, the last for
    any region."""
    number: Tensor
    """Of the patches, n."""

    def best(self, scores: Tensor, least: Tensor, count: int) -> tuple[Tensor, ...]:
        """The best patches, `count` of them, one or more, where they score `least` or more.

        scores: m x n, which are overwritten. least: m. Returns at which of the m there is any, and
        for each of `count` its score there and its number.
        """
        # To find a maximum takes a tenth of the time that its position takes.
        lines = scores.view(len(scores), -1, LINE)
        peaks = lines.amax(dim=2)
        at = (peaks.amax(dim=1) >= least).nonzero()[:, 0]
        peaks = peaks[at]
        each = torch.arange(len(at), device=at.device)
        found = [at]
        for left in reversed(range(count)):
            peak, line = peaks.max(dim=1)
            entries = lines[at, line]
            place = entries.argmax(dim=1)
            found += [peak, self.number[line * LINE + place]]
            if left:  # the next one is often a neighbor of this
                lines[at, line, place] = -torch.inf
                entries[each, place] = -torch.inf
                peaks[each, line] = entries.amax(dim=1)
        return tuple(found)


def _scores(content: Tensor, piece: _Piece, dtype: torch.dtype) -> Iterator[tuple[int, Tensor]]:
    """The scores of a piece's patches for the content's, h w C.

    Yields the first pixel, and the scores m x n of some pixels. Those in the last side - 1 columns
    mean nothing. Valid until the next are asked for.
    """
    height, width, _ = content.shape
    n, side = len(piece.keys), piece.side
    rows = max(1, BLOCK // (width * n))
    scores = content.new_empty(rows, width * n, dtype=dtype)
    widened = torch.empty_like(scores[0])
    sums = deque(scores.new_empty(side, width * n))  # of the last lines of pixels
    seen = 0
    for top in range(0, height, rows):
        ready = 0
        for line in _matrix(content[top : top + rows], piece.keys).view(-1, width * n):
            products = line if line.dtype == dtype else widened.copy_(line)
            sums.append(_shifted_sum([products] * side, n + 1, out=sums.popleft()))
            seen += 1
            if seen >= side:
                summed = _shifted_sum(sums, piece.width, out=scores[ready]).view(width, n)
                torch.addcmul(piece.bias[-1], summed, piece.inverse, out=summed)
                ready += 1
        del line, products  # or they would keep this block of P beside the next
        if ready:
            yield (seen - side + 1 - ready) * width, scores[:ready].view(-1, n)


def _matrix(content: Tensor, style: Tensor) -> Tensor:
    """The products of all pixels h w C with all of n C, flat."""
    if content.dtype == torch.float32 and content.device.type == "cpu":
        # As a 1x1 convolution it is oneDNN's, twice as fast as MKL's on some processors.
        maps = F.conv2d(content[None].permute(0, 3, 1, 2), style[:, :, None, None])
        return maps.permute(0, 2, 3, 1).flatten()
    return (content.flatten(0, 1) @ style.T).flatten()


def _shifted_sum(parts: Sequence[Tensor], step: int, out: Tensor) -> Tensor:
    """out[i] = parts[0][i] + parts[1][i + step] + ...; zero where one of them ends before."""
    length = max(0, len(out) - (len(parts) - 1) * step)
    out[length:] = 0.0
    first, *others = (part[index * step :][:length] for index, part in enumerate(parts))
    if not others:
        return out.copy_(first)
    head = torch.add(first, others[0], out=out[:length])
    for each in others[1:]:
        head += each
    return out


def _insert(best: Tensor, numbers: Tensor, at: Tensor, *found: Tensor) -> None:
    """Put what was found where it belongs among the best so far, the last of which drops out.

    best, numbers: count x pixels. found: at some pixels the scores and numbers, of the best first.
    """
    for place in range(len(best)):
        score, number = found[2 * place : 2 * place + 2]
        # What is second in its piece is not the first of all.
        for kept, which in zip(best[place:], numbers[place:], strict=True):
            old = kept[at], which[at]
            better = (score > old[0]) | ((score == old[0]) & (number < old[1]))
            kept[at] = torch.where(better, score, old[0])
            which[at] = torch.where(better, number, old[1])
            score = torch.where(better, old[0], score)
            number = torch.where(better, old[1], number)


def _places(side: int) -> list[tuple[int, int]]:
    """Row and column of each place in a patch."""
    return [divmod(place, side) for place in range(side**2)]


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Where patches begin along a side of a map: the last ends where it ends."""
    last = length - side
    return [*range(0, last, stride), last]


def _spans(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut a length into equal parts of `most` or less: where each begins and ends."""
    count = math.ceil(length / most)
    for index in range(count):
        yield length * index // count, length * (index + 1) // count


def _serves(styles: Sequence[_Map], regions: Sequence[Tensor | None]) -> Tensor:
    """Which patches of all styles serve which region, and any at all, K + 1 P."""
    count = next((len(region_masks) for region_masks in regions if region_masks is not None), 0)
    parts = []
    for style, region_masks in zip(styles, regions, strict=True):
        serves = torch.ones_like(style.corner, dtype=torch.bool).repeat(count + 1, 1, 1)
        if region_masks is not None:
            serves[:-1] = style.shares(region_masks) >= 0.5
        parts.append(serves.flatten(1))
    return torch.cat(parts, dim=1)


# -- what is refused ------------------------------------------------------------------------


def _check(
    maps: Sequence[Tensor],
    side: int,
    stride: int,
    regions: Sequence[Tensor | None],
    precision: str,
) -> None:
    if not maps:
        raise ValueError("no style: give one picture or more")
    if precision not in ("exact", "fast"):
        raise ValueError(f"unknown precision {precision!r}; there are exact, fast")
    if not 1 <= stride <= side:
        raise ValueError(
            f"a stride of {stride} does not do for patches of {side}x{side} features: take 1 to "
            f"{max(side, 1)}, or some features would have no patch"
        )
    if len(regions) != len(maps):
        raise ValueError(f"{len(maps)} styles, but regions of {len(regions)}")
    count = next((len(region_masks) for region_masks in regions if region_masks is not None), None)
    for number, (features, region_masks) in enumerate(zip(maps, regions, strict=True), 1):
        _check_map(f"style {number}", features, side, maps[0].shape[1])
        _check_planes(f"style {number}", features, region_masks, count)


def _check_map(whose: str, features: Tensor, side: int, channels: int) -> None:
    if len(features) != 1:
        raise ValueError(f"{whose} has {len(features)} maps: give them one by one")
    height, width = features.shape[2:]
    if features.shape[1] != channels:
        raise ValueError(
            f"{whose} has {features.shape[1]} channels, the first style {channels}: take all "
            "from one layer of one encoder"
        )
    if min(height, width) < side:
        raise ValueError(
            f"{whose} is too small for patches of {side}x{side} features: there are "
            f"{width}x{height}; take a larger picture, smaller patches or a shallower layer"
        )


def _check_planes(
    whose: str, features: Tensor, region_masks: Tensor | None, count: int | None
) -> None:
    if region_masks is None:
        return
    height, width = features.shape[2:]
    if region_masks.shape[1:] != features.shape[2:]:
        raise ValueError(
            f"{whose} has {width}x{height} features, its regions are "
            f"{region_masks.shape[-1]}x{region_masks.shape[-2]}"
        )
    if count is not None and len(region_masks) != count:
        raise ValueError(f"{whose} has {len(region_masks)} regions, the style has {count}")

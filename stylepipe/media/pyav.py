"""What differs between PyAV 18 and 19, and nothing else."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

MILLISECOND = Fraction(1, 1000)


def fraction(value: Any) -> Fraction | None:
    """Any rate, ratio or time base of PyAV's as a Fraction; None where it is not set.

    PyAV 18 gives a Fraction or None; 19 an AVRational, whose unset values (0/1, 0/0, 1/0) are false
    and whose arithmetic rounds to 32 bits.
    """
    return Fraction(value.numerator, value.denominator) if value else None


def base_of(thing: Any) -> Fraction:
    """The time base of a stream, packet or frame in seconds; milliseconds where it has none."""
    return fraction(thing.time_base) or MILLISECOND


def any_text() -> dict[str, Any]:
    """Keywords for ``av.open`` that let texts through which are no UTF-8, as the bytes they are.

    PyAV 19 does so by itself and knows no such keywords.
    """
    import av

    return {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}


def printable(text: str) -> str:
    """Such a text for people: what is no UTF-8 becomes question marks."""
    return text.encode(errors="surrogateescape").decode(errors="replace")

"""Side data of decoded frames: what FFmpeg tells beside the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av


def side_data(frame: av.VideoFrame, name: str) -> bytes:
    """Side data of a frame by PyAV's name for its type; empty where there is none.

    A frame whose side data was read lives until cycles are collected: read that of few frames.
    """
    from av.sidedata import sidedata

    # PyAV 18 refuses all of a frame's side data if one type is newer than itself; 19 names it so.
    kinds: Any = sidedata.Type
    if "_missing_" not in vars(kinds):
        kinds._missing_ = classmethod(_unknown)
    found: Any = frame.side_data.get(name)
    return b"" if found is None else bytes(found)


def _unknown(kind: Any, value: object) -> Any:
    """A member of the enumeration ``kind`` for a number that it does not know."""
    member = object.__new__(kind)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return kind._value2member_map_.setdefault(value, member)

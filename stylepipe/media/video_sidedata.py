"""Side data of decoded frames: what FFmpeg says beside the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

_NAMES = {
    "A53_CC": "closed captions",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "S12M_TIMECODE": "timecode in the pictures",
    "SPHERICAL": "marks of 360-degree film",
    "STEREO3D": "marks of 3D film",
}
"""What PyAV's types hold that belongs to a film and that painted pictures do not take along."""


def kept_by_none(frame: av.VideoFrame) -> list[str]:
    """What a frame says that cannot be kept, by its usual names."""
    return list(dict.fromkeys(name for kind, name in _NAMES.items() if side_data(frame, kind)))


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

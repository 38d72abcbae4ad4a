"""What the engine relies on, as tests to derive from: see stylepipe.testing."""

from stylepipe.contracts.base import ComponentContract, MakeFile, context, scene
from stylepipe.contracts.flow import FlowContract
from stylepipe.contracts.masker import MaskerContract
from stylepipe.contracts.plugin import PluginContract
from stylepipe.contracts.reader import ReaderContract
from stylepipe.contracts.stylizer import StylizerContract
from stylepipe.contracts.temporal import TemporalContract
from stylepipe.contracts.writer import WriterContract

__all__ = [
    "ComponentContract",
    "FlowContract",
    "MakeFile",
    "MaskerContract",
    "PluginContract",
    "ReaderContract",
    "StylizerContract",
    "TemporalContract",
    "WriterContract",
    "context",
    "scene",
]

"""The embedded registry: the demo, the tests and the doctor talk to it."""

from .call import Exchange
from .faults import Fault, Kinds, On, Schedule, What
from .options import Basic, Ollama, OnCut, Options, Token
from .server import EmbeddedRegistry

__all__ = [
    "Basic",
    "EmbeddedRegistry",
    "Exchange",
    "Fault",
    "Kinds",
    "Ollama",
    "On",
    "OnCut",
    "Options",
    "Schedule",
    "Token",
    "What",
]

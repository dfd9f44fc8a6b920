"""The embedded registry: the demo, the tests and the doctor talk to it."""

from .call import Exchange
from .options import Basic, Ollama, OnCut, Options, Token
from .server import EmbeddedRegistry

__all__ = ["Basic", "EmbeddedRegistry", "Exchange", "Ollama", "OnCut", "Options", "Token"]

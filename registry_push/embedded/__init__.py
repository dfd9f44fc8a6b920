"""The embedded registry, for the demo and the tests."""

from .call import Exchange
from .faults import Fault, Kinds, On, Schedule, What
from .options import Basic, HuggingFace, Ollama, OnCut, Options, Token
from .quirks import ECR, GITEA, QUAY, R2, EqualChunks, Quirks, SlowCommit
from .rate_limiter import LimitWindow, RateLimit
from .server import EmbeddedRegistry

__all__ = [
    "ECR",
    "GITEA",
    "QUAY",
    "R2",
    "Basic",
    "EmbeddedRegistry",
    "EqualChunks",
    "Exchange",
    "Fault",
    "HuggingFace",
    "Kinds",
    "LimitWindow",
    "Ollama",
    "On",
    "OnCut",
    "Options",
    "Quirks",
    "RateLimit",
    "Schedule",
    "SlowCommit",
    "Token",
    "What",
]

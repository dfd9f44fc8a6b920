"""Fixtures for every test, and the watch over secrets."""

from __future__ import annotations

import signal

from hypothesis import settings

from .support.leaks import pytest_configure, pytest_runtest_makereport, pytest_runtest_setup
from .support.registries import (
    docker_registry,
    docker_registry_htpasswd,
    embedded,
    embedded_with,
    registry,
    zuul_registry,
)

__all__ = [
    "docker_registry",
    "docker_registry_htpasswd",
    "embedded",
    "embedded_with",
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "registry",
    "zuul_registry",
]

# A deadline for each example would test how busy the machine is.
settings.register_profile("registry-push", deadline=None)
settings.load_profile("registry-push")

# A shell starts what runs in the background with SIGINT ignored, and children inherit that: none could be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""Fixtures for every test."""

from __future__ import annotations

from .support.registries import docker_registry, docker_registry_htpasswd, embedded, embedded_with, registry

__all__ = ["docker_registry", "docker_registry_htpasswd", "embedded", "embedded_with", "registry"]

"""Content at a registry."""

"""Push models from a local Ollama store to an OCI registry."""

__version__ = "0.1.0"

"""Ollama's store on disk."""

"""The service: Ollama's `POST /api/push`, without Ollama."""

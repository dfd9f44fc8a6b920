"""Content at a registry. The only room that imports aiohttp's client."""

"""What to say in an upload. Pure."""

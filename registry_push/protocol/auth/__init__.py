"""What to say about who we are. Pure."""

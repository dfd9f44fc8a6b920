"""What to say to a registry and what its answers mean. Pure: no network, no files, no clock."""

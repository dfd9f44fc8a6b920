"""Stores of content on this machine, and what they have in common."""

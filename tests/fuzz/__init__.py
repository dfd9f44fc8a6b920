"""Fuzzing of everything that reads foreign bytes: each is a row with seeds, and a callable that takes bytes."""

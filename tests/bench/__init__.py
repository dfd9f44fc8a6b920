"""How fast we are beside others: `python -m tests.bench`."""

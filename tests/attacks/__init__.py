"""Known attacks: a row each, the tests that hold against it, and the table of both."""

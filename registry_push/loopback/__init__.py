"""The embedded registry: the demo, the tests and the doctor talk to it."""

"""One registry's repositories copied to another, by the command, with kills in between."""

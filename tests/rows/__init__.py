"""A conversation or more for each row of the upload's tables; `python -m tests.rows` shows that each row is needed."""

"""`sync`: mirrors by a plan."""

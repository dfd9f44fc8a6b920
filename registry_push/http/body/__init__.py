"""Bodies of uploads, on their way from disk to socket."""

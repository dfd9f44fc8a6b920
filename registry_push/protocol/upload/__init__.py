"""What to say in an upload: begin with `session.py`, then read the page above `oci_table.py`. Pure."""

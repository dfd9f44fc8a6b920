"""OCI image layouts."""

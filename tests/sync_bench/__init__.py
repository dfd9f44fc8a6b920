"""How fast `registry-push sync` is beside skopeo sync and regsync: `python -m tests.sync_bench`."""

"""Who we are: logins, tokens, keys."""

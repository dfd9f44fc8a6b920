"""`doctor`: what is wrong with the store, the key, the network, the login or the registry, and what mends it."""

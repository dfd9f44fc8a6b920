"""Every source of a login at real registries."""

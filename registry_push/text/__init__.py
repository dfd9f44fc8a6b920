"""Words for people, and hostile text made safe. Pure; imports the errors at most."""

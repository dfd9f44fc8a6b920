"""What a user can ask for, a file each."""

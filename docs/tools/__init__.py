"""What builds the site and its pictures; run from the top of the repository."""

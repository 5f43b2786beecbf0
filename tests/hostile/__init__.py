"""What a server can do to a client that has let it in."""

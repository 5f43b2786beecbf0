"""Books on a server that loses, repeats, reorders and begins anew, and is killed."""

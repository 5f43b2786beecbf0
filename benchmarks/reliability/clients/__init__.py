"""One small program for each library: the way its documentation tells its users to."""

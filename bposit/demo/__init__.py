"""`make demo`: two networks trained in bounded posits beside floats, and what is exact about it."""

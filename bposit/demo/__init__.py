"""`make demo`: train on real data in bounded posits, beside floats, and show what is exact."""

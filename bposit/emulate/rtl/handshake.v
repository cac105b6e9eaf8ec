// Both sides shake hands: what is valid is taken at clk's rising edge where ready is 1. Results come
// in order, two cycles after their operands if nothing waits; one may enter each cycle. rst is
// synchronous and empties the unit.

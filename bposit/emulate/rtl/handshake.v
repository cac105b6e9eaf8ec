//   clk, rst: all registers change at clk's rising edge; rst is synchronous, and empties the unit
//   in_valid, in_ready: operands are taken at the edges where both are 1
//   out_valid, out_ready: so are results, which come in order, two cycles after their operands if
//   nothing waits; operands may enter each cycle

//! Builds of the program with known faults, to see that the checker finds them.

//! The joined rooms, as a cluster in one thread.

mod simulation;

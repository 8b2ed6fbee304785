//! What browsers and other programs reach.

pub mod h5;

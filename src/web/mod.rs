//! What browsers and other programs reach.

pub mod desk;
pub mod h5;

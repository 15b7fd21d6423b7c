//! The fronts: what speaks to the world, each in its protocol. None knows another.

pub mod http;
pub mod kafka;
pub mod mqtt;

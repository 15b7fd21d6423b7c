//! One thread with its executor, its partitions, its journal and its connections.

pub mod reactor;

//! The messages against another implementation of the protocol, and against bytes that mean harm.

mod hostile;
mod oracle;
mod samples;

//! Tests of the Kafka front through its public interface.

mod cli;
mod wire_hostile;
mod wire_oracle;
mod wire_samples;

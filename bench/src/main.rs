//! `strandline-bench`: what a Kafka broker does under load, any Kafka broker, and whether it kept what it
//! acknowledged.
//!
//! ```text
//! workload > load (schedule, template, stamp) > broker > read > verify      one measurement (measure)
//!            samples                            process  isolation          what it is made of
//!            history, cold, table                read > verify              what is there before it
//! device, null_broker (canned), bare                                          what it is to be compared with
//! self_test, references, suite, series, mixed, recovery                     measurements in rows
//! hostile                                                                   beside clients that mean harm
//! transactions                                                              producers that commit, readers of it
//! groups                                                                    members that come and go, queues
//! clients                                                                   the clients that people have
//! aims                                                                      all of it against the aims
//! loopback                                                                  the engine without a network
//! arguments > command > output                                              what is asked for, and the doing of it
//! ```

mod aims;
mod arguments;
mod bare;
mod broker;
mod canned;
mod client;
mod clients;
mod clock;
mod cold;
mod command;
mod device;
mod groups;
mod history;
mod hostile;
mod isolation;
mod load;
mod loopback;
mod measure;
mod memory;
mod mixed;
mod null_broker;
mod output;
mod process;
mod progress;
mod read;
mod recovery;
mod references;
mod report;
mod samples;
mod schedule;
mod self_test;
mod series;
mod stamp;
mod suite;
mod table;
mod template;
mod transactions;
mod verify;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run().map(|()| output::end()) {
        Ok(code) => code,
        Err(error) => {
            output::note!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

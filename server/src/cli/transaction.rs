//! `strandline transaction`: list and describe transactional ids, and abort a transaction that nobody ends.

use super::common::{Cluster, CommandError, joined, plain};
use clap::{Subcommand, ValueEnum};
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use strandline_client::{TransactionDescription, TransactionSummary};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(subcommand)]
    command: TransactionCommand,
}

#[derive(Debug, Subcommand)]
enum TransactionCommand {
    /// Print all transactional ids, one a line
    List {
        /// Only those in these states
        #[arg(long, value_enum, value_name = "STATE,...", value_delimiter = ',', ignore_case = true)]
        state: Vec<State>,
        /// Print a JSON array of objects with id, state and producer_id
        #[arg(long)]
        json: bool,
    },
    /// Print what a transactional id is doing
    Describe {
        /// The transactional id
        id: String,
        /// Print a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Abort the open transaction of a transactional id, and fence its producer
    Abort {
        /// The transactional id
        id: String,
    },
}

/// Kafka's names of the states of a transactional id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    /// It has had no transaction since its producer began
    #[value(name = "Empty")]
    Empty,
    /// Its transaction is open
    #[value(name = "Ongoing")]
    Ongoing,
    /// It is committed, and consumers are about to see it
    #[value(name = "PrepareCommit")]
    PrepareCommit,
    /// It is aborted, and consumers are about to go on
    #[value(name = "PrepareAbort")]
    PrepareAbort,
    /// Its last transaction was committed
    #[value(name = "CompleteCommit")]
    CompleteCommit,
    /// Its last transaction was aborted
    #[value(name = "CompleteAbort")]
    CompleteAbort,
}

/// Does with transactional ids what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let mut client = args.cluster.connect()?;
    let mut out = io::stdout().lock();
    match args.command {
        TransactionCommand::List { state, json } => {
            let states: Vec<String> = state.iter().map(|state| format!("{state:?}")).collect();
            list(&client.transactions(&states)?, json, &mut out)?;
        }
        TransactionCommand::Describe { id, json } => {
            let found = client.transaction(&id)?;
            match json {
                true => writeln!(out, "{}", described(&found))?,
                false => text(&found, &mut out)?,
            }
        }
        TransactionCommand::Abort { id } => client.abort_transaction(&id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(transactions: &[TransactionSummary], json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let listed = transactions
            .iter()
            .map(|of| json!({ "id": of.id, "state": of.state, "producer_id": of.producer_id }));
        return writeln!(out, "{}", serde_json::Value::Array(listed.collect()));
    }
    for of in transactions {
        writeln!(out, "{}", plain(&of.id))?;
    }
    Ok(())
}

fn described(found: &TransactionDescription) -> serde_json::Value {
    let (node, address) = &found.coordinator;
    json!({
        "id": found.id,
        "state": found.state,
        "coordinator": { "id": node, "address": address.to_string() },
        "producer_id": found.producer_id,
        "producer_epoch": found.producer_epoch,
        "timeout_ms": found.timeout_ms,
        "started": (found.started_ms >= 0).then_some(found.started_ms),
        "partitions": found.partitions,
    })
}

fn text(found: &TransactionDescription, out: &mut impl Write) -> io::Result<()> {
    let TransactionDescription { id, coordinator: (node, address), state, .. } = found;
    write!(out, "transactional id {}, {}, coordinator {node} at {address}", plain(id), plain(state))?;
    let TransactionDescription { producer_id, producer_epoch, timeout_ms, started_ms, .. } = found;
    write!(out, ", producer {producer_id} in epoch {producer_epoch}, timeout {timeout_ms} ms")?;
    match started_ms {
        0.. => writeln!(out, ", begun at {started_ms} ms")?,
        _ => writeln!(out)?,
    }
    for (topic, partitions) in &found.partitions {
        writeln!(out, "writes to {}:{}", plain(topic), joined(partitions))?;
    }
    Ok(())
}

//! `strandline kafka-storage`: what the start scripts of Kafka's images, and those that tests add lines to,
//! ask of Kafka's program of that name. The image's `kafka-storage` is this.
//!
//! A data directory is made by the first start, so that there is something to format only where users are
//! given on the way.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use strandline::config::{BrokerConfig, SettingError, Settings, cluster_id};
use strandline::security::{Hash, ITERATIONS_MAX, ITERATIONS_MIN};
use strandline_engine::config::EngineConfig;
use strandline_engine::types::{base64_url, random_uuid};

use super::common::{CommandError, note};
use super::user;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: StorageCommand,
}

#[derive(Debug, Subcommand)]
enum StorageCommand {
    /// Print the id of a new cluster
    RandomUuid,
    /// Make the data directory, with users
    Format {
        /// The settings of the broker, as a properties file; KAFKA_* variables win
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The id of the cluster
        #[arg(short = 't', long, value_name = "ID")]
        cluster_id: String,
        /// Leave a directory alone that is there; it always is
        #[arg(short = 'g', long)]
        ignore_formatted: bool,
        /// Give a user a password: SCRAM-SHA-512=[name=NAME,password=PASSWORD]
        #[arg(short = 'S', long, value_name = "MECHANISM=[...]", value_parser = scram)]
        add_scram: Vec<Scram>,
        /// Kafka's levels of features; they are those of the release here
        #[arg(long, value_name = "NAME=LEVEL")]
        feature: Vec<OsString>,
        /// A quorum of this node alone; there is no other here
        #[arg(short, long)]
        standalone: bool,
    },
}

/// A user that is given a password.
#[derive(Clone)]
struct Scram {
    hash: Hash,
    name: String,
    password: String,
    iterations: u32,
}

/// Without the password.
impl std::fmt::Debug for Scram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scram").field("hash", &self.hash).field("name", &self.name).finish()
    }
}

fn scram(text: &str) -> Result<Scram, &'static str> {
    const FORM: &str = "SCRAM-SHA-256 or SCRAM-SHA-512=[name=NAME,password=PASSWORD] is expected";
    let (mechanism, rest) = text.split_once('=').ok_or(FORM)?;
    let hash =
        [Hash::Sha256, Hash::Sha512].into_iter().find(|hash| hash.to_string() == mechanism).ok_or(FORM)?;
    let rest = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(FORM)?;
    let (mut name, mut password, mut iterations) = (None, None, ITERATIONS_MIN);
    for pair in rest.split(',') {
        let (key, value) = pair.split_once('=').ok_or(FORM)?;
        let value = value.trim_matches('"');
        match key.trim() {
            "name" => name = Some(value),
            "password" => password = Some(value),
            "iterations" => {
                let found = value.parse().ok();
                let found = found.filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(count));
                iterations = found.ok_or("iterations from 4096 to 16384 are expected")?;
            }
            _ => return Err("of a user, name, password and iterations can be given"),
        }
    }
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned).ok_or(FORM);
    Ok(Scram { hash, name: given(name)?, password: given(password)?, iterations })
}

/// Does what the program of that name would.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    match args.command {
        StorageCommand::RandomUuid => writeln!(io::stdout().lock(), "{}", base64_url(&random_uuid()))?,
        StorageCommand::Format { add_scram, .. } if add_scram.is_empty() => {
            note("the data directory is made by the first start: there is nothing to format");
        }
        StorageCommand::Format { config, cluster_id: id, add_scram, .. } => {
            let config = configure(config).map_err(CommandError::Broker)?;
            let id = cluster_id("--cluster-id", &id).map_err(CommandError::Broker)?;
            let engine = EngineConfig {
                reactor: config.reactor,
                node_id: config.node_id,
                cluster_id: Some(id),
                shards: 1,
                ..EngineConfig::new(config.data_dir)
            };
            let users =
                add_scram.into_iter().map(|user| (user.name, user.hash, user.password, user.iterations));
            user::add_all(engine, users)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the broker's own start makes of the same file and environment. A file that is not there is one that
/// Kafka's scripts would have written out of the environment.
fn configure(file: Option<PathBuf>) -> Result<BrokerConfig, SettingError> {
    let mut settings = Settings::default();
    if let Some(file) = file.filter(|file| file.exists()) {
        settings.read_file(&file)?;
    }
    settings.read_environment(std::env::vars_os())?;
    BrokerConfig::resolve(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_as_kafka_writes_it() {
        let user = scram("SCRAM-SHA-256=[name=alice,password=\"a=b\",iterations=8192]").unwrap();
        assert_eq!(
            (user.hash, &*user.name, &*user.password, user.iterations),
            (Hash::Sha256, "alice", "a=b", 8192)
        );
        assert!(!format!("{user:?}").contains("a=b"));
        for wrong in [
            "",
            "PLAIN=[name=a,password=b]",
            "SCRAM-SHA-512=name=a,password=b",
            "SCRAM-SHA-512=[name=a]",
            "SCRAM-SHA-512=[name=,password=b]",
            "SCRAM-SHA-512=[name=a,password=b,salt=c]",
            "SCRAM-SHA-512=[name=a,password=b,iterations=1]",
        ] {
            assert!(scram(wrong).is_err(), "{wrong}");
        }
    }
}

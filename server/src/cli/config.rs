//! `strandline config`: what a broker is set to.

use super::common::{Cluster, CommandError};
use clap::Subcommand;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;
use strandline_client::{Setting, Source};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the settings of the broker, or of a topic, that differ from the defaults
    Describe {
        /// A topic; the broker unless given
        #[arg(short, long, value_name = "NAME")]
        topic: Option<String>,
        /// Print the defaults, too
        #[arg(short, long)]
        all: bool,
        /// Print a JSON array of objects with name, value, source and documentation
        #[arg(long)]
        json: bool,
    },
}

/// Prints what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let mut client = args.cluster.connect()?;
    let ConfigCommand::Describe { topic, all, json } = args.command;
    let mut settings = match topic {
        Some(name) => client.topic_settings(&name)?,
        None => client.broker_settings()?,
    };
    settings.retain(|setting| all || setting.source != Source::Default);
    print(&settings, json, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn print(settings: &[Setting], json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let settings = settings.iter().map(|Setting { name, value, source, documentation, .. }| {
            json!({ "name": name, "value": value, "source": source.word(), "documentation": documentation })
        });
        return writeln!(out, "{}", serde_json::Value::Array(settings.collect()));
    }
    for setting in settings {
        writeln!(out, "{}={}  ({})", setting.name, setting.shown(), setting.source.word())?;
        if let Some(words) = &setting.documentation {
            writeln!(out, "    {words}")?;
        }
    }
    Ok(())
}

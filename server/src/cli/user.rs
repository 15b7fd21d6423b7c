//! `strandline user`: the users that prove who they are by a password (SCRAM), at a broker that runs or in
//! the data directory of one that does not.
//!
//! A password is never an argument, where every user of the machine could read it. It is hashed here, and
//! what a broker is told of it is the hash.

use super::common::{Cluster, CommandError, plain};
use clap::{Subcommand, ValueEnum};
use futures_executor::block_on;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use strandline::security::{
    Credential, Hash, ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, named, place, random,
};
use strandline_client::Client;
use strandline_engine::config::{Credentials, EngineConfig, ReactorChoice};
use strandline_engine::{Engine, NoFront};
use strandline_protocol::messages::ScramCredentialUpsertion;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// The data directory of a broker that does not run, instead of asking one that does
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "bootstrap")]
    data_dir: Option<PathBuf>,
    /// What the engine runs on that opens it, as in serve
    #[arg(long, global = true, value_name = "auto|ring|glommio|poll", default_value_t = ReactorChoice::Auto)]
    reactor: ReactorChoice,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Give a user a password, in the place of the one that it had; it is the first line of standard input
    Add {
        /// The user
        #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
        name: String,
        /// How the user proves that it knows the password
        #[arg(
            long,
            value_enum,
            value_name = "MECHANISM,...",
            value_delimiter = ',',
            default_value = "SCRAM-SHA-512",
            ignore_case = true
        )]
        mechanism: Vec<Mechanism>,
        /// How often the password is hashed
        #[arg(long, value_name = "N", default_value_t = ITERATIONS_MIN, value_parser = clap::value_parser!(u32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
        iterations: u32,
        /// A file whose first line is the password
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Print all users with their mechanisms, one user a line
    List {
        /// Print a JSON array of objects with name and credentials
        #[arg(long)]
        json: bool,
    },
    /// Take the password of a user away; what is connected stays so
    Delete {
        /// The user
        name: String,
        /// Only for these mechanisms
        #[arg(long, value_enum, value_name = "MECHANISM,...", value_delimiter = ',', ignore_case = true)]
        mechanism: Vec<Mechanism>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mechanism {
    #[value(name = "SCRAM-SHA-256")]
    Sha256,
    #[value(name = "SCRAM-SHA-512")]
    Sha512,
}

impl Mechanism {
    fn hash(self) -> Hash {
        match self {
            Mechanism::Sha256 => Hash::Sha256,
            Mechanism::Sha512 => Hash::Sha512,
        }
    }
}

/// Each user with its mechanisms and their iterations.
type Users = BTreeMap<String, Vec<(Hash, u32)>>;

/// Where the users are.
enum Store {
    Broker(Box<Client>),
    Stopped(Engine),
}

/// Does with users what is asked for.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    // Before anything is opened: whoever types it should not find out then that it was for nothing.
    let password = match &args.command {
        UserCommand::Add { password_file, .. } => Some(read_password(password_file.as_deref())?),
        UserCommand::List { .. } | UserCommand::Delete { .. } => None,
    };
    let mut store = match &args.data_dir {
        Some(path) => Store::open(path, args.reactor)?,
        None => Store::Broker(Box::new(args.cluster.connect()?)),
    };
    let done = store.run(args.command, &password.unwrap_or_default());
    if let Store::Stopped(engine) = store {
        engine.stop()?;
    }
    done.map(|()| ExitCode::SUCCESS)
}

/// Gives users passwords in the data directory of a broker that does not run, which is made when it is not
/// there: each its name, the hash, the password and how often it is hashed.
pub(super) fn add_all(
    config: EngineConfig,
    users: impl Iterator<Item = (String, Hash, String, u32)>,
) -> Result<(), CommandError> {
    let mut store = Store::Stopped(Engine::start(config, NoFront)?);
    let added: Result<(), CommandError> = users
        .into_iter()
        .try_for_each(|(name, hash, password, iterations)| store.add(&name, hash, &password, iterations));
    if let Store::Stopped(engine) = store {
        engine.stop()?;
    }
    added
}

/// The first line. It ends where the line does, and a space in it is one of the password.
fn read_password(file: Option<&Path>) -> Result<String, CommandError> {
    let mut line = String::new();
    let read = match file {
        Some(path) => File::open(path).and_then(|file| BufReader::new(file).read_line(&mut line)),
        None => io::stdin().lock().read_line(&mut line),
    };
    read.map_err(CommandError::Password)?;
    let password = line.trim_end_matches(['\r', '\n']);
    match password.is_empty() {
        true => Err(CommandError::NoPassword),
        false => Ok(password.to_owned()),
    }
}

impl Store {
    fn open(data_dir: &Path, reactor: ReactorChoice) -> Result<Store, CommandError> {
        if !data_dir.join("meta").is_file() {
            return Err(CommandError::NoDataDir { path: data_dir.to_owned() });
        }
        let config = EngineConfig { reactor, ..EngineConfig::new(data_dir) };
        Ok(Store::Stopped(Engine::start(config, NoFront)?))
    }

    fn run(&mut self, command: UserCommand, password: &str) -> Result<(), CommandError> {
        match command {
            UserCommand::Add { name, mut mechanism, iterations, .. } => {
                mechanism.dedup();
                mechanism.iter().try_for_each(|of| self.add(&name, of.hash(), password, iterations))
            }
            UserCommand::List { json } => Ok(list(&self.users()?, json, &mut io::stdout().lock())?),
            UserCommand::Delete { name, mechanism } => {
                let named: Vec<Hash> = mechanism.iter().map(|mechanism| mechanism.hash()).collect();
                self.delete(name, &named)
            }
        }
    }

    fn users(&mut self) -> Result<Users, CommandError> {
        let mut users = Users::new();
        match self {
            Store::Broker(client) => {
                for user in client.users()? {
                    let known =
                        |(code, iterations): &(i8, i32)| Some((Hash::of_code(*code)?, *iterations as u32));
                    users.insert(user.name, user.credentials.iter().filter_map(known).collect());
                }
            }
            Store::Stopped(engine) => {
                for (place, text) in &engine.handle().settings().dynamic.credentials.0 {
                    if let Some((hash, user)) = named(place)
                        && let Some(credential) = Credential::of_text(hash, text)
                    {
                        users.entry(user.to_owned()).or_default().push((hash, credential.iterations()));
                    }
                }
            }
        }
        Ok(users)
    }

    fn add(&mut self, name: &str, hash: Hash, password: &str, iterations: u32) -> Result<(), CommandError> {
        let salt = random::<SALT_BYTES>();
        let salted = hash.salted(password.as_bytes(), &salt, iterations);
        match self {
            Store::Broker(client) => client.set_user(ScramCredentialUpsertion {
                name: name.to_owned(),
                mechanism: hash.code(),
                iterations: iterations as i32,
                salt: salt.to_vec().into(),
                salted_password: salted.into(),
            })?,
            Store::Stopped(engine) => {
                let credential = Credential::of_salted(hash, iterations as i32, &salt, &salted);
                let text = credential.expect("iterations were looked at, and the rest is ours").to_text();
                let place = place(hash, name);
                alter(engine, move |credentials| drop(credentials.0.insert(place, text)))?;
            }
        }
        Ok(())
    }

    /// Without a mechanism, all that the user has.
    fn delete(&mut self, name: String, mechanisms: &[Hash]) -> Result<(), CommandError> {
        let Some(has) = self.users()?.remove(&name) else { return Err(CommandError::NoUser { name }) };
        let has: Vec<Hash> = has.into_iter().map(|(hash, _)| hash).collect();
        let going = if mechanisms.is_empty() { &has[..] } else { mechanisms };
        match self {
            Store::Broker(client) => {
                let going: Vec<i8> = going.iter().map(|hash| hash.code()).collect();
                client.delete_user(&name, &going)?;
            }
            Store::Stopped(engine) => {
                let going: Vec<String> = going.iter().map(|hash| place(*hash, &name)).collect();
                alter(engine, move |credentials| credentials.0.retain(|place, _| !going.contains(place)))?;
            }
        }
        Ok(())
    }
}

fn alter(
    engine: &Engine,
    change: impl FnOnce(&mut Credentials) + Send + 'static,
) -> Result<(), CommandError> {
    let altered = engine.handle().alter_settings(|in_force| {
        let mut settings = in_force.dynamic.clone();
        change(&mut settings.credentials);
        Ok(settings)
    });
    Ok(block_on(altered)?)
}

fn list(users: &Users, json: bool, out: &mut impl Write) -> io::Result<()> {
    if json {
        let listed = users.iter().map(|(name, credentials)| {
            let credentials = credentials
                .iter()
                .map(|(hash, iterations)| json!({ "mechanism": hash.to_string(), "iterations": iterations }));
            json!({ "name": name, "credentials": credentials.collect::<Vec<_>>() })
        });
        return writeln!(out, "{}", serde_json::Value::Array(listed.collect()));
    }
    for (name, credentials) in users {
        let mechanisms: Vec<String> = credentials.iter().map(|(hash, _)| hash.to_string()).collect();
        writeln!(out, "{}  {}", plain(name), mechanisms.join(","))?;
    }
    Ok(())
}

//! Which of the listeners of a Kafka file are for clients, and what each of them is.
//!
//! Kafka names its listeners, maps each name to a protocol, says where clients of each are told to connect
//! to, and lists those that are for controllers. This broker serves those of clients in plaintext: those of
//! controllers are passed over, and what asks for anything else is refused with the reason.

use std::sync::Arc;

use super::host_port::HostPort;
use super::settings::{SettingError, Settings, bad};

/// A listener of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name, in upper case, as Kafka has it.
    pub name: Arc<str>,
    /// Where it listens.
    pub listen: HostPort,
    /// Where its clients are told to connect to, when it is not where it listens.
    pub advertised: Option<HostPort>,
    /// Connections at a time, where it has a limit of its own.
    pub connections_max: Option<usize>,
}

/// The listeners as this broker serves them.
pub(super) struct Listeners {
    /// Those of clients.
    pub(super) clients: Vec<ListenerConfig>,
    /// Those of controllers, as they were written.
    pub(super) passed_over: Vec<String>,
}

/// Controllers' by custom, where no `controller.listener.names` says so.
const CONTROLLER: &str = "CONTROLLER";

/// Finds the listeners of clients.
///
/// # Errors
/// [`SettingError::BadValue`] where there is none, or one that is not plaintext, or two that cannot be told
/// apart.
pub(super) fn of(settings: &Settings) -> Result<Listeners, SettingError> {
    let controllers = settings.text("controller.listener.names");
    let is_controllers = |name: &str| {
        let mut names = controllers.split(',').map(str::trim).chain([CONTROLLER]);
        names.any(|controller| controller.eq_ignore_ascii_case(name))
    };
    let written = settings.text("listeners");
    let (passed_over, clients): (Vec<_>, Vec<_>) =
        parse("listeners", written)?.into_iter().partition(|listener| is_controllers(listener.name));
    if clients.is_empty() {
        let expected = "at least one NAME://HOST:PORT for clients, beside those of controllers";
        return Err(bad("listeners", written, expected));
    }
    for (at, listener) in clients.iter().enumerate() {
        let protocol = protocol(settings, listener.name)?;
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            let expected = format!(
                "a listener in PLAINTEXT: {} is {protocol}, and there is no TLS and no SASL",
                listener.name
            );
            return Err(bad("listeners", written, &expected));
        }
        for other in &clients[..at] {
            if other.is(listener.name) {
                let expected = format!("each name once, and {} stands there twice", listener.name);
                return Err(bad("listeners", written, &expected));
            }
            if other.place == listener.place && other.place.port != 0 {
                let expected =
                    format!("a place of its own for each: {} and {} have one", other.name, listener.name);
                return Err(bad("listeners", written, &expected));
            }
        }
    }
    let written = settings.text("advertised.listeners");
    let told = parse("advertised.listeners", written)?;
    let advertised = |name: &str| told.iter().find(|told| told.is(name)).map(|told| told.place.clone());
    if let Some(stranger) = told
        .iter()
        .find(|told| !is_controllers(told.name) && !clients.iter().any(|other| other.is(told.name)))
    {
        let expected = format!("names of listeners, of which {} is none", stranger.name);
        return Err(bad("advertised.listeners", written, &expected));
    }
    if let Some(missing) =
        clients.iter().find(|listener| !told.is_empty() && advertised(listener.name).is_none())
    {
        let expected = format!("{}://HOST:PORT among them, as the listener is named", missing.name);
        return Err(bad("advertised.listeners", written, &expected));
    }
    let client = |listener: &Listener<'_>| ListenerConfig {
        name: listener.name.to_ascii_uppercase().into(),
        listen: listener.place.clone(),
        advertised: advertised(listener.name),
        connections_max: settings.connections_max_of(listener.name),
    };
    Ok(Listeners {
        clients: clients.iter().map(client).collect(),
        passed_over: passed_over
            .iter()
            .map(|listener| format!("{}://{}", listener.name, listener.place))
            .collect(),
    })
}

struct Listener<'a> {
    name: &'a str,
    place: HostPort,
}

impl Listener<'_> {
    /// Whether it has this name.
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

fn parse<'a>(setting: &'static str, written: &'a str) -> Result<Vec<Listener<'a>>, SettingError> {
    let one = |text: &'a str| {
        let (name, place) = text.split_once("://").filter(|(name, _)| !name.is_empty())?;
        Some(Listener { name, place: place.parse().ok()? })
    };
    let each = written.split(',').map(str::trim).filter(|_| !written.is_empty());
    each.map(|text| one(text).ok_or_else(|| bad(setting, written, "NAME://HOST:PORT"))).collect()
}

/// The protocol of the listener `name`: the map's, or the name itself where it is a protocol's.
fn protocol<'a>(settings: &'a Settings, name: &'a str) -> Result<&'a str, SettingError> {
    let map = settings.text("listener.security.protocol.map");
    for pair in map.split(',').filter(|_| !map.is_empty()) {
        let Some((listener, protocol)) = pair.split_once(':') else {
            return Err(bad("listener.security.protocol.map", map, "NAME:PROTOCOL,NAME:PROTOCOL,..."));
        };
        if listener.trim().eq_ignore_ascii_case(name) {
            return Ok(protocol.trim());
        }
    }
    let expected = format!("{name}:PLAINTEXT among its pairs: it names the protocol of every listener");
    Err(bad("listener.security.protocol.map", map, &expected))
}

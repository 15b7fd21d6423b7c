//! Which of the listeners of a Kafka file are for clients, and what each of them is.
//!
//! Kafka names its listeners, maps each name to a protocol, says where clients of each are told to connect
//! to, and lists those that are for controllers. This broker serves those of clients, with TLS and SASL or
//! without: those of controllers are passed over, and what asks for anything else is refused with the reason.

use std::sync::Arc;

use super::error::{Expected, SettingError, bad};
use super::host_port::HostPort;
use super::sasl::SaslConfig;
use super::settings::Settings;
use super::tls::TlsConfig;

/// A listener of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name, in upper case, as Kafka has it.
    pub name: Arc<str>,
    /// Where it listens.
    pub listen: HostPort,
    /// Where its clients are told to connect to.
    pub advertised: Advertised,
    /// Connections at a time, where it has a limit of its own.
    pub connections_max: Option<usize>,
    /// How its clients prove who they are; where that is `None`, they do not.
    pub sasl: Option<Arc<SaslConfig>>,
    /// What it has of TLS; where that is `None`, it is plaintext.
    pub tls: Option<TlsConfig>,
}

/// Where clients of a listener are told to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advertised {
    /// Where it listens: nothing was said of any listener.
    AsBound,
    /// There.
    At(HostPort),
    /// Nowhere: other listeners are advertised, and this one is not among them. As in Kafka, its clients are
    /// told of no broker.
    Nowhere,
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

/// The name of the protocol that has neither TLS nor SASL, and of its listener by custom.
const PLAINTEXT: &str = "PLAINTEXT";

/// The protocols, by name: whether each has TLS, and SASL. The names are names of listeners as well.
const PROTOCOLS: [Protocol; 4] = [
    Protocol { name: PLAINTEXT, has_tls: false, has_sasl: false },
    Protocol { name: "SSL", has_tls: true, has_sasl: false },
    Protocol { name: "SASL_PLAINTEXT", has_tls: false, has_sasl: true },
    Protocol { name: "SASL_SSL", has_tls: true, has_sasl: true },
];

#[derive(Clone, Copy, Debug)]
struct Protocol {
    name: &'static str,
    has_tls: bool,
    has_sasl: bool,
}

/// The listener by which brokers would find each other.
const BETWEEN_BROKERS: &str = "inter.broker.listener.name";

/// Finds the listeners of clients.
///
/// # Errors
/// [`SettingError::BadValue`] where there is none, or one whose protocol is none, or two that cannot be told
/// apart.
pub(super) fn of(settings: &Settings) -> Result<Listeners, SettingError> {
    let is_controllers = |name: &str| is_controllers(settings, name);
    let written = settings.text("listeners");
    let (passed_over, clients): (Vec<_>, Vec<_>) =
        parse("listeners", written)?.into_iter().partition(|listener| is_controllers(listener.name));
    if clients.is_empty() {
        let expected = "at least one NAME://HOST:PORT for clients, beside those of controllers";
        return Err(bad("listeners", written, expected));
    }
    for (at, listener) in clients.iter().enumerate() {
        for other in &clients[..at] {
            if other.place == listener.place && other.place.port != 0 {
                let (one, other) = (other.name.to_owned(), listener.name.to_owned());
                return Err(bad("listeners", written, Expected::OwnPlaces { one, other }));
            }
        }
    }
    let told = parse("advertised.listeners", settings.text("advertised.listeners"))?;
    check_advertised(settings, &told, &clients, &is_controllers)?;
    let advertised = |name: &str| match told.iter().find(|told| told.is(name)) {
        Some(told) => Advertised::At(told.place.clone()),
        None if told.is_empty() => Advertised::AsBound,
        None => Advertised::Nowhere,
    };
    let client = |listener: &Listener<'_>| {
        let protocol = protocol(settings, listener.name)?;
        let sasl = protocol.has_sasl.then(|| SaslConfig::of(settings, listener.name)).transpose()?;
        let tls = protocol.has_tls.then(|| TlsConfig::of(settings, listener.name)).transpose()?;
        Ok(ListenerConfig {
            name: listener.name.to_ascii_uppercase().into(),
            listen: listener.place.clone(),
            advertised: advertised(listener.name),
            connections_max: settings.connections_max_of(listener.name),
            sasl: sasl.map(Arc::new),
            tls,
        })
    };
    Ok(Listeners {
        clients: clients.iter().map(client).collect::<Result<_, SettingError>>()?,
        passed_over: passed_over
            .iter()
            .map(|listener| format!("{}://{}", listener.name, listener.place))
            .collect(),
    })
}

/// Holds what is advertised against the listeners, by Kafka's rules.
fn check_advertised(
    settings: &Settings,
    told: &[Listener<'_>],
    clients: &[Listener<'_>],
    is_controllers: &dyn Fn(&str) -> bool,
) -> Result<(), SettingError> {
    let refused = |expected: Expected| {
        let setting = "advertised.listeners";
        bad(setting, settings.text(setting), expected)
    };
    for told in told {
        // An empty host stands for this machine's name.
        if told.place.is_any() && !told.place.host.is_empty() {
            return Err(refused(Expected::Routable { place: told.place.clone() }));
        }
        if !is_controllers(told.name) && !clients.iter().any(|client| client.is(told.name)) {
            return Err(refused(Expected::Listener { listener: told.name.to_owned() }));
        }
    }
    let is_told = |client: &&Listener<'_>| told.is_empty() || told.iter().any(|told| told.is(client.name));
    let names: Vec<String> =
        clients.iter().filter(is_told).map(|client| client.name.to_ascii_uppercase()).collect();
    if names.is_empty() {
        return Err(refused("at least one listener of clients among them".into()));
    }
    // Brokers would not find each other, there.
    match settings.value(BETWEEN_BROKERS) {
        Some(name) if !name.is_empty() && !names.iter().any(|told| told.eq_ignore_ascii_case(name)) => {
            Err(bad(BETWEEN_BROKERS, name, Expected::Advertised { names }))
        }
        _ => Ok(()),
    }
}

impl Settings {
    /// Has the one listener listen there, as an argument of the command line says.
    ///
    /// # Errors
    /// [`SettingError::SeveralListeners`] where it is not the only one.
    pub fn listen(&mut self, place: &HostPort) -> Result<(), SettingError> {
        let name = self.only_listener(("--listen", "listeners"))?;
        self.set("listeners", &format!("{name}://{place}"))
    }

    /// Has its clients told to connect there.
    ///
    /// # Errors
    /// [`SettingError::SeveralListeners`] where it is not the only one.
    pub fn advertise(&mut self, place: &HostPort) -> Result<(), SettingError> {
        let name = self.only_listener(("--advertise", "advertised.listeners"))?;
        self.set("advertised.listeners", &format!("{name}://{place}"))
    }

    /// The name of the listener of clients.
    fn only_listener(
        &self,
        (argument, setting): (&'static str, &'static str),
    ) -> Result<String, SettingError> {
        let written = self.text("listeners");
        let mut clients = parse("listeners", written)?;
        clients.retain(|listener| !is_controllers(self, listener.name));
        match &clients[..] {
            [] => Ok(PLAINTEXT.to_owned()),
            [one] => Ok(one.name.to_owned()),
            _ => Err(SettingError::SeveralListeners { argument, listeners: written.to_owned(), setting }),
        }
    }
}

/// Whether a listener is one of controllers.
fn is_controllers(settings: &Settings, name: &str) -> bool {
    let controllers = settings.text("controller.listener.names");
    let mut names = controllers.split(',').map(str::trim).chain([CONTROLLER]);
    names.any(|controller| controller.eq_ignore_ascii_case(name))
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

/// The listeners that a setting names, each once.
fn parse<'a>(setting: &'static str, written: &'a str) -> Result<Vec<Listener<'a>>, SettingError> {
    let one = |text: &'a str| {
        let (name, place) = text.split_once("://").filter(|(name, _)| !name.is_empty())?;
        Some(Listener { name, place: place.parse().ok()? })
    };
    let mut listeners: Vec<Listener<'_>> = Vec::new();
    for text in written.split(',').map(str::trim).filter(|_| !written.is_empty()) {
        let listener = one(text).ok_or_else(|| bad(setting, written, "NAME://HOST:PORT"))?;
        if listeners.iter().any(|other| other.is(listener.name)) {
            let listener = listener.name.to_owned();
            return Err(bad(setting, written, Expected::NameOnce { listener }));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The protocol of the listener `name`: the map's, or the name itself where it is a protocol's.
fn protocol(settings: &Settings, name: &str) -> Result<Protocol, SettingError> {
    const MAP: &str = "listener.security.protocol.map";
    let map = settings.text(MAP);
    let of_name = |name: &str| PROTOCOLS.into_iter().find(|known| known.name.eq_ignore_ascii_case(name));
    for pair in map.split(',').filter(|_| !map.is_empty()) {
        let Some((listener, protocol)) = pair.split_once(':') else {
            return Err(bad(MAP, map, "NAME:PROTOCOL,NAME:PROTOCOL,..."));
        };
        if listener.trim().eq_ignore_ascii_case(name) {
            let (listener, protocol) = (listener.trim(), protocol.trim());
            return of_name(protocol).ok_or_else(|| {
                let (listener, protocol) = (listener.to_owned(), protocol.to_owned());
                bad(MAP, map, Expected::Protocols { listener, protocol })
            });
        }
    }
    of_name(name).ok_or_else(|| bad(MAP, map, Expected::Protocol { listener: name.to_owned() }))
}

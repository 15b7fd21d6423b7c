//! Which of the listeners of a Kafka file is for clients.
//!
//! Kafka names its listeners, maps each name to a protocol, and lists those that are for controllers. This
//! broker serves one listener in plaintext: those of controllers are passed over, and what asks for anything
//! else is refused with the reason.

use super::host_port::HostPort;
use super::settings::{SettingError, Settings, bad};

/// The listeners as this broker serves them.
pub(super) struct Listeners {
    /// Where to listen.
    pub(super) listen: HostPort,
    /// Where clients are told to connect to, when it is not where we listen.
    pub(super) advertised: Option<HostPort>,
    /// Those of controllers, as they were written.
    pub(super) passed_over: Vec<String>,
}

/// Controllers' by custom, where no `controller.listener.names` says so.
const CONTROLLER: &str = "CONTROLLER";

/// Finds the listener of clients.
///
/// # Errors
/// [`SettingError::BadValue`] where there is none, or more than one, or one that is not plaintext.
pub(super) fn of(settings: &Settings) -> Result<Listeners, SettingError> {
    let controllers = settings.text("controller.listener.names");
    let is_controllers = |name: &str| {
        let mut names = controllers.split(',').map(str::trim).chain([CONTROLLER]);
        names.any(|controller| controller.eq_ignore_ascii_case(name))
    };
    let written = settings.text("listeners");
    let (passed_over, clients): (Vec<_>, Vec<_>) =
        parse("listeners", written)?.into_iter().partition(|listener| is_controllers(listener.name));
    let [client] = clients.as_slice() else {
        let expected = "one NAME://HOST:PORT for clients, beside those of controllers";
        return Err(bad("listeners", written, expected));
    };
    let protocol = protocol(settings, client.name)?;
    if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
        let expected = format!(
            "a listener in PLAINTEXT: {} is {protocol}, and there is no TLS and no SASL",
            client.name
        );
        return Err(bad("listeners", written, &expected));
    }
    let written = settings.text("advertised.listeners");
    let told = parse("advertised.listeners", written)?;
    let advertised = told.iter().find(|listener| listener.name.eq_ignore_ascii_case(client.name));
    let stranger =
        told.iter().any(|told| !told.name.eq_ignore_ascii_case(client.name) && !is_controllers(told.name));
    if stranger || (advertised.is_none() && !told.is_empty()) {
        let expected = format!("{}://HOST:PORT, as the listener is named", client.name);
        return Err(bad("advertised.listeners", written, &expected));
    }
    Ok(Listeners {
        listen: client.place.clone(),
        advertised: advertised.map(|told| told.place.clone()),
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

fn parse<'a>(setting: &'static str, written: &'a str) -> Result<Vec<Listener<'a>>, SettingError> {
    let one = |text: &'a str| {
        let (name, place) = text.split_once("://")?;
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

//! A message as it stands in the log: a Kafka record whose headers say what MQTT says beside the payload.
//!
//! ```text
//!  key      as the rule says          value    the payload
//!  headers  mqtt.topic                where it was published to
//!           mqtt.qos                  1 or 2; 0 where there is none
//!           mqtt.client               who published it
//!           mqtt.retain               1 when it was to be kept
//!           mqtt.expiry               seconds that it is worth delivering, from the record's timestamp on
//!           mqtt.utf8                 1 when the payload was said to be UTF-8
//!           mqtt.content-type  mqtt.response-topic  mqtt.correlation-data
//!           anything else             a user property; `mqtt.user.` stands before `mqtt.` in its name
//! ```
//! A record of a Kafka producer has none of the first kind, and is a message of QoS 2: a subscriber has it as
//! surely as it asks for. Its headers that are UTF-8 are user properties.

use bytes::Bytes;

use crate::codec::{Name, Properties, Qos};
use crate::topic;

/// Where a message was published to.
pub const TOPIC: &str = "mqtt.topic";
const OURS: &str = "mqtt.";
const USER: &str = "mqtt.user.";
const QOS: &str = "mqtt.qos";
const CLIENT: &str = "mqtt.client";
const RETAIN: &str = "mqtt.retain";
const EXPIRY: &str = "mqtt.expiry";
const UTF8: &str = "mqtt.utf8";
const CONTENT_TYPE: &str = "mqtt.content-type";
const RESPONSE_TOPIC: &str = "mqtt.response-topic";
const CORRELATION_DATA: &str = "mqtt.correlation-data";

/// A header of a record.
pub type Header = (String, Bytes);

/// A message, whoever published it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it was published to; empty when the record does not say.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// How surely.
    pub qos: Qos,
    /// It was to be kept.
    pub retain: bool,
    /// Who published it; `None` for a Kafka producer.
    pub client_id: Option<String>,
    /// Those of a PUBLISH that travel with the message, and only they: no alias, no number of a subscription.
    pub properties: Properties,
}

impl Message {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        self.payload.len() + self.topic.len() + self.properties.weight()
    }

    /// The headers of its record.
    pub fn headers(&self) -> Vec<Header> {
        let mut headers: Vec<Header> = vec![(TOPIC.into(), self.topic.clone().into_bytes().into())];
        let mut put = |name: &str, value: Bytes| headers.push((name.to_owned(), value));
        if self.qos > Qos::AtMostOnce {
            put(QOS, (self.qos as u8).to_string().into());
        }
        if let Some(client_id) = &self.client_id {
            put(CLIENT, client_id.clone().into());
        }
        if self.retain {
            put(RETAIN, Bytes::from_static(b"1"));
        }
        if let Some(seconds) = self.properties.number(Name::MessageExpiry) {
            put(EXPIRY, seconds.to_string().into());
        }
        if self.properties.number(Name::PayloadFormat) == Some(1) {
            put(UTF8, Bytes::from_static(b"1"));
        }
        for (name, header) in [(Name::ContentType, CONTENT_TYPE), (Name::ResponseTopic, RESPONSE_TOPIC)] {
            if let Some(text) = self.properties.get_text(name) {
                put(header, text.to_owned().into());
            }
        }
        if let Some(data) = self.properties.get_binary(Name::CorrelationData) {
            put(CORRELATION_DATA, data.clone());
        }
        for (name, text) in self.properties.users() {
            match name.starts_with(OURS) {
                true => put(&format!("{USER}{name}"), text.to_owned().into()),
                false => put(name, text.to_owned().into()),
            }
        }
        headers
    }

    /// The message of a record. What a header says that makes no sense is passed over: anybody may have
    /// written it.
    pub fn of_record<'a>(
        payload: Bytes,
        headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Message {
        let mut message = Message { payload, ..Message::default() };
        let mut qos = None;
        for (name, value) in headers {
            let value = value.unwrap_or_default();
            if value.len() > usize::from(u16::MAX) {
                continue;
            }
            if name == CORRELATION_DATA {
                message.once(Name::CorrelationData, |them, name| {
                    them.binary(name, Bytes::copy_from_slice(value))
                });
                continue;
            }
            // What a packet cannot carry.
            let Some(text) = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0')) else {
                continue;
            };
            match name {
                TOPIC => text.clone_into(&mut message.topic),
                QOS => qos = text.parse().ok().and_then(Qos::from_bits),
                _ => message.take(name, text),
            }
        }
        let is_ours = !message.topic.is_empty();
        message.qos = qos.unwrap_or(if is_ours { Qos::AtMostOnce } else { Qos::ExactlyOnce });
        message
    }

    fn take(&mut self, name: &str, text: &str) {
        match name {
            CLIENT => self.client_id = Some(text.to_owned()),
            RETAIN => self.retain = text == "1",
            EXPIRY => {
                if let Ok(seconds) = text.parse() {
                    self.once(Name::MessageExpiry, |them, name| them.four(name, seconds));
                }
            }
            UTF8 if text == "1" && std::str::from_utf8(&self.payload).is_ok() => {
                self.once(Name::PayloadFormat, |them, name| them.flag(name, true));
            }
            CONTENT_TYPE => self.once(Name::ContentType, |them, name| them.text(name, text)),
            RESPONSE_TOPIC if topic::is_name(text) => {
                self.once(Name::ResponseTopic, |them, name| them.text(name, text));
            }
            _ => {
                let user = match name.strip_prefix(USER) {
                    Some(name) => name,
                    None if name.starts_with(OURS) => return,
                    None => name,
                };
                if !user.contains('\0') && user.len() <= usize::from(u16::MAX) {
                    self.properties.user(user, text);
                }
            }
        }
    }

    fn once(&mut self, name: Name, put: impl FnOnce(&mut Properties, Name)) {
        if self.properties.iter().all(|property| property.name != name) {
            put(&mut self.properties, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(message: &Message) -> Message {
        let headers = message.headers();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), Some(&value[..])));
        Message::of_record(message.payload.clone(), headers)
    }

    #[test]
    fn a_record_says_all_that_was_published() {
        let mut properties = Properties::default();
        properties.four(Name::MessageExpiry, 60);
        properties.flag(Name::PayloadFormat, true);
        properties.text(Name::ContentType, "text/csv");
        properties.text(Name::ResponseTopic, "answers/7");
        properties.binary(Name::CorrelationData, Bytes::from_static(&[0xff, 0]));
        properties.user("trace", "1");
        properties.user("trace", "2");
        properties.user("mqtt.qos", "not ours");
        properties.user("mqtt.user.x", "");
        let mut message = Message {
            topic: "truck/7/position".into(),
            payload: Bytes::from_static(b"52.1,4.3"),
            qos: Qos::AtLeastOnce,
            retain: true,
            client_id: Some("truck-7".into()),
            properties,
        };
        assert_eq!(again(&message), message);
        message.qos = Qos::AtMostOnce;
        message.client_id = None;
        assert_eq!(again(&message), message);
    }

    #[test]
    fn a_record_of_a_kafka_producer_is_delivered_as_surely_as_asked() {
        let headers: [(&str, Option<&[u8]>); 4] =
            [("trace", Some(b"1")), ("raw", Some(&[0xff])), ("none", None), ("mqtt.retain", Some(b"yes"))];
        let message = Message::of_record(Bytes::new(), headers);
        assert_eq!((message.qos, message.retain, message.topic.as_str()), (Qos::ExactlyOnce, false, ""));
        assert_eq!(message.properties.users().collect::<Vec<_>>(), [("trace", "1"), ("none", "")]);
    }

    #[test]
    fn what_no_packet_can_carry_is_left_out() {
        let long = vec![b'x'; 65_536];
        let headers: [(&str, Option<&[u8]>); 6] = [
            ("mqtt.utf8", Some(b"1")),
            ("mqtt.response-topic", Some(b"a/+")),
            ("mqtt.expiry", Some(b"soon")),
            ("nul", Some(b"a\0b")),
            ("n\0", Some(b"a")),
            ("long", Some(&long)),
        ];
        let message = Message::of_record(Bytes::from_static(&[0xff]), headers);
        assert!(message.properties.is_empty(), "{:?}", message.properties);
    }
}

//! From bytes to packets.

use bytes::{Buf, Bytes, BytesMut};

use super::error::DecodeError;
use super::fields::Fields;
use super::properties::{Holder, Name, Properties};
use super::{
    Ack, ConnAck, Connect, Disconnect, FILTERS_MAX, Options, Packet, Publish, Qos, Reason, SubAck, Subscribe,
    Unsubscribe, Version, Will,
};
use crate::topic;

/// Takes the first packet out of the buffer; `None` when it is not there yet. Before the version is known,
/// only CONNECT is taken.
///
/// # Errors
/// When the bytes are no packet. What the buffer holds then makes no sense any more.
pub fn decode(
    buffer: &mut BytesMut,
    version: Option<Version>,
    bytes_max: usize,
) -> Result<Option<Packet>, DecodeError> {
    let Some((first, header, body)) = frame(buffer)? else { return Ok(None) };
    if version.is_none() && first >> 4 != 1 {
        return Err(DecodeError::Protocol("the first packet is no CONNECT"));
    }
    if header + body > bytes_max {
        return Err(DecodeError::TooLarge { bytes: header + body, bytes_max });
    }
    if buffer.len() < header + body {
        return Ok(None);
    }
    buffer.advance(header);
    let fields = Fields::new(buffer.split_to(body).freeze());
    packet(first, fields, version).map(Some)
}

/// The first byte, the bytes of the header, and those that follow it.
fn frame(buffer: &[u8]) -> Result<Option<(u8, usize, usize)>, DecodeError> {
    let Some((first, rest)) = buffer.split_first() else { return Ok(None) };
    let mut length = 0;
    for (place, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return match *byte == 0 && place > 0 {
                true => Err(DecodeError::Malformed("a length has more bytes than it needs")),
                false => Ok(Some((*first, 2 + place, length))),
            };
        }
    }
    match rest.len() < 4 {
        true => Ok(None),
        false => Err(DecodeError::Malformed("a length has a fifth byte")),
    }
}

fn packet(first: u8, mut fields: Fields, version: Option<Version>) -> Result<Packet, DecodeError> {
    let (kind, flags) = (first >> 4, first & 0x0f);
    let expected = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags != expected {
        return Err(DecodeError::Malformed("reserved flags are set"));
    }
    if kind == 1 {
        return connect(fields).map(|connect| Packet::Connect(Box::new(connect)));
    }
    let version = version.expect("CONNECT alone comes without one");
    Ok(match kind {
        2 => Packet::ConnAck(conn_ack(fields, version)?),
        3 => Packet::Publish(publish(flags, fields, version)?),
        4 => Packet::PubAck(ack(fields, version)?),
        5 => Packet::PubRec(ack(fields, version)?),
        6 => Packet::PubRel(ack(fields, version)?),
        7 => Packet::PubComp(ack(fields, version)?),
        8 => Packet::Subscribe(subscribe(fields, version)?),
        9 => Packet::SubAck(sub_ack(fields, version)?),
        10 => Packet::Unsubscribe(unsubscribe(fields, version)?),
        11 if version == Version::V3 => {
            let id = fields.id()?;
            fields.end()?;
            Packet::UnsubAck(SubAck { id, properties: Properties::default(), reasons: Vec::new() })
        }
        11 => Packet::UnsubAck(sub_ack(fields, version)?),
        12 | 13 => {
            fields.end()?;
            if kind == 12 { Packet::PingReq } else { Packet::PingResp }
        }
        14 if version == Version::V3 => {
            fields.end()?;
            Packet::Disconnect(Disconnect { reason: Reason::SUCCESS, properties: Properties::default() })
        }
        14 => Packet::Disconnect(end(fields, Holder::Disconnect)?),
        15 if version == Version::V5 => Packet::Auth(end(fields, Holder::Auth)?),
        _ => return Err(DecodeError::Malformed("a packet of an unknown kind")),
    })
}

fn read_properties(fields: &mut Fields, version: Version, holder: Holder) -> Result<Properties, DecodeError> {
    match version {
        Version::V3 => Ok(Properties::default()),
        Version::V5 => Properties::read(fields, holder),
    }
}

const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

fn connect(mut fields: Fields) -> Result<Connect, DecodeError> {
    match &fields.binary()?[..] {
        b"MQTT" => {}
        // The name that 3.1 had.
        b"MQIsdp" => return Err(DecodeError::Level(3)),
        _ => return Err(DecodeError::Malformed("the protocol is not MQTT")),
    }
    let version = match fields.byte()? {
        4 => Version::V3,
        5 => Version::V5,
        level => return Err(DecodeError::Level(level)),
    };
    let flags = fields.byte()?;
    if flags & 1 != 0 {
        return Err(DecodeError::Malformed("a reserved flag of CONNECT is set"));
    }
    if version == Version::V3 && flags & (PASSWORD | USER_NAME) == PASSWORD {
        return Err(DecodeError::Malformed("there is a password and no user name"));
    }
    let keep_alive = fields.two()?;
    let properties = read_properties(&mut fields, version, Holder::Connect)?;
    if properties.get_binary(Name::AuthenticationData).is_some()
        && properties.get_text(Name::AuthenticationMethod).is_none()
    {
        return Err(DecodeError::Protocol("authentication data has no method"));
    }
    let client_id = fields.text()?;
    let will = will(&mut fields, flags, version)?;
    let user_name = (flags & USER_NAME != 0).then(|| fields.text()).transpose()?;
    let password = (flags & PASSWORD != 0).then(|| fields.binary()).transpose()?;
    fields.end()?;
    let clean_start = flags & CLEAN_START != 0;
    Ok(Connect { version, client_id, clean_start, keep_alive, will, user_name, password, properties })
}

fn will(fields: &mut Fields, flags: u8, version: Version) -> Result<Option<Will>, DecodeError> {
    let qos = Qos::from_bits(flags >> 3 & 3).ok_or(DecodeError::Malformed("the will has a QoS of 3"))?;
    let retain = flags & WILL_RETAIN != 0;
    if flags & WILL == 0 {
        return match qos == Qos::AtMostOnce && !retain {
            true => Ok(None),
            false => Err(DecodeError::Malformed("flags of a will are set, and there is none")),
        };
    }
    let properties = read_properties(fields, version, Holder::Will)?;
    let topic = fields.text()?;
    if !topic::is_name(&topic) {
        return Err(DecodeError::TopicName);
    }
    let payload = fields.binary()?;
    Ok(Some(Will { topic, payload, qos, retain, properties }))
}

fn conn_ack(mut fields: Fields, version: Version) -> Result<ConnAck, DecodeError> {
    let flags = fields.byte()?;
    if flags > 1 {
        return Err(DecodeError::Malformed("reserved flags of CONNACK are set"));
    }
    let reason = Reason(fields.byte()?);
    let properties = read_properties(&mut fields, version, Holder::ConnAck)?;
    fields.end()?;
    Ok(ConnAck { session_present: flags == 1, reason, properties })
}

fn publish(flags: u8, mut fields: Fields, version: Version) -> Result<Publish, DecodeError> {
    let qos = Qos::from_bits(flags >> 1 & 3).ok_or(DecodeError::Malformed("a QoS of 3"))?;
    let (dup, retain) = (flags & 8 != 0, flags & 1 != 0);
    if dup && qos == Qos::AtMostOnce {
        return Err(DecodeError::Malformed("a message of QoS 0 is sent again"));
    }
    let topic = fields.text()?;
    let id = if qos == Qos::AtMostOnce { 0 } else { fields.id()? };
    let properties = read_properties(&mut fields, version, Holder::Publish)?;
    let has_alias = properties.number(Name::TopicAlias).is_some();
    if topic.is_empty() && has_alias {
        // The alias says it.
    } else if topic.is_empty() && version == Version::V5 {
        return Err(DecodeError::Protocol("a message has no topic and no alias"));
    } else if !topic::is_name(&topic) {
        return Err(DecodeError::TopicName);
    }
    let payload = fields.rest();
    if properties.number(Name::PayloadFormat) == Some(1) && std::str::from_utf8(&payload).is_err() {
        return Err(DecodeError::Malformed("a payload that is said to be UTF-8 is not"));
    }
    Ok(Publish { dup, qos, retain, topic, id, properties, payload })
}

fn ack(mut fields: Fields, version: Version) -> Result<Ack, DecodeError> {
    let mut ack = Ack::new(fields.id()?, Reason::SUCCESS);
    if version == Version::V5 && !fields.is_empty() {
        ack.reason = Reason(fields.byte()?);
        if !fields.is_empty() {
            ack.properties = Properties::read(&mut fields, Holder::Ack)?;
        }
    }
    fields.end()?;
    Ok(ack)
}

fn subscribe(mut fields: Fields, version: Version) -> Result<Subscribe, DecodeError> {
    let id = fields.id()?;
    let properties = read_properties(&mut fields, version, Holder::Subscribe)?;
    let filters = list(&mut fields, |fields| {
        let filter = fields.text()?;
        let bits = fields.byte()?;
        if version == Version::V3 && bits > 2 {
            return Err(DecodeError::Malformed("reserved bits of a subscription are set"));
        }
        Ok((filter, Options::from_bits(bits)?))
    })?;
    Ok(Subscribe { id, properties, filters })
}

fn unsubscribe(mut fields: Fields, version: Version) -> Result<Unsubscribe, DecodeError> {
    let id = fields.id()?;
    let properties = read_properties(&mut fields, version, Holder::Unsubscribe)?;
    let filters = list(&mut fields, Fields::text)?;
    Ok(Unsubscribe { id, properties, filters })
}

fn sub_ack(mut fields: Fields, version: Version) -> Result<SubAck, DecodeError> {
    let id = fields.id()?;
    let properties = read_properties(&mut fields, version, Holder::SubAck)?;
    let reasons = list(&mut fields, |fields| fields.byte().map(Reason))?;
    Ok(SubAck { id, properties, reasons })
}

fn list<T>(
    fields: &mut Fields,
    read: impl Fn(&mut Fields) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut list = Vec::new();
    while !fields.is_empty() {
        if list.len() == FILTERS_MAX {
            return Err(DecodeError::TooMany("a packet has more filters than are taken"));
        }
        list.push(read(fields)?);
    }
    match list.is_empty() {
        true => Err(DecodeError::Protocol("a packet has no filter")),
        false => Ok(list),
    }
}

fn end(mut fields: Fields, holder: Holder) -> Result<Disconnect, DecodeError> {
    let mut end = Disconnect { reason: Reason::SUCCESS, properties: Properties::default() };
    if !fields.is_empty() {
        end.reason = Reason(fields.byte()?);
        if !fields.is_empty() {
            end.properties = Properties::read(&mut fields, holder)?;
        }
    }
    fields.end()?;
    Ok(end)
}

/// Reads properties that stand alone, as records keep them.
pub(crate) fn read_alone(bytes: Bytes) -> Result<Properties, DecodeError> {
    let mut fields = Fields::new(bytes);
    let properties = Properties::read(&mut fields, Holder::Will)?;
    fields.end()?;
    Ok(properties)
}

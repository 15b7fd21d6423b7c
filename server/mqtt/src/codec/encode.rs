//! From packets to bytes.

use bytes::{BufMut, BytesMut};

use super::fields::{put_binary, put_varint, varint_bytes};
use super::properties::Properties;
use super::{Ack, Connect, Disconnect, PACKET_BYTES_MAX, Packet, Publish, Reason, SubAck, Version};

/// Writes a packet behind what stands in `to`; false, and nothing is written, when it is larger than
/// `bytes_max`, or than any packet can be.
pub fn encode(packet: &Packet, version: Version, bytes_max: usize, to: &mut BytesMut) -> bool {
    let bytes_max = bytes_max.min(PACKET_BYTES_MAX);
    if let Packet::Publish(message) = packet {
        return publish(message, version, bytes_max, to);
    }
    let mut body = BytesMut::new();
    let first = match packet {
        Packet::Connect(connect) => write_connect(connect, &mut body),
        Packet::ConnAck(ack) => {
            body.put_u8(u8::from(ack.session_present));
            body.put_u8(match version {
                Version::V3 => ack.reason.return_code().unwrap_or(3),
                Version::V5 => ack.reason.0,
            });
            put_properties(&ack.properties, version, &mut body);
            0x20
        }
        Packet::PubAck(ack) => write_ack(0x40, ack, version, &mut body),
        Packet::PubRec(ack) => write_ack(0x50, ack, version, &mut body),
        Packet::PubRel(ack) => write_ack(0x62, ack, version, &mut body),
        Packet::PubComp(ack) => write_ack(0x70, ack, version, &mut body),
        Packet::Subscribe(subscribe) => {
            body.put_u16(subscribe.id);
            put_properties(&subscribe.properties, version, &mut body);
            for (filter, options) in &subscribe.filters {
                put_binary(&mut body, filter.as_bytes());
                body.put_u8(match version {
                    Version::V3 => options.qos as u8,
                    Version::V5 => options.bits(),
                });
            }
            0x82
        }
        Packet::SubAck(ack) => {
            write_sub_ack(ack, version, &mut body);
            0x90
        }
        Packet::Unsubscribe(unsubscribe) => {
            body.put_u16(unsubscribe.id);
            put_properties(&unsubscribe.properties, version, &mut body);
            unsubscribe.filters.iter().for_each(|filter| put_binary(&mut body, filter.as_bytes()));
            0xa2
        }
        Packet::UnsubAck(ack) if version == Version::V3 => {
            body.put_u16(ack.id);
            0xb0
        }
        Packet::UnsubAck(ack) => {
            write_sub_ack(ack, version, &mut body);
            0xb0
        }
        Packet::PingReq => 0xc0,
        Packet::PingResp => 0xd0,
        Packet::Disconnect(end) => write_end(0xe0, end, version, &mut body),
        Packet::Auth(end) => write_end(0xf0, end, version, &mut body),
        Packet::Publish(_) => unreachable!("it was written above"),
    };
    if 1 + varint_bytes(body.len()) + body.len() > bytes_max {
        return false;
    }
    to.put_u8(first);
    put_varint(to, body.len());
    to.put_slice(&body);
    true
}

/// The one packet that is long and frequent: its bytes are counted first, so that the payload is copied once.
fn publish(message: &Publish, version: Version, bytes_max: usize, to: &mut BytesMut) -> bool {
    let has_id = message.id != 0;
    let properties = match version {
        Version::V3 => 0,
        Version::V5 => message.properties.written_bytes(),
    };
    let body = 2 + message.topic.len() + 2 * usize::from(has_id) + properties + message.payload.len();
    let bytes = 1 + varint_bytes(body) + body;
    if bytes > bytes_max || message.topic.len() > usize::from(u16::MAX) {
        return false;
    }
    to.reserve(bytes);
    to.put_u8(0x30 | u8::from(message.dup) << 3 | (message.qos as u8) << 1 | u8::from(message.retain));
    put_varint(to, body);
    put_binary(to, message.topic.as_bytes());
    if has_id {
        to.put_u16(message.id);
    }
    put_properties(&message.properties, version, to);
    to.put_slice(&message.payload);
    true
}

fn put_properties(properties: &Properties, version: Version, to: &mut BytesMut) {
    if version == Version::V5 {
        properties.write(to);
    }
}

fn write_connect(connect: &Connect, body: &mut BytesMut) -> u8 {
    put_binary(body, b"MQTT");
    body.put_u8(match connect.version {
        Version::V3 => 4,
        Version::V5 => 5,
    });
    let will = connect.will.as_ref().map_or(0, |will| 4 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
    let flags = u8::from(connect.clean_start) << 1
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user_name.is_some()) << 7;
    body.put_u8(flags | will);
    body.put_u16(connect.keep_alive);
    put_properties(&connect.properties, connect.version, body);
    put_binary(body, connect.client_id.as_bytes());
    if let Some(will) = &connect.will {
        put_properties(&will.properties, connect.version, body);
        put_binary(body, will.topic.as_bytes());
        put_binary(body, &will.payload);
    }
    if let Some(name) = &connect.user_name {
        put_binary(body, name.as_bytes());
    }
    if let Some(password) = &connect.password {
        put_binary(body, password);
    }
    0x10
}

/// In 5.0, what says nothing is left out: MQTT 5.0, 3.4.2.1.
fn write_ack(first: u8, ack: &Ack, version: Version, body: &mut BytesMut) -> u8 {
    body.put_u16(ack.id);
    write_reason(ack.reason, &ack.properties, version, body);
    first
}

fn write_end(first: u8, end: &Disconnect, version: Version, body: &mut BytesMut) -> u8 {
    write_reason(end.reason, &end.properties, version, body);
    first
}

fn write_reason(reason: Reason, properties: &Properties, version: Version, body: &mut BytesMut) {
    if version == Version::V3 || (reason == Reason::SUCCESS && properties.is_empty()) {
        return;
    }
    body.put_u8(reason.0);
    if !properties.is_empty() {
        properties.write(body);
    }
}

fn write_sub_ack(ack: &SubAck, version: Version, body: &mut BytesMut) {
    body.put_u16(ack.id);
    put_properties(&ack.properties, version, body);
    for reason in &ack.reasons {
        // 3.1.1 has one word for every failure.
        let is_old = version == Version::V3 && reason.is_failure();
        body.put_u8(if is_old { Reason::UNSPECIFIED.0 } else { reason.0 });
    }
}

/// Writes properties that stand alone, as records keep them.
pub(crate) fn write_alone(properties: &Properties) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(properties.written_bytes());
    properties.write(&mut bytes);
    bytes
}

//! The messages of streams groups, which the oracle does not know, against the bytes that Kafka 4.4 writes of
//! the same.

use std::fmt::Debug;

use strandline_protocol::messages::*;
use strandline_protocol::wire::{Decode, Encode, Message};

use super::{CLIENT_ID, CORRELATION_ID, unknown_versions_are_refused};
use crate::samples::{
    Seed, streams_group_describe_request, streams_group_describe_response, streams_group_heartbeat_request,
    streams_group_heartbeat_response,
};

fn check_request<M>(sample: fn(i16, &mut Seed) -> M, version: i16, bytes: &[u8])
where
    M: Request + Encode + Decode + PartialEq + Debug,
{
    let request = sample(version, &mut Seed::new(1));
    let frame = encode_request(version, CORRELATION_ID, Some(CLIENT_ID), &request).unwrap();
    let (header, position) = RequestHeader::decode(&frame[4..]).unwrap();
    assert_eq!((header.key, header.version), (M::KEY, version));
    assert_eq!(&frame[4 + position..], bytes, "version {version}");
    assert_eq!(decode_request::<M>(bytes, version).unwrap(), request);
}

fn check_response<M>(sample: fn(i16, &mut Seed) -> M, version: i16, bytes: &[u8])
where
    M: Message + Encode + Decode + PartialEq + Debug,
{
    let response = sample(version, &mut Seed::new(1));
    let frame = encode_response(version, CORRELATION_ID, &response).unwrap();
    // A size, the id, and no tagged field.
    let (head, body) = frame.split_at(9);
    assert_eq!(&head[4..], [CORRELATION_ID.to_be_bytes().as_slice(), &[0]].concat());
    assert_eq!(body, bytes, "version {version}");
    assert_eq!(decode_response::<M>(&frame[4..], version).unwrap().1, response);
}

#[test]
fn heartbeats_of_streams_groups_are_as_kafka_writes_them() {
    let request = b"\x02g\x02m\0\0\0\0\xff\xff\xff\xff\x02i\x02a\0\x04\x93\xe0\x01\0\0\0\x02\x02\x020\
        \x02\x02s\x02\x04x.*\x02\x02l\0\0\0\0\0\x01\x02\x02c\x02d\0\0\x02\x02k\x02\x02r\0\0\
        \0\x03\0\0\x01\0\x02\x02\0\0\x02\0\x02\x02\0\x01\0\0\0\x02\x020\x02\0\0\0\x05\0\x01\
        \0\x02p\x01\x02e\x9c@\0\x02\x02k\x02v\0\x02\x020\0\0\0\x05\0\0\0\0\0\0\0\x09\0\0\x01\
        \0";
    (0..=1).for_each(|version| check_request(streams_group_heartbeat_request, version, request));
    let first = b"\0\0\0\x01\0\0\0\x02m\0\0\0\x04\0\0\x13\x88\0\0\0\x06\0\0\xea`\x02\x03\x02d\0\x02\
        \x020\x02\0\0\0\x05\0\x01\0\0\0\0\x07\x02\x02e\x9c@\0\x02\x02s\x02\0\0\0\x05\0\x01\0\
        \0";
    let second = b"\0\0\0\x01\0\0\0\x02m\0\0\0\x04\0\0\x13\x88\0\0\xea`\0\0\0\0\0\0\0\x08\x02\x03\x02d\
        \0\x02\x020\x02\0\0\0\x05\0\x01\0\x01\0\0\0\x07\x02\x02e\x9c@\0\x02\x02s\x02\0\0\0\
        \x05\0\x01\0\0";
    check_response(streams_group_heartbeat_response, 0, first);
    check_response(streams_group_heartbeat_response, 1, second);
    unknown_versions_are_refused::<StreamsGroupHeartbeatRequest>();
    unknown_versions_are_refused::<StreamsGroupHeartbeatResponse>();
}

#[test]
fn descriptions_of_streams_groups_are_as_kafka_writes_them() {
    check_request(streams_group_describe_request, 0, b"\x02\x02g\x01\0");
    check_request(streams_group_describe_request, 1, b"\x02\x02g\x01\x01\0");
    let first = b"\0\0\0\0\x02\0\0\0\x02g\x07Stable\0\0\0\x03\0\0\0\x02\x01\0\0\0\x01\x02\x020\x02\x02\
        s\x02\x02k\x02\x02l\0\0\0\x03\0\0\x01\0\x02\x02r\0\0\0\0\0\0\x01\0\0\0\x02\x02m\0\0\
        \0\x03\0\x02a\x02c\x03/h\0\0\0\x01\x02p\x01\x02e\0P\0\x02\x02k\x02v\0\x02\x020\0\0\0\
        \x01\0\0\0\0\0\0\0\x02\0\x01\x02\x020\x02\0\0\0\x05\0\x01\x01\0\x01\x01\x02\x021\x02\
        \0\0\0\x06\0\0\x01\0\x80\0\0\0\0\0";
    let second = b"\0\0\0\0\x02\0\0\0\x02g\x07Stable\0\0\0\x03\0\0\0\x02\x01\0\0\0\x01\x02\x020\x02\x02\
        s\x02\x02k\x02\x02l\0\0\0\x03\0\0\x01\0\x02\x02r\0\0\0\0\0\0\x01\0\0\0\x02\x02m\0\0\
        \0\x03\0\x02a\x02c\x03/h\0\0\0\x01\x02p\x01\x02e\0P\0\x02\x02k\x02v\0\x02\x020\0\0\0\
        \x01\0\0\0\0\0\0\0\x02\0\x01\x02\x020\x02\0\0\0\x05\0\x01\x01\0\x01\x01\x02\x021\x02\
        \0\0\0\x06\0\0\x01\0\x80\0\0\0\x01\x02\x020\x02\x02n\x03\x02\x02s\x02k\x02\x02t\x02\
        \x02u\0\0\x02\x02a\0\x01\0\x01\x01\0\x02b\0\x01\0\x01\x01\0\0\0\x03\x07sticky\0\0";
    check_response(streams_group_describe_response, 0, first);
    check_response(streams_group_describe_response, 1, second);
    unknown_versions_are_refused::<StreamsGroupDescribeRequest>();
    unknown_versions_are_refused::<StreamsGroupDescribeResponse>();
}

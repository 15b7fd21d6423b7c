//! The client against a broker that is a script: what a well-behaved one never does.

use super::connection::Connection;
use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Encode, ErrorCode, Message};

/// What the broker does with one request, whose header it is given.
type Answer = fn(&RequestHeader, &mut TcpStream);

/// A broker that answers the requests of its first connection one by one, and then closes it.
fn broker(answers: Vec<Answer>) -> Address {
    broker_of(vec![answers])
}

/// A broker that does so with as many connections, all at the same time.
fn broker_of(connections: Vec<Vec<Answer>>) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for answers in connections {
            let (mut stream, _) = listener.accept().unwrap();
            thread::spawn(move || {
                for answer in answers {
                    let mut size = [0; 4];
                    stream.read_exact(&mut size).unwrap();
                    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
                    stream.read_exact(&mut frame).unwrap();
                    answer(&RequestHeader::decode(&frame).unwrap().0, &mut stream);
                }
            });
        }
    });
    Address { host: "127.0.0.1".to_owned(), port }
}

fn versions(entries: &[(ApiKey, i16, i16)], error: ErrorCode) -> ApiVersionsResponse {
    let api_keys = entries.iter().map(|(key, min_version, max_version)| ApiVersion {
        api_key: key.code(),
        min_version: *min_version,
        max_version: *max_version,
    });
    ApiVersionsResponse {
        error_code: error.code(),
        api_keys: api_keys.collect(),
        ..ApiVersionsResponse::default()
    }
}

/// Says, in the version asked for, that InitProducerId 0 to 1 is known.
fn knows_little(header: &RequestHeader, stream: &mut TcpStream) {
    let response = versions(&[(ApiKey::InitProducerId, 0, 1)], ErrorCode::None);
    stream.write_all(&encode_response(header.version, header.correlation_id, &response).unwrap()).unwrap();
}

/// Knows ApiVersions up to 1, and says so in the only way an older broker can.
fn knows_an_older_api_versions(header: &RequestHeader, stream: &mut TcpStream) {
    assert_eq!(header.version, 4);
    let response = versions(&[(ApiKey::ApiVersions, 0, 1)], ErrorCode::UnsupportedVersion);
    stream.write_all(&encode_response(0, header.correlation_id, &response).unwrap()).unwrap();
}

fn open(answers: Vec<Answer>) -> Result<Connection, ConnectError> {
    Connection::open(&broker(answers), &Limits::default())
}

#[test]
fn an_older_broker_is_asked_again_in_the_version_that_it_names() {
    let second: Answer = |header, stream| {
        assert_eq!(header.version, 1);
        knows_little(header, stream);
    };
    let connection = open(vec![knows_an_older_api_versions, second]).unwrap();
    assert_eq!(connection.version::<InitProducerIdRequest>(i16::MAX).unwrap(), 1);
}

#[test]
fn a_broker_that_refuses_twice_is_not_asked_a_third_time() {
    let refused: Answer = |header, stream| {
        let response = versions(&[], ErrorCode::UnsupportedVersion);
        stream.write_all(&encode_response(0, header.correlation_id, &response).unwrap()).unwrap();
    };
    let error = open(vec![refused, refused]).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { code, .. } if code.is(ErrorCode::UnsupportedVersion)));
}

#[test]
fn a_version_that_the_two_do_not_share_is_named_before_anything_is_sent() {
    let too_new: Answer = |header, stream| {
        let response = versions(&[(ApiKey::InitProducerId, 90, 91)], ErrorCode::None);
        stream
            .write_all(&encode_response(header.version, header.correlation_id, &response).unwrap())
            .unwrap();
    };
    let mut connection = open(vec![too_new]).unwrap();
    let error = connection.call(&InitProducerIdRequest::default()).unwrap_err();
    assert!(matches!(error, RequestError::NoCommonVersion { theirs: Some((90, 91)), .. }), "{error}");
    let text = error.to_string();
    assert!(text.ends_with("the broker has versions 90 to 91, this client has versions 0 to 5"), "{text}");
}

#[test]
fn a_response_that_announces_too_much_is_refused_before_memory_is_taken() {
    for size in [RESPONSE_BYTES_MAX as i32 + 1, i32::MAX, -1] {
        let announce: Answer = match size {
            -1 => |_, stream| stream.write_all(&(-1i32).to_be_bytes()).unwrap(),
            i32::MAX => |_, stream| stream.write_all(&i32::MAX.to_be_bytes()).unwrap(),
            _ => |_, stream| stream.write_all(&(RESPONSE_BYTES_MAX as i32 + 1).to_be_bytes()).unwrap(),
        };
        let mut connection = open(vec![knows_little, announce]).unwrap();
        let error = connection.call(&InitProducerIdRequest::default()).unwrap_err();
        assert!(matches!(error, RequestError::Size { bytes, .. } if bytes == size), "{error}");
    }
}

#[test]
fn what_answers_in_tls_is_said_to() {
    let alert: Answer = |_, stream| stream.write_all(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x0a]).unwrap();
    let mut connection = open(vec![knows_little, alert]).unwrap();
    let text = connection.call(&InitProducerIdRequest::default()).unwrap_err().to_string();
    assert!(text.ends_with("(it answers in TLS: is security.protocol set for it?)"), "{text}");
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let confused: Answer = |header, stream| {
        let response = InitProducerIdResponse::default();
        let frame = encode_response(header.version, header.correlation_id + 1, &response).unwrap();
        stream.write_all(&frame).unwrap();
    };
    let mut connection = open(vec![knows_little, confused]).unwrap();
    let error = connection.call(&InitProducerIdRequest::default()).unwrap_err();
    assert!(
        matches!(error, RequestError::Correlation { expected, found, .. } if found == expected + 1),
        "{error}"
    );
}

#[test]
fn a_connection_that_ends_or_an_answer_that_is_cut_is_a_lost_request() {
    let cut: Answer = |_, stream| stream.write_all(&[0, 0, 0, 9, 0, 0]).unwrap();
    for answers in [vec![knows_little as Answer], vec![knows_little as Answer, cut]] {
        let mut connection = open(answers).unwrap();
        let error = connection.call(&InitProducerIdRequest::default()).unwrap_err();
        assert!(matches!(error, RequestError::Lost { .. }) && error.is_retriable(), "{error}");
    }
}

#[test]
fn garbage_instead_of_a_response_is_refused() {
    let garbage: Answer = |header, stream| {
        let mut frame = vec![0, 0, 0, 8];
        frame.extend_from_slice(&header.correlation_id.to_be_bytes());
        frame.extend_from_slice(&[0xff; 4]);
        stream.write_all(&frame).unwrap();
    };
    let mut connection = open(vec![knows_little, garbage]).unwrap();
    let error = connection.call(&InitProducerIdRequest::default()).unwrap_err();
    assert!(matches!(error, RequestError::Decode { .. }), "{error}");
}

fn answer<M: Message + Encode>(header: &RequestHeader, stream: &mut TcpStream, response: &M) {
    assert_eq!(header.key, M::KEY);
    stream.write_all(&encode_response(header.version, header.correlation_id, response).unwrap()).unwrap();
}

/// Knows the group requests, before any of them took a list.
fn knows_old_groups(header: &RequestHeader, stream: &mut TcpStream) {
    let known = [(ApiKey::FindCoordinator, 0, 3), (ApiKey::OffsetFetch, 1, 7)];
    answer(header, stream, &versions(&known, ErrorCode::None));
}

fn knows_groups(header: &RequestHeader, stream: &mut TcpStream) {
    let known = [(ApiKey::FindCoordinator, 0, 6), (ApiKey::OffsetFetch, 1, 9), (ApiKey::DeleteGroups, 0, 2)];
    answer(header, stream, &versions(&known, ErrorCode::None));
}

/// Names itself.
fn coordinates(header: &RequestHeader, stream: &mut TcpStream) {
    let (host, port) = ("127.0.0.1".to_owned(), i32::from(stream.local_addr().unwrap().port()));
    let response = match header.version {
        ..4 => FindCoordinatorResponse { node_id: 1, host, port, ..Default::default() },
        4.. => {
            let coordinator = Coordinator { key: "g".into(), node_id: 1, host, port, ..Default::default() };
            FindCoordinatorResponse { coordinators: vec![coordinator], ..Default::default() }
        }
    };
    answer(header, stream, &response);
}

/// Offset 7 of partition 0, none of partition 1.
fn has_read_up_to_7(header: &RequestHeader, stream: &mut TcpStream) {
    let response = match header.version {
        ..8 => {
            let at = |partition_index, committed_offset| OffsetFetchResponsePartition {
                partition_index,
                committed_offset,
                ..Default::default()
            };
            let topic = OffsetFetchResponseTopic { name: "t".into(), partitions: vec![at(0, 7), at(1, -1)] };
            OffsetFetchResponse { topics: vec![topic], ..Default::default() }
        }
        8.. => {
            let at = |partition_index, committed_offset| OffsetFetchResponsePartitions {
                partition_index,
                committed_offset,
                ..Default::default()
            };
            let topic = OffsetFetchResponseTopics { name: "t".into(), partitions: vec![at(0, 7), at(1, -1)] };
            let group =
                OffsetFetchResponseGroup { group_id: "g".into(), topics: vec![topic], ..Default::default() };
            OffsetFetchResponse { groups: vec![group], ..Default::default() }
        }
    };
    answer(header, stream, &response);
}

#[test]
fn offsets_of_a_group_are_read_from_old_and_new_coordinators() {
    for versions in [knows_old_groups as Answer, knows_groups] {
        let address = broker_of(vec![vec![versions, coordinates], vec![versions, has_read_up_to_7]]);
        let mut client = Client::connect(&[address], Limits::default()).unwrap();
        let expected = GroupOffsets::from([("t".to_owned(), [(0, 7)].into())]);
        assert_eq!(client.group_offsets("g").unwrap(), expected);
    }
}

#[test]
fn a_coordinator_that_has_moved_is_looked_for_again() {
    let moved: Answer = |header, stream| {
        let error_code = ErrorCode::NotCoordinator.code();
        let group = OffsetFetchResponseGroup { group_id: "g".into(), error_code, ..Default::default() };
        answer(header, stream, &OffsetFetchResponse { groups: vec![group], ..Default::default() });
    };
    let control = vec![knows_groups as Answer, coordinates, coordinates];
    let address = broker_of(vec![control, vec![knows_groups, moved], vec![knows_groups, has_read_up_to_7]]);
    let mut client = Client::connect(&[address], Limits::default()).unwrap();
    assert_eq!(client.group_offsets("g").unwrap()["t"], [(0, 7)].into());
}

#[test]
fn a_deletion_whose_answer_was_lost_is_repeated_and_may_find_nothing() {
    let nothing: Answer = |header, stream| {
        let error_code = ErrorCode::GroupIdNotFound.code();
        let results = vec![DeletableGroupResult { group_id: "g".into(), error_code }];
        answer(header, stream, &DeleteGroupsResponse { results, ..Default::default() });
    };
    let silent: Answer = |_, _| {};
    let control = vec![knows_groups as Answer, coordinates, coordinates];
    let again = vec![knows_groups as Answer, nothing];
    let address = broker_of(vec![control.clone(), vec![knows_groups, silent], again.clone()]);
    Client::connect(&[address], Limits::default()).unwrap().delete_group("g").unwrap();

    let address = broker_of(vec![control, again]);
    let error = Client::connect(&[address], Limits::default()).unwrap().delete_group("g").unwrap_err();
    assert!(error.is(ErrorCode::GroupIdNotFound), "{error}");
}

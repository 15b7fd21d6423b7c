//! A broker that does nothing: it takes every batch, keeps none, and says yes; to readers it serves batches
//! that were made before ([`crate::canned`]). What the tool reaches against it is the tool's own ceiling.
//!
//! One thread, since it shall cost as little as a broker could. It looks at the head of a produce request and
//! skips the records.

use crate::bare;
use crate::canned::Canned;
use crate::clock::now;
use bytes::{Buf, Bytes};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use strandline_engine::types::TopicId;
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    ApiVersion, ApiVersionsResponse, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse,
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, FetchableTopicResponse, FinalizedFeatureKey, FindCoordinatorRequest,
    FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse, ListOffsetsPartitionResponse,
    ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse, MetadataRequest, MetadataResponse,
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, PartitionData,
    PartitionProduceResponse, Piece, ProduceRequest, ProduceResponse, RecordsGap, RequestHeader,
    TopicProduceResponse, decode_request, encode_response,
};
use strandline_protocol::wire::{ApiKey, Encode, ErrorCode, Message};

/// How much is read at a time.
const READ_BYTES: usize = 1 << 20;
/// Enough of a produce request to see its header and its acks.
const HEAD_BYTES: usize = 128;
/// Pieces of answers that are given to the kernel at a time.
const SLICES: usize = 64;
/// The first version of Produce in the flexible form.
const FLEXIBLE_FROM: i16 = 9;

/// Serves until the process is ended.
pub(crate) fn serve(listener: TcpListener, log: Canned) -> io::Result<()> {
    let address = listener.local_addr()?;
    let mut null = NullBroker { address, log, topics: HashMap::new(), produce: HashMap::new() };
    let mut scratch = vec![0; READ_BYTES];
    bare::serve_each(listener, Connection::new, |epoll, key, connection| {
        connection.serve(&mut null, &mut scratch)?;
        connection.watch_for(epoll, key)
    })
}

struct Connection {
    stream: TcpStream,
    /// The part of a frame that has come so far, with its size.
    head: Vec<u8>,
    /// How much of a produce request is still to be ignored.
    skip: usize,
    answers: Answers,
    /// Whether the socket is full, and whether the epoll set knows it.
    full: bool,
    watched_full: bool,
}

/// What is still to be sent: pieces, and behind them bytes that are not a piece yet.
#[derive(Default)]
struct Answers {
    pieces: VecDeque<Bytes>,
    bytes: Vec<u8>,
}

impl Answers {
    fn piece(&mut self, piece: Bytes) {
        if !self.bytes.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.bytes).into());
        }
        self.pieces.push_back(piece);
    }

    /// Writes what the socket takes; whether that was not all.
    fn write(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        while !self.pieces.is_empty() || !self.bytes.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let pieces = self.pieces.iter().map(|piece| &piece[..]).chain([&self.bytes[..]]);
            let count =
                slices.iter_mut().zip(pieces).map(|(slot, piece)| *slot = IoSlice::new(piece)).count();
            match stream.write_vectored(&slices[..count]) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        self.bytes.drain(..written);
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        let answers = Answers::default();
        Connection { stream, head: Vec::new(), skip: 0, answers, full: false, watched_full: false }
    }

    fn serve(&mut self, null: &mut NullBroker, scratch: &mut [u8]) -> io::Result<()> {
        let read = match self.stream.read(scratch) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let mut rest = &scratch[..read];
        while !rest.is_empty() {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = &rest[skipped..];
            // Grow the head to its size field, then to what is needed of the frame.
            let wanted = self.wanted()?;
            let taken = (wanted - self.head.len()).min(rest.len());
            self.head.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            if self.head.len() > 4 && self.head.len() == self.wanted()? {
                let size = frame_size(&self.head)?;
                null.answer(&self.head[4..], &mut self.answers)?;
                self.skip = size + 4 - self.head.len();
                self.head.clear();
            }
        }
        self.answers.write(&mut self.stream).map(|full| self.full = full)
    }

    /// A full socket is waited for, one with room would not let the loop sleep.
    fn watch_for(&mut self, epoll: &OwnedFd, key: u64) -> io::Result<()> {
        if self.full == self.watched_full {
            return Ok(());
        }
        self.watched_full = self.full;
        let flags = if self.full { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(epoll, &self.stream, EventData::new_u64(key), flags)?)
    }

    fn wanted(&self) -> io::Result<usize> {
        let Some(size) = self.head.first_chunk::<4>() else { return Ok(4) };
        let size = frame_size(size)?;
        match self.head.get(4..6) {
            None => Ok(4 + size.min(2)),
            Some(key) if key == ApiKey::Produce.code().to_be_bytes() => Ok(4 + size.min(HEAD_BYTES)),
            Some(_) => Ok(4 + size),
        }
    }
}

fn frame_size(bytes: &[u8]) -> io::Result<usize> {
    let size = i32::from_be_bytes(bytes[..4].try_into().expect("4 bytes"));
    usize::try_from(size).ok().filter(|&size| size > 8).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

struct NullBroker {
    address: SocketAddr,
    log: Canned,
    topics: HashMap<String, (Uuid, u32)>,
    /// The answer to Produce by version; only the correlation id differs.
    produce: HashMap<i16, Bytes>,
}

/// Any failure to understand or to answer ends the connection.
fn invalid<T, E>(result: Result<T, E>) -> io::Result<T> {
    result.map_err(|_| io::ErrorKind::InvalidData.into())
}

impl NullBroker {
    /// Answers a request, of which a Produce may be cut off.
    fn answer(&mut self, frame: &[u8], answers: &mut Answers) -> io::Result<()> {
        let (header, body) = invalid(RequestHeader::decode(frame))?;
        let (version, id, body) = (header.version, header.correlation_id, &frame[body..]);
        let out = &mut answers.bytes;
        match header.key {
            ApiKey::Produce => self.acknowledge(version, id, body, out),
            ApiKey::Fetch => self.fetch(version, id, &invalid(decode_request(body, version))?, answers),
            ApiKey::ApiVersions => put(out, version, id, &versions(version)),
            ApiKey::Metadata => {
                let answer = self.metadata(&invalid(decode_request(body, version))?);
                put(out, version, id, &answer)
            }
            ApiKey::CreateTopics => {
                let request: CreateTopicsRequest = invalid(decode_request(body, version))?;
                let topics = request.topics.into_iter().map(|topic| {
                    let topic_id = Uuid::from_bytes(TopicId::random().to_bytes());
                    self.topics.insert(topic.name.clone(), (topic_id, topic.num_partitions.max(1) as u32));
                    CreatableTopicResult { name: topic.name, topic_id, ..CreatableTopicResult::default() }
                });
                let topics = topics.collect();
                put(out, version, id, &CreateTopicsResponse { topics, ..CreateTopicsResponse::default() })
            }
            ApiKey::DeleteTopics => {
                let request: DeleteTopicsRequest = invalid(decode_request(body, version))?;
                let named = request.topics.into_iter().map(|topic| topic.name);
                let responses = named
                    .chain(request.topic_names.into_iter().map(Some))
                    .map(|name| DeletableTopicResult { name, ..DeletableTopicResult::default() })
                    .collect();
                put(out, version, id, &DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() })
            }
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest = invalid(decode_request(body, version))?;
                let topics = request.topics.into_iter().map(|topic| ListOffsetsTopicResponse {
                    name: topic.name,
                    partitions: (topic.partitions.iter())
                        .map(|partition| ListOffsetsPartitionResponse {
                            partition_index: partition.partition_index,
                            offset: self.log.end(partition.partition_index),
                            ..ListOffsetsPartitionResponse::default()
                        })
                        .collect(),
                });
                let topics = topics.collect();
                put(out, version, id, &ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
            }
            ApiKey::InitProducerId => {
                let answer =
                    InitProducerIdResponse { producer_id: now() as i64, ..InitProducerIdResponse::default() };
                put(out, version, id, &answer)
            }
            ApiKey::FindCoordinator => {
                let (host, port) = (self.address.ip().to_string(), i32::from(self.address.port()));
                let answer =
                    FindCoordinatorResponse { node_id: 1, host, port, ..FindCoordinatorResponse::default() };
                put(out, version, id, &answer)
            }
            ApiKey::EndTxn => {
                let EndTxnRequest { producer_id, producer_epoch, .. } =
                    invalid(decode_request(body, version))?;
                let (producer_id, producer_epoch) = match producer_epoch.checked_add(1) {
                    Some(epoch) => (producer_id, epoch),
                    None => (producer_id + 1, 0),
                };
                put(
                    out,
                    version,
                    id,
                    &EndTxnResponse { producer_id, producer_epoch, ..EndTxnResponse::default() },
                )
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn acknowledge(&mut self, version: i16, id: i32, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        // The transactional id stands before the acks; null, when it is of no bytes.
        let at = match body {
            // The generator's are shorter than what needs a second byte of length.
            [length, ..] if version >= FLEXIBLE_FROM => usize::from((*length).max(1)),
            [high, low, ..] => 2 + usize::try_from(i16::from_be_bytes([*high, *low])).unwrap_or(0),
            _ => 0,
        };
        if body.get(at..at + 2).ok_or(io::ErrorKind::InvalidData)? == [0, 0] {
            return Ok(());
        }
        let answer = match self.produce.get(&version) {
            Some(answer) => answer,
            None => {
                let partition = PartitionProduceResponse::default();
                let topic = TopicProduceResponse {
                    partition_responses: vec![partition],
                    ..TopicProduceResponse::default()
                };
                let answer = ProduceResponse { responses: vec![topic], ..ProduceResponse::default() };
                let answer = invalid(encode_response(version, 0, &answer))?;
                self.produce.entry(version).or_insert(answer)
            }
        };
        let start = out.len();
        out.extend_from_slice(answer);
        out[start + 4..start + 8].copy_from_slice(&id.to_be_bytes());
        Ok(())
    }

    fn fetch(&self, version: i16, id: i32, request: &FetchRequest, answers: &mut Answers) -> io::Result<()> {
        let mut left = usize::try_from(request.max_bytes).unwrap_or(0);
        let mut records = Vec::new();
        let responses = request.topics.iter().map(|topic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: (topic.partitions.iter())
                .map(|asked| {
                    let bytes = left.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
                    let read = match left {
                        0 => Bytes::new(),
                        _ => self.log.read(asked.partition, asked.fetch_offset, bytes),
                    };
                    left = left.saturating_sub(read.len());
                    let gap = RecordsGap { index: records.len(), length: read.len() as u32 };
                    records.push(read);
                    let high_watermark = self.log.end(asked.partition);
                    PartitionData {
                        partition_index: asked.partition,
                        high_watermark,
                        records: gap,
                        ..PartitionData::default()
                    }
                })
                .collect(),
        });
        let answer = FetchResponse { responses: responses.collect(), ..FetchResponse::default() };
        for piece in invalid(answer.encode(version, id))? {
            answers.piece(match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Records(gap) => records[gap.index].clone(),
            });
        }
        Ok(())
    }

    fn metadata(&self, request: &MetadataRequest) -> MetadataResponse {
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..MetadataResponsePartition::default()
        };
        let asked = request.topics.iter().flatten().filter_map(|topic| topic.name.clone());
        let topics = asked.map(|name| match self.topics.get(&name) {
            Some(&(topic_id, partitions)) => MetadataResponseTopic {
                name: Some(name),
                topic_id,
                partitions: (0..partitions as i32).map(partition).collect(),
                ..MetadataResponseTopic::default()
            },
            None => MetadataResponseTopic {
                error_code: ErrorCode::UnknownTopicOrPartition.code(),
                name: Some(name),
                ..MetadataResponseTopic::default()
            },
        });
        let broker = MetadataResponseBroker {
            node_id: 1,
            host: self.address.ip().to_string(),
            port: i32::from(self.address.port()),
            rack: None,
        };
        MetadataResponse {
            brokers: vec![broker],
            controller_id: 1,
            topics: topics.collect(),
            ..Default::default()
        }
    }
}

fn versions(version: i16) -> ApiVersionsResponse {
    fn entry<M: Message>() -> ApiVersion {
        ApiVersion {
            api_key: M::KEY.code(),
            min_version: *M::VERSIONS.start(),
            max_version: *M::VERSIONS.end(),
        }
    }
    let known = version <= *ApiVersionsResponse::VERSIONS.end();
    ApiVersionsResponse {
        error_code: if known { 0 } else { ErrorCode::UnsupportedVersion.code() },
        api_keys: vec![
            entry::<ProduceRequest>(),
            entry::<FetchRequest>(),
            entry::<ListOffsetsRequest>(),
            entry::<MetadataRequest>(),
            entry::<ApiVersionsResponse>(),
            entry::<CreateTopicsRequest>(),
            entry::<DeleteTopicsRequest>(),
            entry::<InitProducerIdRequest>(),
            entry::<FindCoordinatorRequest>(),
            entry::<EndTxnRequest>(),
        ],
        finalized_features_epoch: 1,
        finalized_features: vec![FinalizedFeatureKey {
            name: "transaction.version".to_owned(),
            max_version_level: 2,
            min_version_level: 2,
        }],
        ..ApiVersionsResponse::default()
    }
}

fn put<M: Message + Encode>(out: &mut Vec<u8>, version: i16, id: i32, answer: &M) -> io::Result<()> {
    out.extend_from_slice(&invalid(encode_response(version, id, answer))?);
    Ok(())
}

//! A small blocking client of the protocol.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use strandline_client::{Address, Connection, RequestError};
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::types::Timestamp;
use strandline_protocol::messages::*;
use strandline_protocol::wire::{ApiKey, Decode, Encode};

/// Far longer than anything here takes, on a busy machine as well: it only ends a test that has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection on which every request names its version. It asks nothing by itself.
pub(crate) struct Client(Connection);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let place = Address { host: address.ip().to_string(), port: address.port() };
        Client(Connection::over(stream, place, "scenarios", PATIENCE).unwrap())
    }

    /// A connection that was opened already.
    pub(crate) fn over(connection: Connection) -> Client {
        Client(connection)
    }

    /// The socket, for bytes that are no request.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.stream()
    }

    /// Sends a request, and gives the number that its response will have.
    pub(crate) fn send<M: Request + Encode>(&mut self, version: i16, request: &M) -> i32 {
        self.0.send(version, request).unwrap()
    }

    /// Reads a frame, without its size.
    pub(crate) fn read_frame(&mut self) -> io::Result<Bytes> {
        // The request is named in errors alone.
        self.0.receive(ApiKey::ApiVersions, Duration::ZERO).map_err(|error| match error {
            RequestError::Lost { source, .. } => source,
            other => panic!("{other}"),
        })
    }

    pub(crate) fn call<M>(&mut self, version: i16, request: &M) -> M::Response
    where
        M: Request + Encode,
        M::Response: Decode,
    {
        self.0.call_in(version, request).unwrap()
    }

    /// Whether the broker has closed the connection, without a byte of an answer.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.stream().read(&mut [0; 1]) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    pub(crate) fn create(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> CreatableTopicResult {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        });
        let topic = CreatableTopic {
            name: topic.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        self.call(7, &request).topics.remove(0)
    }

    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: BytesMut,
    ) -> PartitionProduceResponse {
        self.call(11, &produce(topic, partition, batch, -1)).responses.remove(0).partition_responses.remove(0)
    }

    pub(crate) fn fetch(&mut self, version: i16, request: &FetchRequest) -> FetchResponse<Bytes> {
        let id = self.send(version, request);
        self.0.receive_fetched(version, id, Duration::ZERO).unwrap()
    }

    /// All values of a partition from `offset` on, with their offsets.
    pub(crate) fn read_all(&mut self, topic: &str, partition: i32, offset: i64) -> Vec<(i64, String)> {
        let mut found = Vec::new();
        let mut next = offset;
        loop {
            let data =
                self.fetch(12, &fetch(topic, &[(partition, next)])).responses.remove(0).partitions.remove(0);
            assert_eq!(data.error_code, 0);
            let values = values(&data.records);
            let Some((last, _)) = values.last() else { return found };
            next = last + 1;
            found.extend(values);
        }
    }
}

pub(crate) fn produce(topic: &str, partition: i32, batch: BytesMut, acks: i16) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index: partition, records: Some(batch) }];
    let topic_data = vec![TopicProduceData { name: topic.to_owned(), partition_data, ..Default::default() }];
    ProduceRequest { acks, timeout_ms: 1000, topic_data, ..Default::default() }
}

/// A request for everything from the offsets on, which does not wait.
pub(crate) fn fetch(topic: &str, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|(partition, offset)| FetchPartition {
        partition: *partition,
        fetch_offset: *offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    });
    let topics =
        vec![FetchTopic { topic: topic.to_owned(), partitions: partitions.collect(), ..Default::default() }];
    FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: 50 << 20, topics, ..Default::default() }
}

pub(crate) fn batch(values: &[&str]) -> BytesMut {
    let mut batch = BatchBuilder::new(Codec::None);
    for value in values {
        batch.push(now(), None, Some(value.as_bytes()), &[]);
    }
    batch.build()
}

pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_millis() as i64)
}

/// The values of record batches, with their offsets; markers have none.
pub(crate) fn values(records: &[u8]) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in Batches::new(records) {
        let (header, batch) = batch.unwrap();
        if header.is_control() {
            continue;
        }
        for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
            let record = record.unwrap();
            let offset = header.base_offset().get() + i64::from(record.offset_delta);
            found.push((offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
    }
    found
}

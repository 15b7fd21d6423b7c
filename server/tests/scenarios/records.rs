//! What happens to records on arrival: compressed ones that are dear to unpack, and topics that keep another
//! codec than was sent.

use std::time::Duration;

use bytes::BytesMut;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::{Codec, decompress};
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, fetch, now, produce};
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence, Timestamp};

const PACKED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// One record of zeros.
fn zeros(codec: Codec, bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(codec);
    builder.push(now(), None, Some(&vec![0; bytes]), &[]);
    builder.build()
}

/// D11. With a buffer of their size, sixteen of these at a time took 400 MB and made a neighbour wait for
/// seconds.
#[test]
fn bombs_cost_neither_memory_nor_the_neighbours_turn() {
    const BOMB_BYTES: usize = 20 << 20;
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &["--shards", "1"]);
    let mut neighbour = broker.client();
    neighbour.create("t", 1, &[]);
    neighbour.produce("t", 0, batch(&["warm"]));
    let before = broker.resident();
    let bombs = PACKED.map(|codec| zeros(codec, BOMB_BYTES));
    assert!(bombs.iter().all(|bomb| bomb.len() < 1 << 20 && bomb.len() * 20 < BOMB_BYTES));
    let mut hostile: Vec<Client> = (0..16).map(|_| broker.client()).collect();
    for client in &mut hostile {
        for bomb in &bombs {
            client.send(11, &produce("t", 0, bomb.clone(), -1));
        }
        client.stream().set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    }
    for _ in 0..20 {
        assert_eq!(neighbour.produce("t", 0, batch(&["fine"])).error_code, 0);
    }
    let mut highest = broker.resident();
    for client in &mut hostile {
        for (codec, bomb) in PACKED.iter().zip(&bombs) {
            let (_, response) =
                decode_response::<ProduceResponse>(&client.read_frame().unwrap(), 11).unwrap();
            let answer = &response.responses[0].partition_responses[0];
            // 1,024 times their size is what they may unpack to, beyond the first 16 MiB.
            let is_bomb = (bomb.len() - BATCH_HEADER_BYTES) * 1024 < BOMB_BYTES;
            let expected = if is_bomb { ErrorCode::MessageTooLarge.code() } else { 0 };
            assert_eq!(answer.error_code, expected, "{}: {:?}", codec.name(), answer.error_message);
            highest = highest.max(broker.resident());
        }
    }
    let grown = highest.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    let refused = neighbour.produce("t", 0, bombs[3].clone());
    let message = refused.error_message.unwrap_or_default();
    assert_eq!(refused.error_code, ErrorCode::MessageTooLarge.code());
    assert_eq!(message, "zstd data unpacks to more than 16777216 bytes");
}

fn alter(client: &mut Client, topic: &str, name: &str, value: &str) {
    let config = IncrementalAlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let resource = IncrementalAlterConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    assert_eq!(client.call(1, &request).responses[0].error_code, 0);
}

/// Codec, sequence and records of the batches from an offset on.
fn kept(client: &mut Client, topic: &str, offset: i64) -> Vec<(Codec, Sequence, Vec<u8>)> {
    let answer = client.fetch(12, &fetch(topic, &[(0, offset)])).responses.remove(0).partitions.remove(0);
    assert_eq!(answer.error_code, 0);
    let batches = Batches::new(&answer.records).map(|batch| {
        let (header, batch) = batch.unwrap();
        let codec = header.codec().unwrap();
        let records = decompress(codec, &batch[BATCH_HEADER_BYTES..], 1 << 24).unwrap();
        (codec, header.base_sequence(), records)
    });
    batches.collect()
}

#[test]
fn a_topic_keeps_its_own_codec_from_the_moment_it_is_set() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[("compression.type", "gzip")]);
    let names = [("gzip", 1), ("zstd", 4), ("producer", 3), ("uncompressed", 0), ("snappy", 2), ("lz4", 3)];
    let mut builder = BatchBuilder::new(Codec::None);
    (0..100).for_each(|at| {
        builder.push(Timestamp(1_000 - at), Some(b"key"), Some(&[at as u8; 100]), &[("h", None)])
    });
    let records = builder.build()[BATCH_HEADER_BYTES..].to_vec();
    for (at, (name, codec)) in names.into_iter().enumerate() {
        alter(&mut client, "t", "compression.type", name);
        let sequence = Sequence(at as i32 * 100);
        let mut builder =
            BatchBuilder::new(Codec::Lz4).producer(ProducerId(77), ProducerEpoch::FIRST, sequence);
        (0..100).for_each(|at| {
            builder.push(Timestamp(1_000 - at), Some(b"key"), Some(&[at as u8; 100]), &[("h", None)])
        });
        let sent = builder.build();
        let first = client.produce("t", 0, sent.clone());
        assert_eq!((first.error_code, first.base_offset), (0, i64::from(sequence.0)), "{name}");
        let again = client.produce("t", 0, sent);
        assert_eq!((again.error_code, again.base_offset), (0, first.base_offset), "a retry is recognised");
        let kept = kept(&mut client, "t", first.base_offset);
        assert_eq!(kept, [(Codec::from_id(codec).unwrap(), sequence, records.clone())], "{name}");
    }
}

#[test]
fn a_batch_is_measured_as_its_topic_keeps_it() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[("compression.type", "uncompressed"), ("max.message.bytes", "100000")]);
    let refused = client.produce("t", 0, zeros(Codec::Gzip, 5_000_000));
    assert_eq!((refused.error_code, refused.base_offset), (ErrorCode::MessageTooLarge.code(), -1));
    assert!(kept(&mut client, "t", 0).is_empty(), "nothing of it is appended");
    assert_eq!(client.produce("t", 0, zeros(Codec::Gzip, 50_000)).error_code, 0);
    assert_eq!(kept(&mut client, "t", 0)[0].0, Codec::None);
}

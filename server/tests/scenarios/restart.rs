//! What a start finds of what was acknowledged before, and who may start.

use bytes::BytesMut;
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_protocol::messages::*;
use strandline_protocol::wire::ErrorCode;

use crate::broker::{Broker, data_dir};
use crate::client::{Client, batch, now};
use strandline_engine::types::{ProducerEpoch, ProducerId, Sequence};

fn sequenced(producer_id: i64, sequence: i32, values: &[&str]) -> BytesMut {
    let mut batch = BatchBuilder::new(Codec::None).producer(
        ProducerId(producer_id),
        ProducerEpoch::FIRST,
        Sequence(sequence),
    );
    for value in values {
        batch.push(now(), None, Some(value.as_bytes()), &[]);
    }
    batch.build()
}

fn producer_id(client: &mut Client) -> i64 {
    let response = client.call(4, &InitProducerIdRequest::default());
    assert_eq!((response.error_code, response.producer_epoch), (0, 0));
    response.producer_id
}

#[test]
fn acknowledged_records_survive_kill_and_another_number_of_shards() {
    let dir = data_dir();
    let mut expected = vec![Vec::new(); 5];
    for (round, shards) in ["1", "3", "2"].into_iter().enumerate() {
        let broker = Broker::start(dir.path(), &["--shards", shards]);
        let mut client = broker.client();
        if round == 0 {
            client.create("t", 5, &[]);
        }
        for step in 0..20 {
            let value = format!("{round}-{step}");
            let partition = step % 5;
            let answer = client.produce("t", partition, batch(&[&value]));
            assert_eq!(answer.error_code, 0);
            expected[partition as usize].push((answer.base_offset, value));
        }
        for (partition, expected) in expected.iter().enumerate() {
            assert_eq!(&client.read_all("t", partition as i32, 0), expected);
        }
        broker.kill();
    }
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    for (partition, expected) in expected.iter().enumerate() {
        assert_eq!(&client.read_all("t", partition as i32, 0), expected, "D1");
    }
}

#[test]
fn a_batch_that_is_sent_again_keeps_its_offset_also_after_a_restart() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let id = producer_id(&mut client);
    assert_eq!(client.produce("t", 0, sequenced(id, 0, &["a", "b"])).base_offset, 0);
    assert_eq!(client.produce("t", 0, sequenced(id, 2, &["c"])).base_offset, 2);
    let again = client.produce("t", 0, sequenced(id, 0, &["a", "b"]));
    assert_eq!((again.error_code, again.base_offset), (0, 0));
    broker.kill();

    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    let again = client.produce("t", 0, sequenced(id, 2, &["c"]));
    assert_eq!((again.error_code, again.base_offset), (0, 2));
    let gap = client.produce("t", 0, sequenced(id, 7, &["d"]));
    assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber.code());
    assert_eq!(client.produce("t", 0, sequenced(id, 3, &["d"])).base_offset, 3);
    assert_ne!(producer_id(&mut client), id, "an id is never given out twice");
    assert_eq!(client.read_all("t", 0, 0).len(), 4);
}

#[test]
fn a_second_broker_on_the_same_data_is_refused_with_the_reason() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let second = Broker::refused(dir.path(), &[]);
    assert_eq!(second.status.code(), Some(1));
    let reason = String::from_utf8(second.stderr).unwrap();
    assert!(reason.contains("is in use by another process"), "{reason}");
    let elsewhere = data_dir();
    let second = Broker::refused(elsewhere.path(), &["--listen", &broker.address.to_string()]);
    assert_eq!(second.status.code(), Some(1));
    let reason = String::from_utf8(second.stderr).unwrap();
    assert!(reason.contains(&format!("can not listen on {}", broker.address)), "{reason}");
    let misspelt = Broker::refused(elsewhere.path(), &["-o", "num.partition=3"]);
    assert_eq!(misspelt.status.code(), Some(2));
}

#[test]
fn a_stop_is_clean_and_tells_what_was_synced() {
    let dir = data_dir();
    let broker = Broker::start(dir.path(), &[]);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.produce("t", 0, batch(&["a", "b", "c"]));
    let (code, told) = broker.stop();
    assert_eq!(code, Some(0));
    assert!(
        told.contains("stopped: 3 records in 1 batches; 1 journal commits with 3.0 records each"),
        "{told}"
    );
    let broker = Broker::start(dir.path(), &[]);
    assert_eq!(broker.client().read_all("t", 0, 0).len(), 3);
}

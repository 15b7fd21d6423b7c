//! The pieces that every record passes, alone: how long the processor takes for each, on data that is in its
//! cache.
//!
//! `cargo bench -p strandline-bench` measures them; `cargo test -p strandline-bench --benches` only runs each
//! once.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use futures_channel::oneshot;
use std::hint::black_box;
use std::time::{Duration, Instant};
use strandline_engine::config::ReactorChoice;
use strandline_engine::format::batch::{TimestampType, verify_crc};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::check::{CheckRules, check};
use strandline_engine::format::compression::Codec;
use strandline_engine::format::index::{IndexEntry, floor};
use strandline_engine::format::journal::{Expect, NewBatch, encode_commit, read_commit};
use strandline_engine::io::AlignedBuffer;
use strandline_engine::reactor::{choose, spawn_executor};
use strandline_engine::types::{LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};
use strandline_protocol::Uuid;
use strandline_protocol::messages::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, RequestHeader,
    TopicProduceData, TopicProduceResponse, decode_response, encode_request, encode_response,
};

/// The version that current clients speak.
const PRODUCE_VERSION: i16 = 13;
/// There are no background tasks here.
const BACKGROUND_SHARE: f64 = 0.1;

fn batch(records: usize, record_bytes: usize) -> BytesMut {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in 0..records {
        builder.push(
            Timestamp(1_000),
            Some(&(record as u64).to_be_bytes()),
            Some(&vec![b'x'; record_bytes]),
            &[],
        );
    }
    builder.build()
}

fn rules() -> CheckRules {
    CheckRules {
        bytes_max: 1 << 20,
        keys_required: false,
        timestamp_type: TimestampType::CreateTime,
        before_max_ms: i64::MAX,
        after_max_ms: i64::MAX,
        now: Timestamp(2_000),
        decompressed_bytes_max: 1 << 24,
        repack: None,
    }
}

fn batches(criterion: &mut Criterion) {
    for (name, records, record_bytes) in
        [("16 x 1 KiB", 16, 1024), ("160 x 100 B", 160, 100), ("1 x 100 B", 1, 100)]
    {
        let batch = batch(records, record_bytes);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(batch.len() as u64));
        group.bench_function("crc", |bencher| bencher.iter(|| verify_crc(black_box(&batch))));
        let rules = rules();
        group.bench_function("check and stamp", |bencher| {
            bencher.iter_batched(
                || batch.clone(),
                |batch| {
                    let mut checked = check(batch, &rules).expect("a valid batch");
                    checked.stamp(Offset::new(77), LeaderEpoch(0));
                    checked
                },
                BatchSize::SmallInput,
            )
        });
    }
}

fn journal(criterion: &mut Criterion) {
    let batch = batch(16, 1024);
    let partition = PartitionId::new(TopicId::random(), 3);
    let commit: Vec<NewBatch<'_>> = (0..32).map(|_| (partition, 0, &batch[..])).collect();
    let mut group = criterion.benchmark_group("journal, 32 batches of 16 KiB");
    group.throughput(Throughput::Bytes(32 * batch.len() as u64));
    let mut buffer = AlignedBuffer::new();
    group.bench_function("frame", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            encode_commit(&mut buffer, 1, 0, black_box(&commit));
        })
    });
    let expect = Expect { generation: Some(1), sequence: 0 };
    group.bench_function("read and verify", |bencher| {
        bencher.iter(|| read_commit(black_box(buffer.as_ref()), expect).expect("it is whole").verify())
    });
}

fn index(criterion: &mut Criterion) {
    let entries: Vec<IndexEntry> = (0..262_144)
        .map(|entry| IndexEntry {
            relative_offset: entry * 16,
            position: entry * 4096,
            max_timestamp: Timestamp(5),
        })
        .collect();
    let mut wanted = 0u32;
    criterion.bench_function("index lookup in a segment of 1 GiB", |bencher| {
        bencher.iter(|| {
            wanted = wanted.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            floor(&entries, black_box(wanted >> 10))
        })
    });
}

fn wire(criterion: &mut Criterion) {
    let records = batch(16, 1024);
    let request = ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            topic_id: Uuid::from_u128(7),
            partition_data: (0..16)
                .map(|index| PartitionProduceData { index, records: Some(records.clone()) })
                .collect(),
            ..TopicProduceData::default()
        }],
    };
    let frame = encode_request(PRODUCE_VERSION, 1, Some("client"), &request).expect("a valid request");
    let mut group = criterion.benchmark_group("produce, 16 partitions");
    group.bench_function("decode the request", |bencher| {
        bencher.iter_batched(
            || BytesMut::from(&frame[4..]),
            |mut frame| {
                let (_, body) = RequestHeader::decode(&frame).expect("a header");
                ProduceRequest::decode(frame.split_off(body), PRODUCE_VERSION).expect("a body")
            },
            BatchSize::SmallInput,
        )
    });
    let response = ProduceResponse {
        responses: vec![TopicProduceResponse {
            topic_id: Uuid::from_u128(7),
            partition_responses: (0..16)
                .map(|index| PartitionProduceResponse { index, ..PartitionProduceResponse::default() })
                .collect(),
            ..TopicProduceResponse::default()
        }],
        ..ProduceResponse::default()
    };
    group.bench_function("encode the response", |bencher| {
        bencher.iter(|| encode_response(PRODUCE_VERSION, 1, black_box(&response)).expect("a valid response"))
    });
    let answer = encode_response(PRODUCE_VERSION, 1, &response).expect("a valid response");
    group.bench_function("decode the response", |bencher| {
        bencher.iter(|| {
            decode_response::<ProduceResponse>(black_box(&answer[4..]), PRODUCE_VERSION).expect("valid")
        })
    });
}

/// A question to another shard and its answer, as a request takes them that came in on the wrong one: into a
/// mailbox, back through a channel of one message, each end waking the other's thread. `under_way` questions
/// are asked at once.
fn hop(criterion: &mut Criterion) {
    let (ask, questions) = async_channel::bounded::<oneshot::Sender<()>>(1024);
    let (measure, rounds) = async_channel::bounded::<(u64, u64)>(1);
    let (tell, took) = async_channel::bounded::<Duration>(1);
    let reactor = choose(ReactorChoice::Auto).expect("there is one").kind;
    let answering = spawn_executor(reactor, "answers", None, BACKGROUND_SHARE, |_| async move {
        while let Ok(answer) = questions.recv().await {
            let _ = answer.send(());
        }
    });
    let asking = spawn_executor(reactor, "asks", None, BACKGROUND_SHARE, |_| async move {
        while let Ok((count, under_way)) = rounds.recv().await {
            let began = Instant::now();
            for _ in 0..count.div_ceil(under_way) {
                let answers: Vec<_> = (0..under_way).map(|_| oneshot::channel()).collect();
                let mut waiting = Vec::with_capacity(answers.len());
                for (answer, answered) in answers {
                    ask.send(answer).await.expect("somebody answers");
                    waiting.push(answered);
                }
                for answered in waiting {
                    answered.await.expect("each is answered");
                }
            }
            tell.send(began.elapsed()).await.expect("somebody waits");
        }
    });
    let mut group = criterion.benchmark_group("mailbox hop and back");
    for under_way in [1, 32] {
        group.bench_function(format!("{under_way} under way"), |bencher| {
            bencher.iter_custom(|count| {
                measure.send_blocking((count, under_way)).expect("the executor runs");
                took.recv_blocking().expect("it answers")
            })
        });
    }
    group.finish();
    drop(measure);
    for executor in [asking, answering] {
        executor.expect("a thread").join().expect("no task fails");
    }
}

criterion_group!(hot, batches, journal, index, wire, hop);
criterion_main!(hot);

//! The engine behind a small TCP face: `cargo run -p strandline-engine --example tcp_log`, then talk to it
//! with netcat:
//!
//! ```text
//! $ nc 127.0.0.1 7070
//! put hello              one record; the answer comes when it is durable
//! ok 0
//! get 0                  the record at an offset
//! hello
//! ```
//!
//! It is a [`Front`]: every shard runs an instance on its own thread. Here the first one has all the
//! connections; appends and reads find their way to the shard that owns the partition.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it does")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use bytes::BytesMut;
use strandline_engine::config::EngineConfig;
use strandline_engine::error::TopicError;
use strandline_engine::format::batch::{BATCH_HEADER_BYTES, Batches};
use strandline_engine::format::builder::BatchBuilder;
use strandline_engine::format::compression::Codec;
use strandline_engine::format::record::Records;
use strandline_engine::reactor::{Queue, spawn};
use strandline_engine::topics::NewTopic;
use strandline_engine::types::{Offset, PartitionId, Timestamp};
use strandline_engine::{Engine, Front, Local, ReadRequest};

/// The longest line.
const LINE_BYTES_MAX: usize = 64 << 10;

type Failure = Box<dyn std::error::Error>;

#[derive(Clone)]
struct LineFront {
    address: SocketAddr,
}

impl Front for LineFront {
    async fn run(self, shard: Local) {
        let serving = shard.clone();
        let accepting = (shard.index() == 0).then(|| {
            spawn(Queue::Net, async move {
                if let Err(error) = accept(self.address, serving).await {
                    eprintln!("{}: {error}", self.address);
                }
            })
        });
        shard.stopped().await;
        if let Some(accepting) = accepting {
            accepting.cancel().await;
        }
    }
}

async fn accept(address: SocketAddr, shard: Local) -> Result<(), Failure> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    loop {
        shard.sockets().readable(listener.as_fd()).await?;
        let (stream, _) = listener.accept()?;
        let shard = shard.clone();
        spawn(Queue::Net, async move {
            if let Err(error) = serve(stream, shard).await {
                eprintln!("connection closed: {error}");
            }
        })
        .detach();
    }
}

async fn serve(stream: TcpStream, shard: Local) -> Result<(), Failure> {
    stream.set_nonblocking(true)?;
    let socket = Rc::new(OwnedFd::from(stream));
    let partition = the_partition(&shard).await?;
    let mut received = BytesMut::with_capacity(LINE_BYTES_MAX);
    loop {
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            let line = received.split_to(end + 1);
            let line = String::from_utf8_lossy(&line);
            let answer = match line.trim_end().split_once(' ') {
                Some(("put", text)) => {
                    put(&shard, partition, text).await.map(|offset| format!("ok {offset}"))
                }
                Some(("get", offset)) => get(&shard, partition, offset).await,
                _ => Err("say: put TEXT, or get OFFSET".into()),
            };
            let answer = answer.unwrap_or_else(|error| format!("error: {error}"));
            shard.sockets().send(socket.as_fd(), format!("{answer}\n").as_bytes(), false).await?;
        }
        let begun = received.len();
        if begun >= LINE_BYTES_MAX {
            return Err("the line is too long".into());
        }
        received.reserve(LINE_BYTES_MAX - begun);
        let (result, buffer) = shard.sockets().receive(&socket, received).await;
        result?;
        received = buffer;
        if received.len() == begun {
            return Ok(());
        }
    }
}

/// The one partition of the topic `lines`, made by the first who asks.
async fn the_partition(shard: &Local) -> Result<PartitionId, Failure> {
    let new = NewTopic { name: "lines".into(), partitions: 1, configs: Vec::new() };
    let topic = match shard.handle().create_topic(new).await {
        Ok(topic) => topic,
        Err(TopicError::Exists(name)) => shard.topics().by_name(&name).ok_or("deleted meanwhile")?.clone(),
        Err(error) => return Err(error.into()),
    };
    Ok(PartitionId::new(topic.id, 0))
}

async fn put(shard: &Local, partition: PartitionId, text: &str) -> Result<Offset, Failure> {
    let mut batch = BatchBuilder::new(Codec::None);
    batch.push(Timestamp::NONE, None, Some(text.as_bytes()), &[]);
    Ok(shard.append(partition, batch.build()).await?.settled().await?.base_offset)
}

async fn get(shard: &Local, partition: PartitionId, offset: &str) -> Result<String, Failure> {
    let offset = Offset::checked(offset.parse()?).ok_or("an offset is not negative")?;
    let request = ReadRequest::new(partition, offset, 1);
    let Some(range) = shard.read(&[request]).await.remove(0)?.batches else {
        return Err("not there yet".into());
    };
    let bytes = range.read()?;
    for batch in Batches::new(&bytes) {
        let (header, batch) = batch?;
        for record in Records::new(&batch[BATCH_HEADER_BYTES..], header.record_count() as u32) {
            let record = record?;
            if header.base_offset().plus(i64::from(record.offset_delta)) == offset {
                return Ok(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            }
        }
    }
    Err("no such record".into())
}

fn main() -> Result<(), Failure> {
    let address: SocketAddr = "127.0.0.1:7070".parse()?;
    let config = EngineConfig::new(std::env::temp_dir().join("strandline-tcp-log"));
    let engine = Engine::start(config, LineFront { address })?;
    println!("listening on {address}; end with ctrl-d");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(engine.stop()?)
}

//! One record, with all that it has.

use std::ops::ControlFlow;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use strandline_engine::Isolation;

use super::viewer::Viewer;
use crate::fronts::http::problem::Problem;
use crate::fronts::http::records::{Record, walk};
use crate::fronts::http::topics::Wanted;

/// Bytes of a fetch; the first batch comes in any case.
const FETCH_BYTES: usize = 1 << 20;

/// A record of one's own.
pub(super) struct Message {
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record with what the answers of REST have of it.
#[derive(Deserialize)]
struct Written {
    headers: Vec<WrittenHeader>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    key: String,
    value: Option<String>,
}

impl Message {
    fn of(record: &Record<'_>) -> Result<Message, Problem> {
        let mut written = Vec::new();
        record.write_own(&mut written, None)?;
        let written: Written =
            serde_json::from_slice(&written).map_err(|why| Problem::unreadable(why.to_string()))?;
        let header = |header: WrittenHeader| {
            (header.key, header.value.map(|it| BASE64.decode(it).unwrap_or_default()))
        };
        Ok(Message {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: written.headers.into_iter().map(header).collect(),
        })
    }
}

/// The record at an offset.
///
/// # Errors
/// [`Problem`], also where there is none.
pub(super) async fn at(
    viewer: &Viewer,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Message, Problem> {
    viewer.asker.topic_with(topic, partition).await?;
    let isolation = Isolation::ReadUncommitted;
    let wanted = Wanted { topic, partition, offset, bytes_max: FETCH_BYTES, isolation };
    let (data, _room) = viewer.asker.read_now(&wanted).await?;
    let (mut found, mut position) = (None, offset);
    let _ = walk(partition, &data.records, None, &mut position, &mut |record| {
        if record.offset == offset {
            found = Some(Message::of(record)?);
        }
        Ok(ControlFlow::Break(()))
    })?;
    let words = "no message has this offset: it was compacted away, or is the marker of a transaction";
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, Some(2), words))
}

//! The filter: reads positions, writes the dangerous ones to a topic of their own.
//!
//! A position counts as read when the next poll begins, and before that the copies are flushed: after a crash
//! one may be there twice, but none is missing.

use crate::drive::{now, options};
use crate::position::Position;
use crate::{DANGEROUS, POSITIONS, Stop};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use strandline_client::{Client, GroupConsumer, Moment, NewRecord, Producer};

const GROUP: &str = "alarm";

pub(crate) fn run(client: Client, stop: &Stop) -> Result<(), Box<dyn Error>> {
    let mut producer = Producer::open(client.another(), DANGEROUS, options())?;
    let mut member = GroupConsumer::new(client, GROUP, POSITIONS, Moment::Earliest);
    let mut positions = 0;
    while !stop.is_told() {
        let mut pushed = Ok(());
        let _ = member.poll(Duration::from_millis(200), |record| {
            positions += 1;
            if !record.value.and_then(Position::from_json).is_some_and(|position| position.is_dangerous()) {
                return ControlFlow::Continue(());
            }
            let alarm = NewRecord {
                key: record.key,
                value: record.value,
                headers: &[],
                timestamp: now(),
                partition: None,
                tag: positions,
            };
            pushed = producer.push(&alarm, Instant::now());
            if pushed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        pushed?;
        producer.flush()?;
    }
    member.commit()?;
    member.leave()?;
    println!("alarm: {} of {positions} positions are dangerous", producer.acknowledged().records);
    Ok(())
}

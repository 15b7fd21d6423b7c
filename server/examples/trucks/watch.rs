//! A watcher: it listens to its share of the trucks, and says once a second how many there are.
//!
//! Watchers are members of one group, so every position comes to one of them. As a truck is in one partition,
//! it stays with one watcher as long as the group does not change, and its positions come in order; this
//! program ends with an error if they do not.

use crate::position::Position;
use crate::{POSITIONS, Stop};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use strandline_client::{Client, GroupConsumer, Moment};

const GROUP: &str = "watchers";

const REPORT_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the watcher is called
    name: String,
}

pub(crate) fn run(client: Client, args: &Args, stop: &Stop) -> Result<(), Box<dyn Error>> {
    let mut member = GroupConsumer::new(client, GROUP, POSITIONS, Moment::Latest);
    let mut share: Option<Vec<i32>> = None;
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    let (mut trucks, mut positions, mut reported) = (BTreeSet::new(), 0, Instant::now());
    while !stop.is_told() {
        let mut overtaken = None;
        let flow = member.poll(Duration::from_millis(200), |record| {
            let Some(position) = record.value.and_then(Position::from_json) else {
                return ControlFlow::Continue(());
            };
            positions += 1;
            trucks.insert(position.truck.clone());
            let before = seen.insert(position.truck.clone(), position.number);
            // 1 is a new drive.
            if before.is_some_and(|before| position.number <= before && position.number != 1) {
                overtaken = Some(position);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if let (ControlFlow::Break(()), Some(position)) = (flow, overtaken) {
            return Err(format!("{} came after a later one: {position:?}", position.number).into());
        }
        let now = member.positions().map(|positions| positions.keys().copied().collect::<Vec<i32>>());
        if now != share {
            match &now {
                None => println!("{}: the group rebalances", args.name),
                Some(partitions) => println!("{}: has partitions {partitions:?}", args.name),
            }
            // What others have read meanwhile was not seen here.
            seen.clear();
            share = now;
        }
        if reported.elapsed() >= REPORT_EVERY && positions > 0 {
            println!("{}: {positions} positions of {} trucks", args.name, trucks.len());
            (trucks, positions, reported) = (BTreeSet::new(), 0, Instant::now());
        }
    }
    // The others need not wait until this member is taken for dead, and begin where it has stopped.
    member.commit()?;
    member.leave()?;
    println!("{}: has left", args.name);
    Ok(())
}

//! The trucks: they drive, and tell where they are.
//!
//! The key of a record is the truck, so all positions of one truck are in one partition, in their order.

use crate::position::Position;
use crate::{POSITIONS, Stop};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use strandline_client::{Acks, Client, NewRecord, Producer, ProducerOptions};
use strandline_engine::format::compression::Codec;
use strandline_engine::types::Timestamp;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many trucks there are
    #[arg(long, value_name = "N", default_value_t = 40)]
    trucks: usize,
    /// How often each tells its position, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 250)]
    every: u64,
    /// End after this many rounds
    #[arg(long, value_name = "N")]
    rounds: Option<i64>,
}

pub(crate) fn run(client: Client, args: &Args, stop: &Stop) -> Result<(), Box<dyn Error>> {
    let mut producer = Producer::open(client, POSITIONS, options())?;
    let mut trucks: Vec<Truck> = (1..=args.trucks).map(Truck::new).collect();
    let last = args.rounds.unwrap_or(i64::MAX);
    for round in 1..=last {
        for (tag, truck) in trucks.iter_mut().enumerate() {
            let position = truck.drive(round);
            let value = position.to_json();
            let record = NewRecord {
                key: Some(position.truck.as_bytes()),
                value: Some(value.as_bytes()),
                headers: &[],
                timestamp: now(),
                partition: None,
                tag: tag as u64,
            };
            producer.push(&record, Instant::now())?;
        }
        // Returns when the broker has acknowledged every position: they are durable.
        producer.flush()?;
        if stop.is_told() || round == last {
            break;
        }
        thread::sleep(Duration::from_millis(args.every));
    }
    println!("drive: {} positions of {} trucks", producer.acknowledged().records, trucks.len());
    Ok(())
}

pub(crate) fn options() -> ProducerOptions {
    ProducerOptions {
        acks: Acks::All,
        codec: Codec::None,
        batch_bytes: 64 * 1024,
        linger: Duration::from_millis(5),
        first_partition: 0,
    }
}

pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(Timestamp::default(), |since| Timestamp(since.as_millis() as i64))
}

struct Truck {
    position: Position,
    /// Of its driver: a state of xorshift64*.
    temper: u64,
}

impl Truck {
    fn new(number: usize) -> Truck {
        let position = Position {
            truck: format!("truck-{number:02}"),
            number: 0,
            latitude: 52.0 + number as f64 / 100.0,
            longitude: 4.0 + number as f64 / 50.0,
            speed_kmh: 60,
            limit_kmh: 80,
            braking: 0,
        };
        Truck { position, temper: number as u64 }
    }

    fn drive(&mut self, number: i64) -> &Position {
        self.temper ^= self.temper >> 12;
        self.temper ^= self.temper << 25;
        self.temper ^= self.temper >> 27;
        let mood = (self.temper.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as i64;
        let position = &mut self.position;
        position.number = number;
        let faster = mood % 9 - 4;
        position.speed_kmh = (position.speed_kmh + faster).clamp(30, 110);
        // Once in some 250 positions something is on the road.
        position.braking = if mood == 0 { 7 } else { (-faster).max(0) / 2 };
        position.latitude += position.speed_kmh as f64 * 1e-6;
        position.longitude += position.speed_kmh as f64 * 1e-6;
        position
    }
}

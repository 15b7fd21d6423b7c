//! `strandline consume`: prints the records of a topic.
//!
//! The order within a partition is that of the offsets; between partitions there is none. As a member of a
//! group it commits only what has been written to stdout.

use super::common::{Cluster, CommandError, Interrupt, unescape};
use super::format::{Field, Format};
use super::start::Start;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;
use strandline_client::{Client, ConsumeError, ConsumedRecord, Consumer, GroupConsumer, Moment, Topic};

/// How long a fetch waits for records: how soon Ctrl-C is noticed while none come.
const WAIT: Duration = Duration::from_millis(500);

/// Output is written in pieces of this size, and whenever there is nothing more to print at the moment.
const OUTPUT_BYTES: usize = 64 * 1024;

const EXAMPLES: &str = "\
Without --count or --exit-at-end it goes on until Ctrl-C, like kcat and Kafka's console consumer.

Examples:
  strandline consume events                              everything, and whatever comes
  strandline consume events --exit-at-end                what is there now
  strandline consume events --from end                   only what comes
  strandline consume events --from 2026-03-01T12:00:00Z --count 10
  strandline consume events --from 42 --partition 3 --print key,offset,value
  strandline consume events -e --format json | jq .value
  strandline consume events --group billing              share the partitions with the group's other members";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    cluster: Cluster,
    /// The topic
    topic: String,
    /// Where to start: beginning, end, an offset, a time (RFC 3339), or @ and milliseconds since 1970
    #[arg(short = 'o', long, value_name = "START", default_value = "beginning", allow_hyphen_values = true)]
    from: Start,
    /// Only this partition; all unless given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Read as a member of this group, from where it has stopped; --from says where it begins
    #[arg(short, long, conflicts_with = "partition")]
    group: Option<String>,
    /// End after this many records
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,
    /// Go on when all is printed and wait for more (the default)
    #[arg(short, long, conflicts_with = "exit_at_end")]
    follow: bool,
    /// End when all is printed that was there at the start
    #[arg(short, long)]
    exit_at_end: bool,
    /// How a record looks
    #[arg(long, value_enum, default_value_t = FormatName::Text)]
    format: FormatName,
    /// What a line of text has
    #[arg(long, value_enum, value_name = "FIELD,...", value_delimiter = ',', default_value = "value")]
    print: Vec<Field>,
    /// What stands between the fields of a line of text; \t, \n, \0 and \\ are known
    #[arg(long, value_name = "TEXT", default_value = "\\t", value_parser = unescape)]
    separator: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// The fields of --print and a line feed
    Text,
    /// One JSON object a line; what is not UTF-8 is base64, marked by a field ..._encoding
    Json,
}

/// Prints records.
pub(super) fn run(args: Args) -> Result<ExitCode, CommandError> {
    let interrupt = Interrupt::listen()?;
    let mut client = args.cluster.connect()?;
    let topic = client.topic(&args.topic)?;
    let partitions = args.partitions(&topic)?;
    let ends = match args.exit_at_end {
        true => Some(client.offsets(&topic.name, &partitions, Moment::Latest)?),
        false => None,
    };
    let source = match &args.group {
        None => {
            let positions = positions(&mut client, &topic.name, &partitions, args.from)?;
            Source::Alone(Consumer::new(client, topic, positions))
        }
        Some(group) => {
            let start = args.from.moment().ok_or(CommandError::GroupStart)?;
            Source::Group(GroupConsumer::new(client, group, &topic.name, start))
        }
    };
    let format = match args.format {
        FormatName::Text => Format::Text { fields: args.print, separator: args.separator },
        FormatName::Json => Format::Json,
    };
    let out = BufWriter::with_capacity(OUTPUT_BYTES, io::stdout().lock());
    print(source, &args.topic, &format, ends.as_ref(), args.count, &interrupt, out)
}

/// Where the records come from.
#[expect(clippy::large_enum_variant, reason = "there is one")]
enum Source {
    Alone(Consumer),
    Group(GroupConsumer),
}

impl Source {
    /// `None` while a group rebalances.
    fn positions(&self) -> Option<&BTreeMap<i32, i64>> {
        match self {
            Source::Alone(consumer) => Some(consumer.positions()),
            Source::Group(member) => member.positions(),
        }
    }

    fn poll(
        &mut self,
        each: impl FnMut(&ConsumedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, CommandError> {
        match self {
            Source::Alone(consumer) => Ok(consumer.poll(WAIT, each)?),
            Source::Group(member) => Ok(member.poll(WAIT, each)?),
        }
    }

    /// Everything that was given has been written.
    fn end(self) -> Result<(), CommandError> {
        match self {
            Source::Alone(_) => Ok(()),
            Source::Group(mut member) => {
                member.commit()?;
                Ok(member.leave()?)
            }
        }
    }
}

impl Args {
    fn partitions(&self, topic: &Topic) -> Result<Vec<i32>, ConsumeError> {
        match self.partition {
            None => Ok(topic.partitions.iter().map(|partition| partition.index).collect()),
            Some(partition) if topic.partition(partition).is_some() => Ok(vec![partition]),
            Some(partition) => Err(ConsumeError::NoPartition {
                topic: topic.name.clone(),
                partition,
                partitions: topic.partitions.len(),
            }),
        }
    }
}

/// The offset that each partition is read from.
fn positions(
    client: &mut Client,
    topic: &str,
    partitions: &[i32],
    start: Start,
) -> Result<BTreeMap<i32, i64>, CommandError> {
    let latest = client.offsets(topic, partitions, Moment::Latest)?;
    match start {
        Start::End => Ok(latest),
        Start::Beginning => Ok(client.offsets(topic, partitions, Moment::Earliest)?),
        Start::Time(timestamp) => {
            // Where nothing is that young, only what comes is.
            let mut positions = latest;
            positions.extend(client.offsets(topic, partitions, Moment::At(timestamp))?);
            Ok(positions)
        }
        Start::Offset(offset) => {
            let earliest = client.offsets(topic, partitions, Moment::Earliest)?;
            let mut positions = BTreeMap::new();
            for &partition in partitions {
                let at = |offsets: &BTreeMap<i32, i64>| offsets.get(&partition).copied().unwrap_or(0);
                let (earliest, latest) = (at(&earliest), at(&latest));
                if !(earliest..=latest).contains(&offset) {
                    let topic = topic.to_owned();
                    Err(ConsumeError::OutOfRange { topic, partition, offset, earliest, latest })?;
                }
                positions.insert(partition, offset);
            }
            Ok(positions)
        }
    }
}

/// Prints until the count, the ends or an interrupt is reached.
fn print(
    mut source: Source,
    topic: &str,
    format: &Format,
    ends: Option<&BTreeMap<i32, i64>>,
    count: Option<u64>,
    interrupt: &Interrupt,
    mut out: impl Write,
) -> Result<ExitCode, CommandError> {
    let mut left = count.unwrap_or(u64::MAX);
    let end_of = |partition| ends.map_or(i64::MAX, |ends| ends.get(&partition).copied().unwrap_or(0));
    // What a group has been given counts as read, so it is printed even if it came later.
    let prints_all = matches!(source, Source::Group(_));
    let is_unread = |(&partition, &position): (&i32, &i64)| position < end_of(partition);
    let mut code = None;
    while code.is_none()
        && left > 0
        && (ends.is_none() || source.positions().is_none_or(|positions| positions.iter().any(is_unread)))
    {
        let mut written = Ok(());
        let polled = source.poll(|record| {
            if prints_all || record.offset < end_of(record.partition) {
                written = format.write(topic, record, &mut out);
                left -= 1;
            }
            match written.is_err() || left == 0 || interrupt.exit_code().is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        // What was printed before a failure is there, too.
        let flushed = written.and_then(|()| out.flush());
        let _ = polled?;
        flushed?;
        code = interrupt.exit_code();
    }
    source.end()?;
    Ok(code.unwrap_or(ExitCode::SUCCESS))
}

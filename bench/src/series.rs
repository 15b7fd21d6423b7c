//! The same workload at several points: the latency curve over the load, and throughput over the number of
//! partitions.

use crate::broker::Target;
use crate::measure::{self, Also, MeasureError, Measured, cpu_per_million, flushes_per_million};
use crate::progress::Progress;
use crate::report::{Table, number};
use crate::workload::Workload;
use serde_json::{Value, json};

/// Where on the way to its maximum a broker is looked at, in percent.
const LOADS: [f64; 6] = [10.0, 25.0, 50.0, 75.0, 90.0, 100.0];

/// One measurement of a series.
#[derive(Debug)]
pub(crate) struct Point {
    name: String,
    workload: Workload,
    measured: Measured,
}

impl Point {
    /// Records acknowledged a second.
    pub(crate) fn records_per_second(&self) -> f64 {
        self.measured.load.publish.records_per_second()
    }
}

/// Finds the most a broker takes (a closed loop), then asks for parts of it by schedule (an open one).
pub(crate) fn curve(target: &Target, workload: &Workload) -> Result<Vec<Point>, MeasureError> {
    let closed = point(target, "closed loop".to_owned(), Workload { rate: None, ..workload.clone() })?;
    let most = closed.records_per_second();
    let mut points = vec![closed];
    for load in LOADS {
        let workload = Workload { rate: Some(most * load / 100.0), ..workload.clone() };
        points.push(point(target, format!("{load} %"), workload)?);
    }
    Ok(points)
}

/// The workload on fresh topics of `counts` partitions.
pub(crate) fn partitions(
    target: &Target,
    workload: &Workload,
    counts: &[u32],
) -> Result<Vec<Point>, MeasureError> {
    let at = |&partitions: &u32| {
        point(target, format!("{partitions} partitions"), Workload { partitions, ..workload.clone() })
    };
    counts.iter().map(at).collect()
}

fn point(target: &Target, name: String, workload: Workload) -> Result<Point, MeasureError> {
    let measured = measure::run(target, &workload, Also::CHECK, &Progress::of(name.as_str()))?;
    Ok(Point { name, workload, measured })
}

/// One line a point, in Markdown.
pub(crate) fn table(points: &[Point]) -> String {
    let columns = [
        "asked, records/s",
        "done, records/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "CPU s/million",
        "flushes/million",
        "unanswered",
    ];
    let mut table = Table::new(columns.map(str::to_owned).into());
    for Point { name, workload, measured } in points {
        let (publish, latencies) = (&measured.load.publish, measured.load.publish.total());
        let percentile = |percentile| number(latencies.value_at_percentile(percentile) as f64);
        let cpu = cpu_per_million(measured.produce_usage.as_ref(), publish.records());
        let flushes = flushes_per_million(measured.produce_usage.as_ref(), publish.records());
        table.line(
            name,
            vec![
                workload.rate.map_or("all it takes".to_owned(), number),
                number(publish.records_per_second()),
                percentile(50.0),
                percentile(99.0),
                percentile(99.9),
                cpu.map_or("-".to_owned(), number),
                flushes.map_or("-".to_owned(), number),
                number(measured.load.unanswered as f64),
            ],
        );
    }
    table.markdown()
}

/// Everything.
pub(crate) fn json(points: &[Point]) -> Value {
    let point = |point: &Point| json!({ "name": point.name, "workload": point.workload.json(), "measured": point.measured.json() });
    points.iter().map(point).collect()
}

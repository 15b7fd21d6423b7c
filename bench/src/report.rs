//! Results for people and for programs: medians with their spread, tables, JSON with everything that a number
//! depends on.

use crate::broker::System;
use crate::output::note;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// The values that some rounds gave for one quantity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(pub(crate) Vec<f64>);

impl Rounds {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The value in the middle; `None` without a round.
    pub(crate) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            length if length % 2 == 1 => Some(sorted[middle]),
            _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        }
    }

    /// Each round as a multiple of the same round of `other`: what both have of the machine's drift falls
    /// out.
    pub(crate) fn over(&self, other: &Rounds) -> Rounds {
        Rounds(self.0.iter().zip(&other.0).map(|(of, to)| of / to).collect())
    }

    /// `median (smallest-largest)`, or a dash.
    pub(crate) fn cell(&self) -> String {
        let sorted = self.sorted();
        match (self.median(), sorted.first(), sorted.last()) {
            (Some(median), Some(&least), Some(&most)) if sorted.len() > 1 => {
                format!("{} ({}-{})", number(median), number(least), number(most))
            }
            (Some(median), ..) => number(median),
            _ => "-".to_owned(),
        }
    }

    /// Median, spread and every value.
    pub(crate) fn json(&self) -> Value {
        let sorted = self.sorted();
        json!({ "median": self.median(), "min": sorted.first(), "max": sorted.last(), "rounds": self.0 })
    }
}

/// A number with three significant digits, or whole with its thousands apart.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || value == 0.0 {
        let digits = format!("{value:.0}");
        let (sign, digits) = digits.strip_prefix('-').map_or(("", &digits[..]), |rest| ("-", rest));
        let mut grouped = String::from(sign);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        grouped
    } else {
        let decimals = (2 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.decimals$}")
    }
}

/// One line per quantity, one column per system, in Markdown.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<String>,
    lines: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Without a line yet.
    pub(crate) fn new(columns: Vec<String>) -> Table {
        Table { columns, lines: Vec::new() }
    }

    /// Adds a line, a cell for every column.
    pub(crate) fn line(&mut self, name: &str, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "a cell for every column");
        self.lines.push((name.to_owned(), cells));
    }

    /// The table with its columns lined up.
    pub(crate) fn markdown(&self) -> String {
        let rows = || {
            let head = std::iter::once(("", &self.columns));
            head.chain(self.lines.iter().map(|(name, cells)| (name.as_str(), cells)))
        };
        let name_width = rows().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| rows().map(|(_, cells)| cells[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (index, (name, cells)) in rows().enumerate() {
            let _ = write!(text, "| {name:name_width$} |");
            for (cell, &width) in cells.iter().zip(&widths) {
                let _ = write!(text, " {cell:>width$} |");
            }
            text.push('\n');
            if index == 0 {
                let _ = write!(text, "|{:-<1$}|", "", name_width + 2);
                for width in &widths {
                    let _ = write!(text, "{:-<1$}:|", "", width + 1);
                }
                text.push('\n');
            }
        }
        text
    }
}

/// Quantities of systems: each with its rounds on every system, in the order of the systems.
#[derive(Debug)]
pub(crate) struct Quantities<'a> {
    /// The systems.
    pub(crate) systems: Vec<&'a System>,
    /// The quantities.
    pub(crate) lines: Vec<(String, Vec<Rounds>)>,
}

impl Quantities<'_> {
    /// A table of medians and spread. What was not measured on any system has no line.
    pub(crate) fn markdown(&self) -> String {
        let mut table = Table::new(self.systems.iter().map(|system| system.name.clone()).collect());
        let durability = self.systems.iter().map(|system| system.durability.clone());
        table.line("an acknowledged record is", durability.collect());
        for (name, rounds) in &self.lines {
            if rounds.iter().any(|rounds| !rounds.0.is_empty()) {
                table.line(name, rounds.iter().map(Rounds::cell).collect());
            }
        }
        table.markdown()
    }

    /// The systems with these quantities, and with the fields that `more` has for the system at a place.
    pub(crate) fn json(&self, more: impl Fn(usize) -> Map<String, Value>) -> Value {
        let names: Vec<&String> = self.lines.iter().map(|(name, _)| name).collect();
        let systems = self.systems.iter().enumerate().map(|(place, system)| {
            let summary = self.lines.iter().map(|(name, rounds)| (name.clone(), rounds[place].json()));
            let mut fields = more(place);
            fields.insert("name".to_owned(), system.name.as_str().into());
            fields.insert("command".to_owned(), system.command.join(" ").into());
            fields.insert("durability".to_owned(), system.durability.as_str().into());
            fields.insert("summary".to_owned(), summary.collect::<Map<_, _>>().into());
            Value::Object(fields)
        });
        json!({ "quantities": names, "systems": systems.collect::<Vec<_>>() })
    }
}

/// What a number depends on beside the broker: machine, kernel, tool, the command that gave it.
pub(crate) fn environment() -> Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    json!({
        "tool": concat!("strandline-bench ", env!("CARGO_PKG_VERSION")),
        "commit": output("git", &["rev-parse", "HEAD"]),
        "command": std::env::args().collect::<Vec<_>>().join(" "),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "cpu": cpu.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": memory.map(|kibibytes| kibibytes * 1024),
        "tcp_congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control").trim(),
        "load_average": read("/proc/loadavg").trim(),
    })
}

/// The same in a line.
pub(crate) fn environment_line(environment: &Value) -> String {
    let gibibytes = environment["memory_bytes"].as_u64().unwrap_or(0) as f64 / f64::from(1 << 30);
    format!(
        "{} cores ({}), {gibibytes:.0} GiB, Linux {}, {}, commit {}",
        environment["cores"],
        environment["cpu"].as_str().unwrap_or("?"),
        environment["kernel"].as_str().unwrap_or("?"),
        environment["tool"].as_str().unwrap_or("?"),
        environment["commit"].as_str().map_or("unknown", |commit| commit.get(..12).unwrap_or(commit)),
    )
}

fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes JSON where it was asked for.
pub(crate) fn save(path: Option<&Path>, value: &Value) -> io::Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, format!("{value}\n"))?;
    note!("wrote {}", path.display());
    Ok(())
}

/// A page that shows a saved result, with everything in it: no script, style or number comes from elsewhere.
pub(crate) fn page(result: &Value) -> String {
    // The data must not be able to close the element that it stands in.
    include_str!("page.html").replacen("/*DATA*/", &result.to_string().replace("</", "<\\/"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_all_of_it() {
        assert_eq!(Rounds(vec![5.0, 1.0, 3.0]).median(), Some(3.0));
        assert_eq!(Rounds(vec![4.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(Rounds::default().median(), None);
        assert_eq!(Rounds(vec![5.0, 1.0, 3.0]).cell(), "3.00 (1.00-5.00)");
    }

    #[test]
    fn a_ratio_is_one_of_values_of_the_same_round() {
        // The machine was half as fast in the second round: the ratio does not know.
        assert_eq!(Rounds(vec![8.0, 4.0]).over(&Rounds(vec![4.0, 2.0])).cell(), "2.00 (2.00-2.00)");
    }

    #[test]
    fn a_page_holds_its_data_and_the_data_can_not_leave_its_element() {
        let hostile = json!({ "what": "</script><b>" });
        let page = page(&hostile);
        let (_, rest) = page.split_once("type=\"application/json\">").expect("the data element");
        let (data, _) = rest.split_once("</script>").expect("it ends");
        assert_eq!(serde_json::from_str::<Value>(data).expect("valid JSON"), hostile);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [1_234_567.8, 999.6, 99.94, 1.5, 0.012_34, 0.0].map(number);
        assert_eq!(shown, ["1,234,568", "1,000", "99.9", "1.50", "0.0123", "0"]);
    }
}

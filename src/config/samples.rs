//! The mirrors of measured round trips: NDJSON as the server is sent it, CSV as a measurement leaves
//! it.
//!
//! ```text
//! {"client": "203.0.113.7", "region": "us-east-1", "ms": 23.4, "samples": 12}
//! 203.0.113.0/24,us-east-1,23.4,12
//! ```
//!
//! `samples` is how many round trips a line is the mean of; absent: one.
//!
//! Not here: which clients, regions and numbers there are (`state::latency`).

use serde::{Deserialize, Serialize};

/// A line as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// An address or a network.
    pub client: String,
    /// The region's name.
    pub region: String,
    /// Milliseconds.
    pub ms: f64,
    /// How many round trips they are the mean of.
    #[serde(default = "one")]
    pub samples: u32,
}

fn one() -> u32 {
    1
}

/// The lines of NDJSON that are not blank, each with its number, or what is wrong with it.
pub fn ndjson(text: &str) -> impl Iterator<Item = (usize, Result<Line, String>)> {
    let line = |text: &str| serde_json::from_str(text).map_err(|error| said(&error));
    lines(text).map(move |(number, text)| (number, line(text)))
}

/// The lines of CSV that are not blank; a first one that begins with `network` names the columns.
pub fn csv(text: &str) -> impl Iterator<Item = (usize, Result<Line, String>)> {
    let is_data = |(number, text): &(usize, &str)| *number != 1 || !text.starts_with("network");
    lines(text).filter(is_data).map(|(number, text)| (number, csv_line(text)))
}

/// A line as the server is sent it.
#[must_use]
pub fn to_ndjson(line: &Line) -> String {
    let mut text = serde_json::to_string(line).expect("text and numbers are JSON");
    text.push('\n');
    text
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

fn csv_line(text: &str) -> Result<Line, String> {
    let mut fields = text.split(',').map(|it| it.trim().trim_matches('"'));
    let mut field = |what: &str| fields.next().ok_or_else(|| format!("there is no {what}"));
    let (client, region, ms) = (field("network")?, field("region")?, field("ms")?);
    let samples = field("samples").unwrap_or("1");
    if fields.next().is_some() {
        return Err("there are more than four fields".to_owned());
    }
    Ok(Line {
        client: client.to_owned(),
        region: region.to_owned(),
        ms: ms.parse().map_err(|_| format!("`{ms}` is no number of milliseconds"))?,
        samples: samples.parse().map_err(|_| format!("`{samples}` is no number of samples"))?,
    })
}

/// What is wrong, without the place in the line: each line is one value.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: impl Iterator<Item = (usize, Result<Line, String>)>) -> Vec<String> {
        let text = |(number, line): (usize, Result<Line, String>)| match line {
            Ok(it) => format!("{number}: {} {} {} {}", it.client, it.region, it.ms, it.samples),
            Err(why) => format!("{number}: {why}"),
        };
        lines.map(text).collect()
    }

    #[test]
    fn ndjson_is_read_line_by_line() {
        let body = "{\"client\": \"203.0.113.7\", \"region\": \"us\", \"ms\": 23.4}\r\n\n\
                    {\"client\":\"2001:db8::/48\",\"region\":\"eu\",\"ms\":7,\"samples\":12}\n\
                    {\"client\":\"203.0.113.7\",\"region\":\"us\"}\n\
                    nonsense\n\
                    {\"client\":\"203.0.113.7\",\"region\":\"us\",\"ms\":1,\"x\":2}";
        assert_eq!(
            texts(ndjson(body)),
            [
                "1: 203.0.113.7 us 23.4 1",
                "3: 2001:db8::/48 eu 7 12",
                "4: missing field `ms`",
                "5: expected ident",
                "6: unknown field `x`, expected one of `client`, `region`, `ms`, `samples`",
            ]
        );
    }

    #[test]
    fn csv_is_read_with_and_without_a_head() {
        let body = "network,region,ms,samples\n203.0.113.0/24,us,23.4,12\n\"2001:db8::/48\", eu, 7\n\
                    x,us,fast,1\nx,us\nx,us,1,2,3\n";
        let read = texts(csv(body));
        assert_eq!(
            read,
            [
                "2: 203.0.113.0/24 us 23.4 12",
                "3: 2001:db8::/48 eu 7 1",
                "4: `fast` is no number of milliseconds",
                "5: there is no ms",
                "6: there are more than four fields",
            ]
        );
        assert_eq!(texts(csv("203.0.113.0/24,us,23.4,12")), ["1: 203.0.113.0/24 us 23.4 12"]);
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let (_, line) = csv("203.0.113.0/24,us,23.4,12").next().unwrap();
        let line = line.unwrap();
        let sent = to_ndjson(&line);
        assert_eq!(ndjson(&sent).next().unwrap().1.unwrap(), line);
    }
}

//! What would follow from an override or a dial, as `--preview` prints it.
//!
//! Not here: how it is foreseen (`state::foresee`).

use std::fmt::Write as _;

use serde::Deserialize;

use super::status::number;

/// Names that are written out; the others are counted.
const NAMES_SHOWN_MAX: usize = 20;
/// What changes a share by less is not told.
const SHARE_SEEN_MIN: f64 = 0.001;

/// The answer to a call with `preview`.
#[derive(Deserialize)]
pub(super) struct Foreseen {
    regions: Vec<RegionLine>,
    names: Vec<NameLine>,
    more_names: usize,
}

#[derive(Deserialize)]
struct RegionLine {
    region: String,
    share: Turn<f64>,
    load: Turn<Option<f64>>,
    capacity: Turn<Option<f64>>,
}

#[derive(Deserialize)]
struct NameLine {
    name: String,
    pools: Vec<PoolLine>,
}

#[derive(Deserialize)]
struct PoolLine {
    family: String,
    pool: String,
    share: Turn<f64>,
}

#[derive(Deserialize)]
struct Turn<T> {
    before: T,
    after: T,
}

impl PoolLine {
    /// Whether anybody could tell.
    fn changes(&self) -> bool {
        SHARE_SEEN_MIN <= (self.share.after - self.share.before).abs()
    }
}

impl Turn<f64> {
    fn percent(&self) -> String {
        format!("{:.0} -> {:.0} %", self.before * 100.0, self.after * 100.0)
    }
}

impl Foreseen {
    /// A line for each region, and one for each name and family that would give something else.
    pub(super) fn text(&self) -> String {
        let Self { regions, names, more_names } = self;
        let width = regions.iter().map(|it| it.region.chars().count()).max().unwrap_or(0);
        let mut text = "nothing was done; this would follow\n".to_owned();
        for RegionLine { region, share, load, capacity } in regions {
            writeln!(
                text,
                "{region:<width$}  share {}  load {} -> {} of {}",
                share.percent(),
                number(load.before),
                number(load.after),
                number(capacity.after)
            )
            .expect("a String takes everything");
        }
        let more = more_names + names.len().saturating_sub(NAMES_SHOWN_MAX);
        for name in names.iter().take(NAMES_SHOWN_MAX) {
            let families = name.pools.chunk_by(|a, b| a.family == b.family);
            for family in families.filter(|it| it.iter().any(PoolLine::changes)) {
                let pool = |it: &PoolLine| format!("{} {}", it.pool, it.share.percent());
                let pools: Vec<_> = family.iter().map(pool).collect();
                let (name, family) = (&name.name, &family[0].family);
                writeln!(text, "{name} {family}: {}", pools.join(", "))
                    .expect("a String takes everything");
            }
        }
        match more {
            0 if names.is_empty() => text.push_str("no client would get anything else\n"),
            0 => {}
            more => writeln!(text, "and {more} more names").expect("a String takes everything"),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_and_after() {
        let told = r#"{
            "regions": [{"region": "eu", "share": {"before": 0.5, "after": 1.0},
                "load": {"before": 50.0, "after": 64.29}, "capacity": {"before": 80.0, "after": 80.0}}],
            "names": [{"name": "www.example.", "pools": [
                {"family": "A", "pool": "eu", "share": {"before": 0.5, "after": 1.0}},
                {"family": "A", "pool": "us", "share": {"before": 0.5, "after": 0.0}},
                {"family": "AAAA", "pool": "eu", "share": {"before": 1.0, "after": 0.5}}]}],
            "more_names": 3
        }"#;
        let expect = "nothing was done; this would follow\n\
                      eu  share 50 -> 100 %  load 50 -> 64.29 of 80\n\
                      www.example. A: eu 50 -> 100 %, us 50 -> 0 %\n\
                      www.example. AAAA: eu 100 -> 50 %\n\
                      and 3 more names\n";
        assert_eq!(serde_json::from_str::<Foreseen>(told).unwrap().text(), expect);
        let none = Foreseen { regions: Vec::new(), names: Vec::new(), more_names: 0 };
        assert!(none.text().ends_with("no client would get anything else\n"));
    }
}

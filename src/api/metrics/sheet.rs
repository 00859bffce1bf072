//! A sheet: metric families, one after the other, in the form that is scraped.
//!
//! Not here: which there are (`scrape`).

use std::fmt::{self, Write as _};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
};

/// Labels of a series.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

/// What is being written.
pub(super) struct Sheet<'e>(pub(super) DescriptorEncoder<'e>);

/// A histogram: by the upper bounds of its buckets how many are in each, the last one unbounded; and
/// the sum of all.
pub(super) struct Histogram<'h> {
    pub(super) bounds: &'h [f64],
    pub(super) counts: &'h [u64],
    pub(super) sum: f64,
}

impl Sheet<'_> {
    /// A counter; `_total` is added to its name.
    pub(super) fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in series {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                family
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }

    /// A counter of one series.
    pub(super) fn count(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter::<0>(name, help, [([], value)])
    }

    /// A gauge.
    pub(super) fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// A gauge of one series.
    pub(super) fn value(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauge::<0>(name, help, [([], value)])
    }

    /// A histogram.
    pub(super) fn histogram<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l, N>, Histogram<'h>)>,
    ) -> fmt::Result
    where
        Labels<'l, N>: EncodeLabelSet,
    {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, Histogram { bounds, counts, sum }) in series {
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
            let count = counts.iter().sum();
            if labels.is_empty() {
                family.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            } else {
                let mut one = family.encode_family(&labels)?;
                one.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

/// The same in the text format 0.0.4, for whoever knows no `OpenMetrics`: there a counter's family
/// bears the name of its series, and nothing marks the end.
pub(super) fn plain(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), _, told) => help = told,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let end = if kind == "counter" { "_total" } else { "" };
                let told = help.take().unwrap_or_default();
                writeln!(text, "# HELP {name}{end} {told}\n# TYPE {name}{end} {kind}")
                    .expect("a String takes everything");
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_names_counters_as_their_series() {
        let openmetrics = "# HELP a What it is\n# TYPE a counter\na_total{b=\"# \"} 1\n\
                           # HELP c Another\n# TYPE c gauge\nc 2.0\n# EOF\n";
        let expect = "# HELP a_total What it is\n# TYPE a_total counter\na_total{b=\"# \"} 1\n\
                      # HELP c Another\n# TYPE c gauge\nc 2.0\n";
        assert_eq!(plain(openmetrics), expect);
    }
}

//! A registry that knows the names of what it holds: the table in docs/monitoring.md is held to them.

use prometheus_client::collector::Collector;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Every metric of the service begins with it, except those that describe the process, whose names are the same everywhere.
pub(super) const PREFIX: &str = "seatkeeper";

/// A metric, as the text formats describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// As queries have it: with prefix and unit, and a counter with `_total`; a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// `counter`, `gauge`, `histogram` or `info`.
    pub kind: &'static str,
    pub help: String,
}

impl Description {
    /// `name`: with its prefix, without its unit.
    pub(super) fn new(name: &str, help: &str, unit: Option<&Unit>, kind: MetricType) -> Description {
        let unit = unit.map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let (kind, suffix) = match kind {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Gauge => ("gauge", ""),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Info => ("info", "_info"),
            MetricType::Unknown => ("unknown", ""),
        };
        Description { name: format!("{name}{unit}{suffix}"), kind, help: help.to_owned() }
    }
}

/// Registers metrics below [`PREFIX`], and keeps their descriptions.
#[derive(Debug)]
pub(super) struct Registrar<'r> {
    registry: &'r mut Registry,
    descriptions: &'r mut Vec<Description>,
}

impl<'r> Registrar<'r> {
    /// `registry`: without a prefix.
    pub fn new(registry: &'r mut Registry, descriptions: &'r mut Vec<Description>) -> Registrar<'r> {
        Registrar { registry: registry.sub_registry_with_prefix(PREFIX), descriptions }
    }

    /// `name`: without prefix, and of a counter without `_total`; `help`: without a full stop.
    pub fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.describe(name, help, None, &metric);
        self.registry.register(name, help, metric);
    }

    /// The same; the name gets the unit at its end.
    pub fn register_with_unit(&mut self, name: &str, help: &str, unit: Unit, metric: impl Metric) {
        self.describe(name, help, Some(&unit), &metric);
        self.registry.register_with_unit(name, help, unit, metric);
    }

    /// Registers what is read at a scrape. `descriptions`: of its metrics, with the prefix in their names.
    pub fn collect(&mut self, collector: impl Collector, descriptions: impl IntoIterator<Item = Description>) {
        self.descriptions.extend(descriptions);
        self.registry.register_collector(Box::new(collector));
    }

    fn describe(&mut self, name: &str, help: &str, unit: Option<&Unit>, metric: &impl Metric) {
        let name = format!("{PREFIX}_{name}");
        self.descriptions.push(Description::new(&name, help, unit, metric.metric_type()));
    }
}

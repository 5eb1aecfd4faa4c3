//! Registration of metrics.

use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write as _;

use parking_lot::Mutex;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// All families of one process. Those without a value yet are told, too, so that whoever reads them knows their names
/// from the start.
pub(super) struct Families {
    namespace: &'static str,
    registry: Registry,
    /// `process_*`, without the namespace: dashboards know these names from every program.
    process: Registry,
    collectors: Mutex<Vec<Box<dyn Collector>>>,
}

impl Families {
    pub(super) fn new(namespace: &'static str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some(namespace.to_owned()), None)?;
        let process = Registry::new();
        process.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { namespace, registry, process, collectors: Mutex::default() })
    }

    /// All of them, in the Prometheus text format.
    pub(super) fn render(&self) -> Result<String, prometheus::Error> {
        let (mut text, families) = (Vec::new(), [self.registry.gather(), self.process.gather()].concat());
        TextEncoder::new().encode(&families, &mut text)?;
        let mut text = String::from_utf8_lossy(&text).into_owned();
        let told: BTreeSet<&str> = families.iter().map(|family| family.name()).collect();
        for family in self.collectors.lock().iter().flat_map(|collector| collector.collect()) {
            let name = format!("{}_{}", self.namespace, family.name());
            if !told.contains(name.as_str()) {
                let kind = match family.get_field_type() {
                    MetricType::COUNTER => "counter",
                    MetricType::GAUGE => "gauge",
                    MetricType::HISTOGRAM => "histogram",
                    MetricType::SUMMARY => "summary",
                    MetricType::UNTYPED => "untyped",
                };
                // Writing to a string can't fail.
                let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", family.help());
            }
        }
        Ok(text)
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Families").field("registry", &self.registry).finish_non_exhaustive()
    }
}

pub(super) fn counters(
    families: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(families, IntCounterVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn gauge(families: &Families, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(families, IntGauge::new(name, help)?)
}

pub(super) fn gauges(
    families: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    register(families, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

pub(super) fn histograms(
    families: &Families,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: Vec<f64>,
) -> Result<HistogramVec, prometheus::Error> {
    register(families, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels)?)
}

pub(super) fn register<M: Collector + Clone + 'static>(
    families: &Families,
    metric: M,
) -> Result<M, prometheus::Error> {
    families.registry.register(Box::new(metric.clone()))?;
    families.collectors.lock().push(Box::new(metric.clone()));
    Ok(metric)
}

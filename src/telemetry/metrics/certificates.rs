//! Expiry of certificates.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use prometheus::IntGaugeVec;

use super::registration::{Families, gauges};

/// Gauge of the certificates' expiry, one value for each file.
#[derive(Debug)]
pub struct ExpiryGauge {
    expiries: IntGaugeVec,
    shown: Mutex<BTreeMap<String, i64>>,
}

impl ExpiryGauge {
    /// The gauge, without a certificate.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "When each certificate in force expires, in seconds of Unix time, by its file.";
        let expiries = gauges(families, "certificate_expiry_timestamp_seconds", help, &["certificate"])?;
        Ok(Self { expiries, shown: Mutex::default() })
    }

    /// Sets the expiry of each certificate, in seconds of Unix time, by its file. Other files have none any more.
    pub fn set(&self, expiries: BTreeMap<String, i64>) {
        let mut shown = self.shown.lock();
        for file in shown.keys().filter(|file| !expiries.contains_key(*file)) {
            // An error means that it is gone already.
            let _ = self.expiries.remove_label_values(&[file]);
        }
        for (file, at) in &expiries {
            self.expiries.with_label_values(&[file]).set(*at);
        }
        *shown = expiries;
    }
}

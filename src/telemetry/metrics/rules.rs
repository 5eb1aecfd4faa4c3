//! Gauges of the widgets in the rule book.

use prometheus::IntGaugeVec;

use super::registration::{Families, gauges};
use embedgate_policy::widget::{Access, Environment};

/// Gauge of widgets by environment and access, each from the start.
pub(super) fn widgets(families: &Families) -> Result<IntGaugeVec, prometheus::Error> {
    let help = "Widgets in the rule book, by environment and access in effect.";
    let widgets = gauges(families, "rules_widgets", help, &["environment", "access"])?;
    for environment in Environment::ALL {
        for access in Access::ALL {
            drop(widgets.with_label_values(&[environment.as_str(), access.as_str()]));
        }
    }
    Ok(widgets)
}

/// Gauge of widgets that any site may embed, by environment, each from the start.
pub(super) fn unrestricted(families: &Families) -> Result<IntGaugeVec, prometheus::Error> {
    let help = "Widgets that any site may embed, by environment.";
    let unrestricted = gauges(families, "rules_unrestricted", help, &["environment"])?;
    for environment in Environment::ALL {
        drop(unrestricted.with_label_values(&[environment.as_str()]));
    }
    Ok(unrestricted)
}

//! Keys of `[[routes]]` that only apply to some classes.

use crate::config::document::ValueSource;
use crate::config::table::{ConfigTable, Item};
use embedgate_policy::verdict::Class;

/// A switch that only applies to some classes. For other classes, `true` is a fault and not silently ignored.
pub(super) fn only_for<'d>(
    table: &ConfigTable<'d>,
    key: &'static str,
    class: Option<Class>,
    classes: &[Class],
    read: impl FnOnce(Item<'d>) -> Option<bool>,
) -> bool {
    let Some(item) = table.item(key) else { return false };
    let spot = item.spot();
    let is_on = read(item).unwrap_or(false);
    if is_on {
        fits(table, (key, spot), class, classes);
    }
    is_on
}

/// Notes a fault if a key does not apply to the class.
pub(super) fn fits(
    table: &ConfigTable<'_>,
    (key, spot): (&str, &ValueSource),
    class: Option<Class>,
    classes: &[Class],
) {
    let Some(class) = class.filter(|class| !classes.contains(class)) else { return };
    let fitting: Vec<&str> = classes.iter().map(|class| class.as_str()).collect();
    let detail = format!("does not apply to class {}, only to {}", class.as_str(), fitting.join(" and "));
    table.fault(spot, format!("routes.{key}: {detail}; leave it out"));
}

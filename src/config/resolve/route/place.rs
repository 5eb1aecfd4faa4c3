//! Where the widget's id stands in the requests of a route.

use crate::config::document::ValueSource;
use crate::config::pattern::{PathPattern, RouteHost};
use crate::config::table::ConfigTable;
use embedgate_policy::widget::WidgetId;

/// Place of the widget's id in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WidgetPlace {
    /// The segment `{widget}` of the path.
    Path,
    /// The first label of the host.
    Host,
    /// The query parameter of this name.
    Query(Box<str>),
    /// Nowhere: the route serves this widget alone.
    Fixed(WidgetId),
}

const KNOWN: &str = "write \"path\", \"host\", \"query:NAME\" or \"fixed:ID\"";

/// Longest name of a query parameter.
const LONGEST_NAME: usize = 64;

/// Reads the key `widget`, and holds it against the `{widget}` of the path and the host: the id stands exactly once.
pub(super) fn read(
    table: &ConfigTable<'_>,
    path: Option<&(PathPattern, &ValueSource)>,
    host: &RouteHost,
) -> Option<WidgetPlace> {
    let item = table.item("widget");
    let spot = item.as_ref().map(|item| item.spot());
    let stated = match item {
        Some(item) => Some(item.text(parse)?),
        None => None,
    };
    let (path, path_spot) = path?;
    let implied = match (path.has_widget(), host.has_widget()) {
        (true, true) => {
            let detail =
                format!("routes.path: {{widget}} is also in routes.host '{host}'; leave one of them out");
            table.fault(path_spot, detail);
            return None;
        }
        (true, false) => Some(WidgetPlace::Path),
        (false, true) => Some(WidgetPlace::Host),
        (false, false) => None,
    };
    match (stated, implied) {
        (None, None) => {
            let detail = format!(
                "routes.path: '{path}' has no {{widget}}; write it like \"/w/{{widget}}/loader.js\", or say with \
                 routes.widget or routes.host where the id is"
            );
            table.fault(path_spot, detail);
            None
        }
        (None, Some(place)) => Some(place),
        (Some(place), implied) => {
            let fault = match (&place, &implied) {
                (WidgetPlace::Path, Some(WidgetPlace::Path)) | (WidgetPlace::Host, Some(WidgetPlace::Host)) => None,
                (WidgetPlace::Path, _) => Some(format!("is \"path\", but '{path}' has no {{widget}}")),
                (WidgetPlace::Host, _) => {
                    Some("is \"host\", but routes.host has no {widget}; write it like \"{widget}.chat.example.net\"".to_owned())
                }
                (WidgetPlace::Query(_) | WidgetPlace::Fixed(_), None) => None,
                (WidgetPlace::Query(_) | WidgetPlace::Fixed(_), Some(_)) => {
                    Some("is a second place of the id: {widget} is also in the path or the host; leave one out".to_owned())
                }
            };
            match (fault, spot) {
                (Some(fault), Some(spot)) => {
                    table.fault(spot, format!("routes.widget: {fault}"));
                    None
                }
                _ => Some(place),
            }
        }
    }
}

fn parse(text: &str) -> Result<WidgetPlace, String> {
    match text.split_once(':') {
        None if text == "path" => Ok(WidgetPlace::Path),
        None if text == "host" => Ok(WidgetPlace::Host),
        Some(("query", name)) => parameter(name).map(WidgetPlace::Query),
        Some(("fixed", id)) => match WidgetId::parse(id) {
            Ok(id) => Ok(WidgetPlace::Fixed(id)),
            Err(error) => Err(format!("'{id}' is not a widget's id: {error}")),
        },
        _ => Err(format!("'{text}' is not known; {KNOWN}")),
    }
}

/// A name that every server reads in the same way.
fn parameter(name: &str) -> Result<Box<str>, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name == "ticket" {
        return Err("'ticket' is the parameter of tickets, which the edge takes out of the query".to_owned());
    }
    match (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain) {
        true => Ok(name.into()),
        false => Err(format!(
            "'{name}' is not the name of a query parameter: 1 to {LONGEST_NAME} characters of `A-Z a-z 0-9 _ -`"
        )),
    }
}

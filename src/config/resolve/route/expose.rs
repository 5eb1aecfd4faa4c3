//! Response headers that pages may read.

use http::HeaderName;

use super::classes::fits;
use crate::config::table::ConfigTable;
use embedgate_policy::verdict::Class;

/// Reads the key `expose`.
pub(super) fn read(
    table: &ConfigTable<'_>,
    class: Option<Class>,
    credentials: bool,
) -> Option<Vec<Box<str>>> {
    let item = table.item("expose")?;
    fits(table, ("expose", item.spot()), class, &[Class::Asset, Class::Session]);
    let mut kept: Vec<(HeaderName, Box<str>)> = Vec::new();
    for ((name, text), spot) in item.texts("[\"Mcp-Session-Id\"]", |text| exposed(text, credentials))? {
        if kept.iter().any(|(other, _)| *other == name) {
            table.fault(spot, format!("routes.expose: '{text}' is listed twice; leave one out"));
        } else {
            kept.push((name, text));
        }
    }
    if let [_, _, ..] = kept.as_slice()
        && let Some(spot) = table.place_of("expose")
        && kept.iter().any(|(_, text)| **text == *"*")
    {
        table.fault(
            spot,
            "routes.expose: '*' already exposes every header; write [\"*\"] alone, or only the names",
        );
    }
    Some(kept.into_iter().map(|(_, text)| text).collect())
}

fn exposed(text: &str, credentials: bool) -> Result<(HeaderName, Box<str>), String> {
    const LONGEST: usize = 128;
    let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text.len() <= LONGEST);
    let name =
        name.ok_or_else(|| format!("'{text}' is not a header name; write it like \"Mcp-Session-Id\""))?;
    match name.as_str() {
        "set-cookie" | "set-cookie2" => Err(format!("browsers never expose '{text}'; leave it out")),
        "*" if credentials => {
            Err("with credentials = true browsers read '*' as a header of that name; list the headers"
                .to_owned())
        }
        _ => Ok((name, text.into())),
    }
}

//! The rules that every peer enforces: widgets by their id in the path, and for each the sites that may embed it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Widgets where their number doesn't matter: in all parts but `scale`.
pub const FEW: usize = 1_000;

/// The `n`-th widget's id.
pub fn id(n: usize) -> String {
    format!("wgt_{:016x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The sites of the `n`-th widget: two names, every name below a third, a name with a port. All https.
pub fn sites(n: usize) -> [String; 4] {
    [
        format!("site{n}.example.com"),
        format!("www.site{n}.example.com"),
        format!("*.shop{n}.example.org"),
        format!("app{n}.example.net:8443"),
    ]
}

/// How a peer reads its rules.
#[derive(Clone, Copy)]
pub enum Form {
    /// nginx's `map` with `hostnames`: the widget's id as the last label, so that its wildcards do their work.
    Hostnames,
    /// `id|site 1`, one a line; wildcards are looked up by their parent.
    Keyed,
    /// `site|id 1`, one a line, and `parent*id 1` for a wildcard: what can be made of a name by cutting it.
    Cut,
    /// A JSON document a line.
    Documents,
}

impl Form {
    /// The rules of one widget.
    pub fn write(self, to: &mut impl Write, id: &str, sites: &[String]) -> std::io::Result<()> {
        match self {
            Self::Hostnames => sites.iter().try_for_each(|site| writeln!(to, "{site}.{id} 1;")),
            Self::Keyed => sites.iter().try_for_each(|site| writeln!(to, "{id}|{site} 1")),
            Self::Cut => sites.iter().try_for_each(|site| writeln!(to, "{} 1", Self::cut(id, site))),
            Self::Documents => writeln!(to, "{}", document(id, sites)),
        }
    }

    /// The key of a site in the form of that name.
    pub fn cut(id: &str, site: &str) -> String {
        match site.strip_prefix("*.") {
            Some(parent) => format!("{parent}*{id}"),
            None => format!("{site}|{id}"),
        }
    }

    /// A file with the rules of `widgets` widgets, and `added` for the first of them.
    pub fn write_file(self, path: &Path, widgets: usize, added: Option<&str>) -> Result<()> {
        let mut file = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
        for n in 0..widgets {
            let mut all = sites(n).to_vec();
            all.extend(added.filter(|_| n == 0).map(str::to_owned));
            self.write(&mut file, &id(n), &all)?;
        }
        Ok(file.flush()?)
    }
}

/// A widget as embedgate takes it.
pub fn document(id: &str, sites: &[String]) -> String {
    serde_json::json!({ "id": id, "allowed_domains": sites }).to_string()
}

/// What a page asks, and whether it may.
pub struct Case {
    pub what: &'static str,
    pub widget: String,
    pub origin: Option<String>,
    pub allowed: bool,
}

/// What every peer has to agree on.
pub fn cases() -> Vec<Case> {
    let widget = 7;
    let case = |what, origin: &str, allowed| {
        let origin = Some(origin.replace('#', "7"));
        Case { what, widget: id(widget), origin, allowed }
    };
    vec![
        case("exact", "https://site#.example.com", true),
        case("exact, another of the list", "https://www.site#.example.com", true),
        case("exact with its port", "https://app#.example.net:8443", true),
        case("below a wildcard", "https://a.shop#.example.org", true),
        case("three labels below a wildcard", "https://a.b.c.shop#.example.org", true),
        case("the wildcard's apex", "https://shop#.example.org", false),
        case("a name that ends alike", "https://evilsite#.example.com", false),
        case("a name that ends like the wildcard's", "https://evilshop#.example.org", false),
        case("a name that begins alike", "https://site#.example.com.evil.example", false),
        case("below an exact name", "https://a.site#.example.com", false),
        case("another scheme", "http://site#.example.com", false),
        case("a custom scheme", "capacitor://site#.example.com", false),
        case("a port too many", "https://site#.example.com:8443", false),
        case("a port too few", "https://app#.example.net", false),
        case("another port", "https://app#.example.net:8444", false),
        case("a path behind the origin", "https://site#.example.com/page", false),
        case("a stranger", "https://stranger.example", false),
        case("another widget's site", "https://site8.example.com", false),
        case("an opaque origin", "null", false),
        Case { what: "no origin", widget: id(widget), origin: None, allowed: false },
        Case {
            what: "an unknown widget",
            widget: "wgt_unknown".to_owned(),
            origin: Some("https://site7.example.com".to_owned()),
            allowed: false,
        },
    ]
}

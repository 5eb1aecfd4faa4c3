//! Stage of a host by its name: production, staging, preview or loopback.
//!
//! The registrable domain says nothing (`staging.com` is somebody's site). Each label below it is split at
//! `-` and `_`, a trailing number is dropped, and the words are looked up; a host below the domain of a
//! hosting service that gives every deployment a name is a preview. Anything else is production.

use crate::entry::{Entry, HostPattern};
use crate::suffix::PublicSuffixes;

/// Words in names of staging hosts.
const STAGING: [&str; 12] = [
    "staging",
    "stage",
    "stg",
    "dev",
    "develop",
    "development",
    "test",
    "testing",
    "qa",
    "uat",
    "sandbox",
    "preprod",
];

/// Words in names of preview hosts, which show one change.
const PREVIEW: [&str; 3] = ["preview", "previews", "pr"];

/// Hosting services whose generated names are previews, tunnels or playgrounds. All are public suffixes, or
/// below one.
const PREVIEW_SERVICES: [&str; 27] = [
    "amplifyapp.com",
    "azurestaticapps.net",
    "codesandbox.io",
    "csb.app",
    "deno.dev",
    "firebaseapp.com",
    "fly.dev",
    "github.dev",
    "gitpod.io",
    "herokuapp.com",
    "loca.lt",
    "lovable.app",
    "netlify.app",
    "ngrok-free.app",
    "ngrok-free.dev",
    "ngrok.app",
    "ngrok.dev",
    "ngrok.io",
    "now.sh",
    "onrender.com",
    "pages.dev",
    "replit.app",
    "replit.dev",
    "stackblitz.io",
    "surge.sh",
    "trycloudflare.com",
    "vercel.app",
];

/// Stage of an entry's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Production,
    /// A staging host, with the word that shows it.
    Staging(String),
    /// A preview host, with the word or the service that shows it.
    Preview(String),
    Loopback,
}

impl Stage {
    pub fn of(entry: &Entry, suffixes: &PublicSuffixes) -> Stage {
        if entry.is_loopback() {
            return Stage::Loopback;
        }
        let (first_label, name) = match entry.host() {
            HostPattern::Name(name) | HostPattern::Below(name) | HostPattern::AtOrBelow(name) => {
                (None, &**name)
            }
            HostPattern::Glob { prefix, suffix, parent } => (Some(format!("{prefix}*{suffix}")), &**parent),
            HostPattern::Ipv4(_) | HostPattern::Ipv6(_) => return Stage::Production,
        };
        if let Some(service) = PREVIEW_SERVICES.into_iter().find(|service| is_at_or_below(name, service)) {
            return Stage::Preview(format!("below {service}"));
        }
        let registrable = suffixes.registrable(name).unwrap_or(name);
        let below = name.strip_suffix(registrable).unwrap_or_default().trim_end_matches('.');
        let labels = first_label.as_deref().into_iter().chain(below.split('.'));
        labels.filter_map(by_label).next().unwrap_or(Stage::Production)
    }
}

fn by_label(label: &str) -> Option<Stage> {
    let mut words = label.split(['-', '_']).peekable();
    while let Some(text) = words.next() {
        let word = text.trim_end_matches(|last: char| last.is_ascii_digit() || last == '*');
        // `pr` alone may mean public relations; before a number or a `*` it means a pull request.
        let numbered = word.len() < text.len() || words.peek().is_some_and(|next| is_number(next));
        if PREVIEW.contains(&word) && (word != "pr" || numbered) {
            return Some(Stage::Preview(format!("`{word}`")));
        }
        if STAGING.contains(&word) {
            return Some(Stage::Staging(format!("`{word}`")));
        }
    }
    None
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*')
}

fn is_at_or_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

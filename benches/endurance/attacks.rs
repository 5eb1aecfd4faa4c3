//! Attacks, each with the class of faults that it belongs to: how they end, what they cost, what honest clients notice.
//!
//! | class | what it is |
//! |---|---|
//! | CVE-2023-44487 | rapid reset: requests that their client takes back at once |
//! | CVE-2025-8671 | "MadeYouReset": frames that make the server take requests back |
//! | CVE-2026-49975 | "HTTP/2 bomb": references of a byte each that become large heads, held by a window of zero; found in Apache httpd; CVE-2026-105297 is that of pingora |
//! | CVE-2024-27316 | CONTINUATION without an end (Apache httpd) |
//! | CVE-2019-9512, -9515, -9518 | floods of PING and of SETTINGS, each of which wants an answer, and of empty frames |
//! | CVE-2025-4366 | a body that is not read before a cached answer, and is taken for the next request (pingora) |
//! | CVE-2026-2833 | bytes after a wish to upgrade that go on before the upstream has agreed (pingora) |
//! | CVE-2026-2835 | bodies of HTTP/1.0 and several codings, read in two ways (pingora) |
//! | CVE-2026-2836 | a cache key without the host (pingora) |
//! | CVE-2026-105299 | fields that `Connection` names, passed on or taken off by it (pingora) |

use anyhow::Result;

use crate::Settings;
use crate::rows::Rows;

mod attacker;
mod classes;
mod floods;
mod http1;
mod http2;
mod told;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    http2::show(settings, rows)?;
    http1::show(settings, rows)?;
    classes::show(settings, rows)
}

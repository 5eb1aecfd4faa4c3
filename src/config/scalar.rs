//! Parsers of times, sizes, paths and origins. Their errors say what would be right.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Serialize, Serializer};

use embedgate_policy::origin::OriginBuf;

/// Longest time in a configuration. A longer one is a typing error, and could overflow a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const TIME_UNITS: [&str; 17] = [
    "ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minute", "minutes", "h", "hour",
    "hours", "d", "day", "days",
];

/// Parses a time with its unit, which may be zero: `60s`, `1m 30s`, `12h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if is_bare_number(text) {
        return Err(format!("'{text}' has no unit; write \"{text}s\" for seconds (units: ms, s, m, h, d)"));
    }
    let wrong =
        || format!("'{text}' is not a time; write it with its unit, such as \"500ms\", \"60s\" or \"12h\"");
    // The parser's other units, such as M for months next to m for minutes, would only hide mistakes.
    let mut units = text.split(|c: char| !c.is_alphabetic()).filter(|unit| !unit.is_empty());
    if !units.all(|unit| TIME_UNITS.contains(&unit)) {
        return Err(wrong());
    }
    let time = humantime::parse_duration(text).map_err(|_| wrong())?;
    if time > LONGEST { Err(format!("'{text}' is longer than a year (365d)")) } else { Ok(time) }
}

/// Parses a time that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than zero".into()),
        time => Ok(time),
    }
}

/// Parses a time between two rounds of work, which must not be shorter than a second.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        time if time < Duration::from_secs(1) => Err("must be 1s or more".into()),
        time => Ok(time),
    }
}

/// Parses a size with its unit, into bytes.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    if is_bare_number(text) {
        return Err(format!("'{text}' has no unit; write \"{text}MiB\" or \"{text}B\""));
    }
    let wrong =
        |_| format!("'{text}' is not a size; write it with its unit, such as \"64KiB\" or \"256MiB\"");
    text.trim().parse::<ByteSize>().map(|size| size.as_u64()).map_err(wrong)
}

/// Share of a hundred, to two decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentage {
    hundredths: u16,
}

impl Percentage {
    pub(super) const TENTH: Self = Self { hundredths: 1_000 };

    /// In hundredths of a percent, at most 10,000.
    pub fn hundredths(self) -> u16 {
        self.hundredths
    }
}

impl Serialize for Percentage {
    /// As it is written: `10%`, `0.25%`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}%", f64::from(self.hundredths) / 100.0))
    }
}

/// Parses a percentage from `0%` to `100%`, with at most two decimals.
pub(super) fn percentage(text: &str) -> Result<Percentage, String> {
    if is_bare_number(text) {
        return Err(format!("'{text}' has no unit; write \"{text}%\""));
    }
    let wrong = || format!("'{text}' is not a percentage from 0 to 100; write it like \"10%\" or \"0.25%\"");
    let number = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str, most: usize| {
        let fits = (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse::<u32>().map_err(|_| wrong()) } else { Err(wrong()) }
    };
    let whole = digits(whole, 3)?;
    let decimals = digits(decimals, 2)? * if decimals.len() == 1 { 10 } else { 1 };
    let hundredths = whole * 100 + decimals;
    match u16::try_from(hundredths) {
        Ok(hundredths @ 0..=10_000) => Ok(Percentage { hundredths }),
        _ => Err(wrong()),
    }
}

fn is_bare_number(text: &str) -> bool {
    let digits = text.trim().trim_start_matches('-');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Parses the path of a file or folder.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("must name a file".into());
    }
    Ok(PathBuf::from(text))
}

/// Parses an origin, exactly as browsers write it.
pub(super) fn origin(text: &str) -> Result<OriginBuf, String> {
    OriginBuf::parse(text).map_err(|error| match canonical_origin(text) {
        Some(right) => format!("'{text}' is not a canonical origin ({error}); write \"{right}\""),
        None => format!("'{text}' is not an origin ({error}); write it like \"https://widgets.example.com\""),
    })
}

/// The canonical origin that was probably meant: lower case, A-labels, no path, no default port.
fn canonical_origin(text: &str) -> Option<String> {
    if text.eq_ignore_ascii_case("null") {
        return None;
    }
    let (scheme, rest) = text.trim().split_once("://").unwrap_or(("https", text.trim()));
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host =
        if host.starts_with('[') { host.to_ascii_lowercase() } else { idna::domain_to_ascii(host).ok()? };
    let host = host.trim_end_matches('.');
    let is_default = matches!((scheme.as_str(), port), ("http", Some("80")) | ("https", Some("443")));
    let right = match port.filter(|port| !port.is_empty() && !is_default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    OriginBuf::parse(&right).is_ok().then_some(right)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::tests::refuse;

    #[test]
    fn percentages_are_from_none_to_all() {
        for (text, hundredths, again) in [
            ("10%", 1_000, "10%"),
            ("0%", 0, "0%"),
            ("100%", 10_000, "100%"),
            ("100.0%", 10_000, "100%"),
            (" 2.5 %", 250, "2.5%"),
            ("0.25%", 25, "0.25%"),
            ("0.05%", 5, "0.05%"),
        ] {
            let read = percentage(text).unwrap();
            assert_eq!(read.hundredths(), hundredths, "{text}");
            assert_eq!(serde_json::to_value(read).unwrap(), again);
        }
        assert!(percentage("10").unwrap_err().contains("write \"10%\""));
        for wrong in [
            "",
            "%",
            "-1%",
            "101%",
            "100.01%",
            "999%",
            "1000%",
            "0.125%",
            "1,5%",
            "ten%",
            "10 percent",
            "1.%",
            ".5%",
            "+1%",
        ] {
            let told = percentage(wrong).unwrap_err();
            assert!(told.contains("\"10%\""), "{wrong}: {told}");
        }
    }

    #[test]
    fn times_carry_a_unit() {
        for (text, time) in [
            ("60s", Duration::from_secs(60)),
            ("0s", Duration::ZERO),
            ("1m 30s", Duration::from_secs(90)),
            ("500ms", Duration::from_millis(500)),
            ("12h", Duration::from_secs(43_200)),
            ("365d", LONGEST),
        ] {
            assert_eq!(duration(text).unwrap(), time, "{text}");
        }
        let refused = [
            ("60", "\"60s\""),
            ("-1", "no unit"),
            ("1.5", "no unit"),
            ("1M", "is not a time"),
            ("1y", "is not a time"),
            ("soon", "is not a time"),
            ("", "is not a time"),
            ("-1s", "is not a time"),
            ("366d", "longer than a year"),
            ("99999999999999999999s", "is not a time"),
        ];
        refuse(duration, &refused);
        refuse(positive_duration, &[("0s", "longer than zero"), ("0ms", "longer than zero")]);
    }

    #[test]
    fn sizes_carry_a_unit() {
        for (text, size) in [("256MiB", 256 << 20), ("0B", 0), ("1 KiB", 1024), ("2MB", 2_000_000)] {
            assert_eq!(bytes(text).unwrap(), size, "{text}");
        }
        refuse(
            bytes,
            &[
                ("256", "\"256MiB\""),
                ("0", "no unit"),
                ("big", "not a size"),
                ("", "not a size"),
                ("5s", "not a size"),
            ],
        );
    }

    #[test]
    fn origins_are_canonical() {
        for text in ["http://localhost:8080", "https://widgets.example.com", "https://[::1]:8443"] {
            assert_eq!(origin(text).unwrap().as_str(), text);
        }
        let refused = [
            ("HTTPS://Widgets.Example.com/", "\"https://widgets.example.com\""),
            ("https://widgets.example.com:443", "\"https://widgets.example.com\""),
            ("http://x.example:80/path?q", "\"http://x.example\""),
            ("widgets.example.com", "\"https://widgets.example.com\""),
            ("https://münchen.example", "\"https://xn--mnchen-3ya.example\""),
            ("https://user@x.example", "\"https://x.example\""),
            ("https://x.example.", "\"https://x.example\""),
            ("null", "write it like"),
            ("https://", "write it like"),
            ("*", "write it like"),
        ];
        refuse(origin, &refused);
    }
}

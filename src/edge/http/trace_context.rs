//! Trace that a request is part of, as its sender says (W3C Trace Context). The edge passes it on and logs it; it makes
//! none itself.

use http::header::HeaderName;

use crate::edge::http::fields::Fields;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Length of a trace's id, in characters.
const ID: usize = 32;
/// Length of a value of version 00: `00-TRACE-PARENT-FLAGS`.
const VALUE: usize = 55;

/// Id of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId([u8; ID]);

impl TraceId {
    /// The trace that these fields name; `None` if they name none, or not as the standard says.
    pub fn of(fields: &Fields) -> Option<Self> {
        let mut values = fields.get_all(TRACEPARENT);
        match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes().trim_ascii()),
            _ => None,
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let (value, more) = value.split_at_checked(VALUE)?;
        let mut parts = value.split(|byte| *byte == b'-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = match version {
            b"00" => more.is_empty(),
            b"ff" => false,
            // Later versions may say more after a dash.
            _ => more.is_empty() || more.starts_with(b"-"),
        };
        let is_hex = |part: &[u8], length: usize| {
            part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_none = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
        let is_valid = parts.next().is_none()
            && is_known
            && is_hex(version, 2)
            && is_hex(trace, ID)
            && is_hex(parent, 16)
            && is_hex(flags, 2)
            && !is_none(trace)
            && !is_none(parent);
        if is_valid { <[u8; ID]>::try_from(trace).ok().map(Self) } else { None }
    }

    /// 32 hexadecimal digits, in lower case.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn read(values: &[&str]) -> Option<String> {
        let fields: Vec<_> = values.iter().map(|value| ("traceparent", *value)).collect();
        TraceId::of(&Fields::of(&fields)).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn the_trace_of_a_valid_value_is_read() {
        for value in [
            format!("00-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-00"),
            format!("cc-{TRACE}-b7ad6b7169203331-01"),
            format!("cc-{TRACE}-b7ad6b7169203331-01-what-the-future-will-be-like"),
            format!(" 00-{TRACE}-b7ad6b7169203331-01\t"),
        ] {
            assert_eq!(read(&[&value]).as_deref(), Some(TRACE), "{value}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        let valid = format!("00-{TRACE}-b7ad6b7169203331-01");
        for value in [
            String::new(),
            "00".to_owned(),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("cc-{TRACE}-b7ad6b7169203331-01.more"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_ascii_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(ID)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-b7ad6b7169203331-0g"),
            format!("00_{TRACE}_b7ad6b7169203331_01"),
            format!("00-{TRACE}b-7ad6b7169203331-01"),
            format!("0-{TRACE}0-b7ad6b7169203331-01"),
            format!("00-{}\"-b7ad6b7169203331-01", &TRACE[1..]),
        ] {
            assert_eq!(read(&[&value]), None, "{value}");
        }
        assert_eq!(read(&[&valid, &valid]), None, "twice");
        assert_eq!(read(&[]), None);
    }
}

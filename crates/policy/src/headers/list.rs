//! Comma-separated field values (RFC 9110 §5.6.1), split outside quoted strings.

/// The members of a list, trimmed; empty ones are skipped.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value
        .split(move |byte| {
            if escaped {
                escaped = false;
                return false;
            }
            match byte {
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        })
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// The members of a list as text. Splitting at commas keeps it valid UTF-8.
pub(super) fn texts(value: &str) -> impl Iterator<Item = &str> {
    members(value.as_bytes()).filter_map(|member| std::str::from_utf8(member).ok())
}

/// A `Server-Timing` value without metrics named `embed-ticket`, because only the edge issues tickets. `None`
/// if nothing is left.
pub fn without_embed_ticket(value: &str) -> Option<String> {
    let kept: Vec<&str> = texts(value).filter(|metric| !is_embed_ticket(metric)).collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

fn is_embed_ticket(metric: &str) -> bool {
    let name = metric.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("embed-ticket")
}

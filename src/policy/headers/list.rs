//! Comma-separated field values (RFC 9110 §5.6.1), split outside of quoted strings.

/// The members of a list, trimmed; empty ones are left out.
pub(super) fn members(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    value
        .split(move |c: char| {
            if escaped {
                escaped = false;
                return false;
            }
            match c {
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' => return !quoted,
                _ => {}
            }
            false
        })
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// A `Server-Timing` value without the metrics named `embed-ticket`: only the edge issues tickets. `None` when
/// nothing is left of it.
pub fn without_embed_ticket(value: &str) -> Option<String> {
    let kept: Vec<&str> = members(value).filter(|metric| !is_embed_ticket(metric)).collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

fn is_embed_ticket(metric: &str) -> bool {
    let name = metric.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("embed-ticket")
}

//! Hosts of routes: one host, the hosts that begin with a widget's id, or any.

use std::fmt;

use embedgate_policy::origin::{Origin, WIDGET_LABEL};

/// Hosts that a route serves, without a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteHost {
    /// Every host.
    #[default]
    Any,
    /// One host, in lower case, such as `chat.example.net`.
    Exact(Box<str>),
    /// The hosts with a widget's id as their first label. The text is what follows it: `.chat.example.net`.
    ByWidget(Box<str>),
}

impl RouteHost {
    /// Parses a host, or `{widget}.` before one.
    ///
    /// # Errors
    ///
    /// The text is neither; the error says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, host) = match text.strip_prefix(WIDGET_LABEL) {
            Some(parent) if parent.starts_with('.') => (format!("w{parent}"), Self::ByWidget(parent.into())),
            None if !text.contains(['{', '}']) => (text.to_owned(), Self::Exact(text.into())),
            Some(_) | None => {
                return Err(format!(
                    "'{text}': {WIDGET_LABEL} must be the first label, like \"{WIDGET_LABEL}.chat.example.net\""
                ));
            }
        };
        let address = format!("https://{name}");
        match Origin::parse(&address) {
            Ok(origin) if origin.explicit_port().is_some() => {
                Err(format!("'{text}' has a port; leave it out, a route holds for every port"))
            }
            Ok(_) => Ok(host),
            Err(_) => {
                Err(format!("'{text}' is not a host in lower case; write it like \"chat.example.net\""))
            }
        }
    }

    /// Whether the widget's id is in the host.
    pub fn has_widget(&self) -> bool {
        matches!(self, Self::ByWidget(_))
    }
}

impl fmt::Display for RouteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any host"),
            Self::Exact(host) => f.write_str(host),
            Self::ByWidget(parent) => write!(f, "{WIDGET_LABEL}{parent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keeps_what_it_accepts() {
        for text in
            ["chat.example.net", "localhost", "192.0.2.1", "[2001:db8::1]", "{widget}.chat.example.net"]
        {
            assert_eq!(RouteHost::parse(text).unwrap().to_string(), text);
        }
        assert!(RouteHost::parse("{widget}.localhost").unwrap().has_widget());
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, detail) in [
            ("", "not a host"),
            ("Chat.example.net", "in lower case"),
            ("https://chat.example.net", "not a host"),
            ("chat.example.net/", "not a host"),
            ("chat.example.net:8443", "leave it out"),
            ("{widget}.example:80", "leave it out"),
            ("{widget}", "first label"),
            ("chat.{widget}.net", "first label"),
            ("{widget}-chat.example", "first label"),
            ("{widget}.{widget}.example", "not a host"),
            ("*.example.net", "not a host"),
        ] {
            let fault = RouteHost::parse(text).unwrap_err();
            assert!(fault.contains(detail), "{text}: {fault}");
        }
    }
}

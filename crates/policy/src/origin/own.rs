use std::fmt;

use serde::{Serialize, Serializer};

use super::{Origin, OriginBuf, OriginSet};

/// The edge's own origins, where browsers see it: the origins of the widgets' iframes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OwnOrigins {
    shared: OriginSet,
    by_widget: Box<[WidgetOrigins]>,
}

/// Own origin: of all widgets, or with the widget's id in the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OwnOrigin {
    /// One origin, of all widgets.
    Shared(OriginBuf),
    /// One origin for each widget.
    ByWidget(WidgetOrigins),
}

/// Origins that have the widget's id as the first label of their host, like `https://{widget}.chat.example.net`. Each
/// is the own origin of its widget alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WidgetOrigins {
    /// `https://`
    before: Box<str>,
    /// `.chat.example.net:8443`
    after: Box<str>,
}

/// The place of the widget's id in a host.
pub const WIDGET_LABEL: &str = "{widget}";

impl OwnOrigins {
    /// Whether an origin is the edge's own for this widget.
    #[inline]
    #[must_use]
    pub fn contains(&self, origin: Origin<'_>, widget: &str) -> bool {
        self.shared.contains(origin) || !self.by_widget.is_empty() && self.is_of_widget(origin, widget)
    }

    fn is_of_widget(&self, origin: Origin<'_>, widget: &str) -> bool {
        self.by_widget.iter().any(|origins| origins.label(origin) == Some(widget))
    }

    /// Whether an origin is the edge's own for all widgets, or for any one.
    #[must_use]
    pub fn contains_for_any(&self, origin: Origin<'_>) -> bool {
        let has_label =
            |origins: &WidgetOrigins| origins.label(origin).is_some_and(|label| !label.contains('.'));
        self.shared.contains(origin) || self.by_widget.iter().any(has_label)
    }

    /// All of them: first those of all widgets, in the given order.
    pub fn iter(&self) -> impl Iterator<Item = OwnOrigin> {
        let shared = self.shared.iter().map(|origin| OwnOrigin::Shared(origin.into()));
        shared.chain(self.by_widget.iter().cloned().map(OwnOrigin::ByWidget))
    }

    /// Whether there is one alone, and it is that of all widgets.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.by_widget.is_empty() && self.shared.iter().nth(1).is_none()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.by_widget.is_empty()
    }
}

impl FromIterator<OwnOrigin> for OwnOrigins {
    fn from_iter<I: IntoIterator<Item = OwnOrigin>>(origins: I) -> Self {
        let (mut shared, mut by_widget) = (Vec::new(), Vec::new());
        for origin in origins {
            match origin {
                OwnOrigin::Shared(origin) => shared.push(origin),
                OwnOrigin::ByWidget(origins) => by_widget.push(origins),
            }
        }
        Self { shared: OriginSet::new(shared), by_widget: by_widget.into() }
    }
}

impl FromIterator<OriginBuf> for OwnOrigins {
    fn from_iter<I: IntoIterator<Item = OriginBuf>>(origins: I) -> Self {
        origins.into_iter().map(OwnOrigin::Shared).collect()
    }
}

impl Serialize for OwnOrigins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|origin| origin.to_string()))
    }
}

impl OwnOrigin {
    /// The origin of one widget, as text.
    #[must_use]
    pub fn of(&self, widget: &str) -> String {
        match self {
            Self::Shared(origin) => origin.to_string(),
            Self::ByWidget(WidgetOrigins { before, after }) => format!("{before}{widget}{after}"),
        }
    }

    /// Whether it is on the visitor's own machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Shared(origin) => origin.as_origin().is_loopback(),
            Self::ByWidget(_) => Origin::parse(&self.of("w")).is_ok_and(|origin| origin.is_loopback()),
        }
    }

    /// Whether a widget can have such an origin: browsers write hosts in lower case.
    #[must_use]
    pub fn fits(&self, widget: &str) -> bool {
        Origin::parse(&self.of(widget)).is_ok()
    }

    /// The origin whose host has this name, in lower case, as text.
    #[must_use]
    pub fn at_host(&self, name: &str) -> Option<String> {
        match self {
            Self::Shared(origin) => (origin.as_origin().host_str() == name).then(|| origin.to_string()),
            Self::ByWidget(WidgetOrigins { before, after }) => {
                let parent = after.split_once(':').map_or(&**after, |(parent, _)| parent);
                let label = name.strip_suffix(parent)?;
                (!label.is_empty() && !label.contains('.')).then(|| format!("{before}{label}{after}"))
            }
        }
    }

    /// Whether browsers see it under https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        match self {
            Self::Shared(origin) => origin.as_str().starts_with(HTTPS),
            Self::ByWidget(origins) => *origins.before == *HTTPS,
        }
    }
}

const HTTPS: &str = "https://";

impl WidgetOrigins {
    /// Parses origins with `{widget}` in the host.
    ///
    /// # Errors
    /// `{widget}` is not the first label, or the remaining text is no origin of http or https. The error says what
    /// would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (before, after) = text.split_once(WIDGET_LABEL).unwrap_or((text, ""));
        if !matches!(before, HTTPS | "http://") || !after.starts_with('.') || after.contains('{') {
            return Err(format!(
                "'{text}' must have {WIDGET_LABEL} once, as the first label of the host, like \
                 \"https://{WIDGET_LABEL}.chat.example.net\""
            ));
        }
        let sample = format!("{before}w{after}");
        match Origin::parse(&sample) {
            Ok(_) => Ok(Self { before: before.into(), after: after.into() }),
            Err(error) => Err(format!("'{text}' is not an origin: {error}")),
        }
    }

    /// What an origin has in the place of the id.
    fn label<'o>(&self, origin: Origin<'o>) -> Option<&'o str> {
        origin.text.strip_prefix(&*self.before)?.strip_suffix(&*self.after)
    }
}

impl fmt::Display for WidgetOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{WIDGET_LABEL}{}", self.before, self.after)
    }
}

impl fmt::Display for OwnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(origin) => origin.fmt(f),
            Self::ByWidget(origins) => origins.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn origin(text: &str) -> Origin<'_> {
        Origin::parse(text).unwrap()
    }

    #[test]
    fn each_is_its_own_widget_s_alone() {
        let own: OwnOrigins = [
            OwnOrigin::Shared(OriginBuf::parse("https://edge.example").unwrap()),
            OwnOrigin::ByWidget(WidgetOrigins::parse("https://{widget}.chat.example.net:8443").unwrap()),
        ]
        .into_iter()
        .collect();
        for (text, widget, is_own) in [
            ("https://edge.example", "anything", true),
            ("https://a_1.chat.example.net:8443", "a_1", true),
            ("https://a_1.chat.example.net:8443", "b", false),
            ("https://a_1.chat.example.net:8443", "A_1", false),
            ("https://a_1.chat.example.net", "a_1", false),
            ("http://a_1.chat.example.net:8443", "a_1", false),
            ("https://a_1.evilchat.example.net:8443", "a_1", false),
            ("https://chat.example.net:8443", "chat", false),
            ("https://chat.example.net:8443", "", false),
            ("https://x.a_1.chat.example.net:8443", "a_1", false),
        ] {
            assert_eq!(own.contains(origin(text), widget), is_own, "{text} for {widget}");
        }
        assert!(own.contains_for_any(origin("https://b.chat.example.net:8443")));
        assert!(own.contains_for_any(origin("https://edge.example")));
        assert!(!own.contains_for_any(origin("https://x.b.chat.example.net:8443")));
        assert!(!own.is_single());
        let at = |name| own.iter().find_map(|own| own.at_host(name));
        assert_eq!(at("edge.example").as_deref(), Some("https://edge.example"));
        assert_eq!(at("b.chat.example.net").as_deref(), Some("https://b.chat.example.net:8443"));
        assert_eq!(
            [at("chat.example.net"), at(".chat.example.net"), at("x.b.chat.example.net")],
            [None, None, None]
        );
        assert_eq!(
            serde_json::to_string(&own).unwrap(),
            "[\"https://edge.example\",\"https://{widget}.chat.example.net:8443\"]"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, detail) in [
            ("https://chat.{widget}.example", "first label"),
            ("https://{widget}", "first label"),
            ("https://{widget}.{widget}.example", "once"),
            ("https://x-{widget}.example", "first label"),
            ("wss://{widget}.example", "first label"),
            ("https://{widget}.Example", "is not an origin"),
            ("https://{widget}.example/", "is not an origin"),
            ("https://{widget}.example:443", "is not an origin"),
        ] {
            let error = WidgetOrigins::parse(text).unwrap_err();
            assert!(error.contains(detail), "{text}: {error}");
        }
    }
}

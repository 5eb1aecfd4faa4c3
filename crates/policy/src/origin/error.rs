/// Error of a text that is not a serialised origin. It contains nothing of the text: malformed values are
/// never echoed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The value is empty.
    #[error("the value is empty; send `https://host`, or leave the header out")]
    Empty,
    /// `null`: the page has no origin to name.
    #[error("`null` is an opaque origin; only an origin such as `https://host` can be compared")]
    Opaque,
    /// `file://`: the page is a local file.
    #[error(
        "`file://` is the opaque origin of a local file; only an origin such as `https://host` can be compared"
    )]
    LocalFile,
    /// The header came more than once.
    #[error("the header came more than once; send one line")]
    MultipleLines,
    /// More than one origin in one value.
    #[error("the value is a list; send one origin")]
    List,
    /// A byte outside ASCII.
    #[error("the value is not ASCII; write international names as A-labels (`xn--…`)")]
    NonAscii,
    /// A control character inside the value.
    #[error("the value has a control character; an origin has none")]
    ControlCharacter,
    /// White space inside the value.
    #[error("the value has white space inside; an origin has none")]
    WhiteSpace,
    /// A backslash in the origin.
    #[error("the value has a backslash before the end of its host and port; write `/`")]
    Backslash,
    /// A scheme or name with capitals.
    #[error("scheme and host are lower case in an origin")]
    UpperCase,
    /// No `scheme://`.
    #[error("the value is not absolute; write the scheme: `https://host`")]
    NotAbsolute,
    /// `blob:`, `data:`, `about:`, `file:`, `filesystem:` or `javascript:`.
    #[error(
        "pages of `blob:`, `data:`, `about:`, `file:` and `javascript:` are not sites; a site is `https://host`"
    )]
    OpaqueScheme,
    /// `user:password@`.
    #[error("an origin has no user or password before its host")]
    Userinfo,
    /// A path behind the origin, the lone `/` included.
    #[error("an origin ends with its host or port, without `/` and path")]
    Path,
    /// A query behind the origin.
    #[error("an origin has no query")]
    Query,
    /// A fragment.
    #[error("an origin has no fragment")]
    Fragment,
    /// Nothing between `://` and what follows.
    #[error("the host is missing; write `https://host`")]
    MissingHost,
    /// Two dots in a row, or one in front.
    #[error("the name has an empty label; write one dot between labels and none in front")]
    EmptyLabel,
    /// A dot at the end.
    #[error("the name ends with a dot; leave it out")]
    TrailingDot,
    /// A character that no host name has.
    #[error("names have only letters, digits, `-` and `_`, with dots between labels")]
    InvalidCharacter,
    /// An `xn--` label that no browser would have made.
    #[error("the name has an `xn--` label that is not a valid international name (UTS 46)")]
    InvalidIdn,
    /// Over 253 characters.
    #[error("the name is too long; DNS names have at most 253 characters")]
    NameTooLong,
    /// Over 63 characters.
    #[error("a label of the name is too long; DNS labels have at most 63 characters")]
    LabelTooLong,
    /// The last label is a number, but the host is not in dotted decimal.
    #[error(
        "a host that ends in a number is an IPv4 address; write four decimal numbers without leading zeros"
    )]
    Ipv4,
    /// In brackets, but not as browsers write IPv6.
    #[error("write IPv6 addresses in brackets, shortest form, lower case hexadecimal: `[2001:db8::1]`")]
    Ipv6,
    /// A colon with nothing behind it.
    #[error("the port is missing after the colon; leave the colon out for the default port")]
    EmptyPort,
    /// Not a number, or over 65535.
    #[error("the port is not a number from 1 to 65535")]
    InvalidPort,
    /// Port 0.
    #[error("port 0 is not valid; ports are 1 to 65535")]
    PortZero,
    /// A zero in front of the port.
    #[error("write the port without leading zeros")]
    PortLeadingZero,
    /// The scheme's default port, written out.
    #[error("leave out the scheme's default port")]
    DefaultPort,
}

impl OriginError {
    /// Whether browsers can send such a value: the URL standard accepts the address of the page, but DNS and
    /// this parser don't. Then the page has to be fixed, not a program between the page and the edge.
    #[must_use]
    pub fn is_of_a_page(self) -> bool {
        matches!(
            self,
            OriginError::TrailingDot
                | OriginError::EmptyLabel
                | OriginError::InvalidCharacter
                | OriginError::NameTooLong
                | OriginError::LabelTooLong
                | OriginError::MissingHost
        )
    }

    /// A stable word for logs and explanations, such as `trailing_dot`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            OriginError::Empty => "empty",
            OriginError::Opaque => "opaque",
            OriginError::LocalFile => "local_file",
            OriginError::MultipleLines => "multiple_lines",
            OriginError::List => "list",
            OriginError::NonAscii => "non_ascii",
            OriginError::ControlCharacter => "control_character",
            OriginError::WhiteSpace => "white_space",
            OriginError::Backslash => "backslash",
            OriginError::UpperCase => "upper_case",
            OriginError::NotAbsolute => "not_absolute",
            OriginError::OpaqueScheme => "opaque_scheme",
            OriginError::Userinfo => "userinfo",
            OriginError::Path => "path",
            OriginError::Query => "query",
            OriginError::Fragment => "fragment",
            OriginError::MissingHost => "missing_host",
            OriginError::EmptyLabel => "empty_label",
            OriginError::TrailingDot => "trailing_dot",
            OriginError::InvalidCharacter => "invalid_character",
            OriginError::InvalidIdn => "invalid_idn",
            OriginError::NameTooLong => "name_too_long",
            OriginError::LabelTooLong => "label_too_long",
            OriginError::Ipv4 => "ipv4",
            OriginError::Ipv6 => "ipv6",
            OriginError::EmptyPort => "empty_port",
            OriginError::InvalidPort => "invalid_port",
            OriginError::PortZero => "port_zero",
            OriginError::PortLeadingZero => "port_leading_zero",
            OriginError::DefaultPort => "default_port",
        }
    }
}

use std::fmt;

/// Error of a text that is not an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryError {
    /// The kind of refusal, stable.
    pub code: EntryErrorCode,
    /// What is wrong and what would be right, for people. Quotes only text from the entry.
    pub detail: String,
    /// The entry that was probably meant, in canonical form; it parses.
    pub suggestion: Option<String>,
}

impl EntryError {
    pub(super) fn new(code: EntryErrorCode, suggestion: Option<String>) -> EntryError {
        EntryError { code, detail: code.explanation().to_owned(), suggestion }
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match &self.suggestion {
            Some(entry) => write!(f, "; use `{entry}`"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for EntryError {}

/// Declares each code once, with variant, word and explanation.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $word:literal $explanation:literal)*) => {
        /// The kind of refusal of an [`EntryError`].
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum EntryErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl EntryErrorCode {
            /// Every code.
            pub const ALL: &[EntryErrorCode] = &[$(EntryErrorCode::$variant),*];

            /// The stable word: `public_suffix`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(EntryErrorCode::$variant => $word,)*
                }
            }

            fn explanation(self) -> &'static str {
                match self {
                    $(EntryErrorCode::$variant => $explanation,)*
                }
            }
        }
    };
}

codes! {
    /// An empty text.
    Empty "empty" "the entry is empty; write a host such as `example.com`"
    /// White space before or behind the entry.
    SurroundingWhiteSpace "surrounding_whitespace" "an entry has no white space at the start or end"
    /// White space inside.
    WhiteSpace "whitespace" "an entry is one host without white space; write several as separate entries"
    /// A control character.
    ControlCharacter "control_character" "an entry has no control characters"
    /// `;`
    Semicolon "semicolon" "`;` does not separate entries; write each one as its own entry"
    /// `,`
    Comma "comma" "`,` does not separate entries; write each one as its own entry"
    /// `\`
    Backslash "backslash" "an entry has no backslash; the scheme ends with `://`"
    /// Anything behind `/`, the lone `/` included.
    Path "path" "rules compare origins, which have no path"
    /// Anything behind `?`.
    Query "query" "rules compare origins, which have no query"
    /// Anything behind `#`.
    Fragment "fragment" "rules compare origins, which have no fragment"
    /// `user:password@`
    Userinfo "userinfo" "rules compare origins, which have no user or password"
    /// `null`
    Opaque "opaque_origin" "`null` stands for pages without an origin, which no entry can tell apart; give the page an origin"
    /// `*`
    StarAlone "star_alone" "`*` alone would admit every site; name the sites, or set `\"access\": \"open\"`"
    /// `*://example.com`
    StarScheme "star_scheme" "the scheme can't be `*`; name it, or leave it out for https"
    /// `*foo.com`
    StarWithoutDot "star_without_dot" "a `*` at the start must be followed by a dot, or by `-` within the leftmost label"
    /// `a.*.com`
    StarPosition "star_position" "`*` can be only in the leftmost label"
    /// More than one star.
    ManyStars "many_stars" "an entry has at most one `*`; as the whole first label it already admits any depth"
    /// A star in an international label.
    GlobIdn "glob_idn" "the label with `*` must be plain ASCII, because an international label changes as a whole when it is encoded"
    /// A wildcard over names of a registry's or a provider's customers.
    PublicSuffix "public_suffix" "anyone can register a name under this public suffix; name your own domain below it"
    /// A wildcard with an IP address.
    WildcardIp "wildcard_ip" "an IP address has no names below it; write the address alone"
    /// A wildcard with a scheme other than http and https.
    WildcardScheme "wildcard_scheme" "custom schemes are matched exactly, without wildcards"
    /// `ftp`, `ws`, `javascript` and the like.
    UnsupportedScheme "unsupported_scheme" "a page that embeds has http, https or an app's own scheme"
    /// Not the grammar of a scheme.
    InvalidScheme "invalid_scheme" "a scheme is a letter, then letters, digits, `+`, `-` or `.`"
    /// `https:example.com`
    MissingSlashes "missing_slashes" "a scheme ends with `://`"
    /// No host.
    MissingHost "missing_host" "the host is missing; write a host such as `example.com`"
    /// Two dots in a row.
    EmptyLabel "empty_label" "the name has an empty label; write one dot between labels"
    /// A dot at the end.
    TrailingDot "trailing_dot" "the name ends with a dot, which browsers treat as another host; leave it out"
    /// A character that no name has.
    InvalidCharacter "invalid_character" "names have only letters, digits, `-` and `_`, with dots between labels"
    /// Not a valid international name.
    InvalidIdn "invalid_idn" "the name is not a valid international domain name (UTS 46)"
    /// Over 253 characters as A-labels.
    NameTooLong "name_too_long" "the name is too long; DNS names have at most 253 characters"
    /// Over 63 characters as A-label.
    LabelTooLong "label_too_long" "a label of the name is too long; DNS labels have at most 63 characters"
    /// Ends in a number but is not in dotted decimal.
    InvalidIpv4 "invalid_ipv4" "a host that ends in a number is an IPv4 address: four decimal numbers without leading zeros"
    /// Brackets around something else.
    InvalidIpv6 "invalid_ipv6" "brackets hold an IPv6 address such as `[2001:db8::1]`"
    /// IPv6 without brackets.
    BareIpv6 "bare_ipv6" "write an IPv6 address in brackets"
    /// A colon with nothing behind it.
    EmptyPort "empty_port" "the port is missing after the colon; write 1 to 65535 or `*`, or leave the colon out"
    /// Not a number from 1 to 65535.
    InvalidPort "invalid_port" "a port is 1 to 65535 without leading zeros, or `*`"
}

impl fmt::Display for EntryErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

//! The corpus itself: requests as no protocol says them.

/// A field: its name and its value.
pub type Field = (&'static str, &'static str);

/// How a request says where its body ends, and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Body {
    /// It says nothing of one.
    Nothing,
    /// By its length.
    Known(usize),
    /// By its last chunk, or the end of the stream.
    Unknown(usize),
}
use Body::{Known, Nothing, Unknown};

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    pub method: &'static str,
    /// What follows `/w/w/`, or `/x/w/` where the upstream speaks HTTP/2.
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: Body,
    pub trailers: &'static [Field],
    /// Whether the edge answers it itself.
    pub refused: bool,
}

/// Every one of these with every one of [`BODIES`].
const METHODS: [&str; 12] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "BREW", "M-SEARCH",
    "get",
];
const BODIES: [Body; 5] = [Nothing, Known(0), Known(5), Unknown(0), Unknown(5)];

/// Lengths around what buffers, frames and windows hold.
const SIZES: [usize; 11] = [1, 2, 1024, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 307_200];

const SUM: &[Field] = &[("x-sum", "1")];
const SUMS: &[Field] = &[("x-sum", "1"), ("x-other", "a b"), ("x-sum", "2")];

/// In a target and in a value, `{N}` stands for a letter N times.
type Line = (&'static str, &'static str, &'static [Field], Body, &'static [Field]);

/// More of those that pass.
const PASSED: &[Line] = &[
    // Targets.
    ("GET", "session?", &[], Nothing, &[]),
    ("GET", "session??a?b", &[], Nothing, &[]),
    ("GET", "session?a=b&c=%20d&a=e+f&=&&g", &[], Nothing, &[]),
    ("GET", "session?url=https://other.example/a/../b//c", &[], Nothing, &[]),
    ("GET", "session?q={7000}", &[], Nothing, &[]),
    ("POST", "session?a=b", &[], Unknown(5), &[]),
    ("GET", "session/a/b/c/", &[], Nothing, &[]),
    ("GET", "session/%41%c3%bc%7E;v=1/~!$&'()*+,=:@", &[], Nothing, &[]),
    ("GET", "loader.js", &[], Nothing, &[]),
    ("GET", "assets/a.js?v=1", &[], Nothing, &[]),
    ("POST", "assets/a.js", &[], Known(5), &[]),
    ("GET", "frame?a=b", &[], Nothing, &[]),
    ("POST", "frame", &[], Unknown(5), &[]),
    ("GET", "trust/a", &[], Nothing, &[]),
    // Fields.
    ("GET", "session", &[("cookie", "a=1")], Nothing, &[]),
    (
        "GET",
        "session",
        &[("cookie", "a=1; b=2"), ("x-a", "1"), ("cookie", "c=3"), ("cookie", "a=4")],
        Nothing,
        &[],
    ),
    ("POST", "session", &[("cookie", "{20000}"), ("cookie", "{20000}")], Unknown(5), &[]),
    ("GET", "session", &[("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-a", "")], Nothing, &[]),
    ("GET", "session", &[("x-empty", ""), ("x-inner", "a  b\tc"), ("x-long", "{40000}")], Nothing, &[]),
    (
        "GET",
        "session",
        &[("accept-encoding", "gzip, br"), ("range", "bytes=0-3"), ("if-range", "\"a\"")],
        Nothing,
        &[],
    ),
    (
        "GET",
        "session",
        &[("cache-control", "no-cache"), ("pragma", "no-cache"), ("priority", "u=1, i")],
        Nothing,
        &[],
    ),
    (
        "GET",
        "session",
        &[("user-agent", "a (b) c/1"), ("referer", "https://example.com/a?b"), ("dnt", "1")],
        Nothing,
        &[],
    ),
    ("GET", "session", &[("upgrade-insecure-requests", "1"), ("max-forwards", "0")], Nothing, &[]),
    ("GET", "session", &[("accept", "text/event-stream"), ("last-event-id", "7")], Nothing, &[]),
    (
        "PUT",
        "session",
        &[("content-type", "a/b; c=\"d\""), ("content-encoding", "gzip"), ("content-language", "de")],
        Known(5),
        &[],
    ),
    ("GET", "session", &[("te", "trailers")], Nothing, &[]),
    // Bodies that ask for leave, and those with trailers.
    ("POST", "session", &[("expect", "100-continue")], Known(5), &[]),
    ("PUT", "session", &[("expect", "100-continue")], Unknown(70_000), &[]),
    ("POST", "session", &[], Unknown(0), SUM),
    ("POST", "session", &[], Unknown(5), SUM),
    ("PUT", "session", &[("trailer", "x-sum, x-other")], Unknown(5), SUMS),
    ("POST", "session", &[("te", "trailers")], Unknown(70_000), SUMS),
    ("DELETE", "assets/a.js", &[], Unknown(1), SUM),
];

/// Those that the edge answers itself.
const REFUSED: &[Line] = &[
    ("GET", "session", &[("origin", "https://stranger.example")], Nothing, &[]),
    ("HEAD", "session", &[("origin", "https://stranger.example")], Nothing, &[]),
    ("POST", "session", &[("origin", "https://stranger.example")], Known(5), &[]),
    ("POST", "session", &[("origin", "https://stranger.example")], Unknown(5), SUM),
    ("PUT", "session", &[("origin", "https://stranger.example")], Known(100_000), &[]),
    ("PUT", "session", &[("origin", "https://stranger.example")], Unknown(100_000), &[]),
    ("POST", "session", &[("origin", "null")], Known(0), &[]),
    ("POST", "session", &[("origin", "example.com")], Known(5), &[]),
    ("GET", "frame", &[("origin", "https://stranger.example"), ("sec-fetch-dest", "iframe")], Nothing, &[]),
    (
        "GET",
        "loader.js",
        &[("origin", "https://stranger.example"), ("sec-fetch-dest", "script")],
        Nothing,
        &[],
    ),
    ("OPTIONS", "session", &[("access-control-request-method", "PUT")], Nothing, &[]),
    ("POST", "nothing", &[], Unknown(5), &[]),
    ("GET", "session//a", &[], Nothing, &[]),
    ("POST", "session/%2e%2e/a", &[], Known(5), &[]),
    ("TRACE", "session", &[], Nothing, &[]),
    ("GET", "session?q={9000}", &[], Nothing, &[]),
    ("GET", "session", &[("x-long", "{70000}")], Nothing, &[]),
];

/// All of them.
pub fn cases() -> Vec<Case> {
    let plain = |method, body| Case {
        method,
        target: "session".to_owned(),
        fields: Vec::new(),
        body,
        trailers: &[],
        refused: false,
    };
    let mut cases: Vec<Case> = Vec::new();
    for method in METHODS {
        cases.extend(BODIES.map(|body| plain(method, body)));
    }
    for size in SIZES {
        cases.extend([Known(size), Unknown(size)].map(|body| plain("POST", body)));
    }
    for (lines, refused) in [(PASSED, false), (REFUSED, true)] {
        cases.extend(lines.iter().map(|(method, target, fields, body, trailers)| {
            let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), written_out(value)));
            let (target, fields) = (written_out(target), fields.collect());
            Case { target, fields, trailers, refused, ..plain(method, *body) }
        }));
    }
    let many =
        |name: &str, count: usize| (0..count).map(|n| (name.to_owned(), format!("n{n}={n}"))).collect();
    cases.push(Case { fields: many("cookie", 80), ..plain("GET", Nothing) });
    cases.push(Case { fields: many("cookie", 110), refused: true, ..plain("GET", Nothing) });
    cases.push(Case { fields: many("x-many", 80), ..plain("POST", Unknown(5)) });
    cases.push(Case { fields: many("x-many", 300), refused: true, ..plain("GET", Nothing) });
    cases
}

fn written_out(text: &str) -> String {
    match text.split_once('{').and_then(|(start, rest)| Some((start, rest.strip_suffix('}')?))) {
        Some((start, count)) => [start, &"a".repeat(count.parse().unwrap())].concat(),
        None => text.to_owned(),
    }
}

impl Case {
    /// How many bytes its body has.
    fn length(&self) -> usize {
        match self.body {
            Nothing => 0,
            Known(length) | Unknown(length) => length,
        }
    }

    /// What it says of its length.
    pub fn stated_length(&self) -> Option<String> {
        match self.body {
            Known(length) => Some(length.to_string()),
            Nothing | Unknown(_) => None,
        }
    }

    /// Its body: nothing but ends of bodies and requests, wherever one begins to read.
    pub fn bytes(&self) -> Vec<u8> {
        let text = b"0\r\n\r\nGET /w/w/session/smuggled HTTP/1.1\r\nHost: chat.example\r\n\r\n";
        text.iter().copied().cycle().take(self.length()).collect()
    }

    /// Whether it can be sent byte by byte, or with others ahead of an answer, and not take long.
    pub fn is_small(&self) -> bool {
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.length() + self.target.len() + fields < 2048
    }
}

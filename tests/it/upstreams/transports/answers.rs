//! Corpus of answers, as upstreams send them over HTTP/1.1.

/// What follows an answer.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    /// The next request's.
    Keep,
    Close,
    /// The connection is reset.
    Reset,
}
use Then::{Close, Keep, Reset};

/// Answers; what is parted by `|` is sent with time in between.
pub const ANSWERS: &[(&str, &str, Then, &str)] = &[
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: \"x\"\r\n\r\nbody", Keep, "200 body"),
    ("length-zero", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Keep, "200"),
    (
        "length-twice-the-same",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    ("length-twice", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", Close, "502"),
    ("length-negative", "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nbody", Close, "502"),
    (
        "length-and-chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "more-than-length",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n|3\r\n!!!\r\n|0\r\n\r\n",
        Keep,
        "200 body!!!",
    ),
    (
        "chunks-upper",
        "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Keep,
        "200 body",
    ),
    ("chunks-none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Keep, "200"),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 1\r\n\r\n",
        Keep,
        "200 body",
    ),
    (
        "chunks-broken",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nzz\r\n",
        Close,
        "200 body …",
    ),
    (
        "encoded-twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        Close,
        "502",
    ),
    ("until-close", "HTTP/1.1 200 OK\r\n\r\nbo|dy", Close, "200 body"),
    ("until-close-nothing", "HTTP/1.1 200 OK\r\n\r\n", Close, "200"),
    ("old", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody", Close, "200 body"),
    ("old-until-close", "HTTP/1.0 200 OK\r\n\r\nbody", Close, "200 body"),
    (
        "interim",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nServer: x\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "103 200 body",
    ),
    (
        "interims",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        Keep,
        "100 102 204",
    ),
    ("no-content", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", Keep, "204"),
    ("not-modified", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 400\r\n\r\n", Keep, "304"),
    (
        "redirect",
        "HTTP/1.1 302 Found\r\nLocation: /w/w/session/next\r\nContent-Length: 0\r\n\r\n",
        Keep,
        "302",
    ),
    ("error", "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", Keep, "500 oops"),
    (
        "upgrade-required",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
        Keep,
        "426",
    ),
    ("own-reason", "HTTP/1.1 200 As You Wish\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("no-reason", "HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("own-status", "HTTP/1.1 599 Odd\r\nContent-Length: 4\r\n\r\nbody", Keep, "599 body"),
    (
        "says-close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
        Close,
        "200 body",
    ),
    (
        "hop-by-hop",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "stripped",
        "HTTP/1.1 200 OK\r\nServer: x\r\nX-Powered-By: y\r\nAccess-Control-Allow-Origin: *\r\nCDN-Cache-Control: max-age=9\r\nServer-Timing: a, embed-ticket;desc=b\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "fields-twice",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nVary: Accept\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    (
        "field-folded",
        "HTTP/1.1 200 OK\r\nX-A: one\r\n two\r\nContent-Length: 4\r\n\r\nbody",
        Keep,
        "200 body",
    ),
    ("field-bytes", "HTTP/1.1 200 OK\r\nX-A: é\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("field-spaced", "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    ("field-broken", "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 4\r\n\r\nbody", Close, "502"),
    ("head-in-pieces", "HTTP/1.1 2|00 OK\r\nContent-|Length: 4\r\n\r|\nbo|dy", Keep, "200 body"),
    ("short-of-length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", Close, "200 half …"),
    (
        "short-of-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        Close,
        "200 half …",
    ),
    ("short-of-head", "HTTP/1.1 200 OK\r\nContent-Le", Close, "502"),
    ("reset-in-length", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf", Reset, "200 half …"),
    (
        "reset-in-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        Reset,
        "200 half …",
    ),
    ("reset-until-close", "HTTP/1.1 200 OK\r\n\r\nhalf", Reset, "200 half …"),
    ("reset-in-head", "HTTP/1.1 200 OK\r\nContent-Le", Reset, "502"),
    ("reset", "", Reset, "502"),
    ("nothing", "", Close, "502"),
    ("nonsense", "SSH-2.0-OpenSSH_9.2\r\n\r\n", Close, "502"),
    ("huge-head", "HTTP/1.1 200 OK\r\nX-A: LONG\r\nContent-Length: 4\r\n\r\nbody", Keep, "200 body"),
    (
        "too-huge-head",
        "HTTP/1.1 200 OK\r\nX-A: LONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONGLONG\r\nContent-Length: 4\r\n\r\nbody",
        Close,
        "502",
    ),
    ("too-many-fields", "HTTP/1.1 200 OK\r\nMANYContent-Length: 4\r\n\r\nbody", Close, "502"),
    ("large-body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nLONG", Keep, "200 LONG"),
];

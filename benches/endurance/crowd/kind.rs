//! Kinds of slowness.

use std::net::SocketAddr;
use std::time::Duration;

use bench_support::ground::HOST;
use clap::ValueEnum;

use crate::admin::WRITE_TOKEN;
use crate::edge::{SITE, WIDGET};
use crate::http2::{Head, PREFACE, flags, frame, kind, settings, settings_of};
use crate::subject::Subject;

/// What a client is slow at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Kind {
    /// Half a head, then a byte of it now and then.
    Head,
    /// A body of a byte now and then.
    Body,
    /// The same over HTTP/2.
    BodyHttp2,
    /// Takes nothing of a large answer.
    Reader,
    /// The same over HTTP/2: a stream without a window.
    Window,
    /// A TLS handshake that says nothing.
    Handshake,
    /// HTTP/2 without its preface, or with half of it.
    Preface,
    /// On the admin listener: nothing, half a head, a body withheld.
    AdminSilent,
    AdminHead,
    AdminBody,
}

/// What a client of a kind does.
pub struct Manner {
    /// Over TLS, for HTTP/2.
    pub is_tls: bool,
    /// Says what HTTP/2 wants to be said. One without a preface must not.
    pub is_http2: bool,
    /// Said at once.
    pub opening: Vec<u8>,
    /// Said again and again, so often.
    pub drip: Option<(Duration, Vec<u8>)>,
    /// Whether it takes what the server says.
    pub reads: bool,
}

/// Bytes that a body is to have.
const LENGTH: usize = 1_000_000;
/// Between two bytes of a head, and of a body.
const HEAD: Duration = Duration::from_secs(5);
const BODY: Duration = Duration::from_secs(10);

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Head => "heads, a byte each 5 s",
            Self::Body => "bodies, a byte each 10 s",
            Self::BodyHttp2 => "HTTP/2 bodies, a byte each 10 s",
            Self::Reader => "readers of nothing",
            Self::Window => "HTTP/2 zero windows",
            Self::Handshake => "silent TLS handshakes",
            Self::Preface => "HTTP/2 with half a preface or none",
            Self::AdminSilent => "admin: silent",
            Self::AdminHead => "admin: half a head",
            Self::AdminBody => "admin: a body withheld",
        }
    }

    /// Whether it is one of the admin listener.
    pub fn is_admin(self) -> bool {
        matches!(self, Self::AdminSilent | Self::AdminHead | Self::AdminBody)
    }

    /// Whether a server is left with an answer.
    pub fn is_stuck(self) -> bool {
        matches!(self, Self::Reader | Self::Window)
    }

    /// The listener that it connects to.
    pub fn addr(self, subject: &Subject) -> SocketAddr {
        match (self, subject.as_edge()) {
            (Self::AdminSilent | Self::AdminHead | Self::AdminBody, Some(edge)) => edge.admin().addr,
            (Self::BodyHttp2 | Self::Window | Self::Handshake | Self::Preface, _) => subject.target.tls,
            _ => subject.target.plain,
        }
    }

    /// By when a client of this kind is to be gone, by the edge's defaults.
    pub fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            Self::Body | Self::BodyHttp2 | Self::Reader | Self::Window | Self::AdminBody => 60,
            _ => 10,
        })
    }

    /// The manner of the client of this number.
    pub fn manner(self, number: usize) -> Manner {
        let silent = Manner { is_tls: false, is_http2: false, opening: Vec::new(), drip: None, reads: true };
        let path = |name: &str| format!("/w/{WIDGET}/session{name}");
        let ask = |method: &str, name: &str| {
            format!("{method} {} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{SITE}\r\n", path(name))
        };
        match self {
            Self::Handshake | Self::AdminSilent => silent,
            Self::Head => Manner {
                opening: format!("{}X-Slow: ", ask("GET", "")).into(),
                drip: Some((HEAD, b"x".to_vec())),
                ..silent
            },
            Self::Body => Manner {
                opening: format!("{}Content-Length: {LENGTH}\r\n\r\n", ask("POST", "")).into(),
                drip: Some((BODY, b"x".to_vec())),
                ..silent
            },
            Self::BodyHttp2 => {
                let head = Head::new("POST", &path(""), SITE).with("content-length", &LENGTH.to_string());
                Manner {
                    is_tls: true,
                    is_http2: true,
                    opening: [PREFACE.to_vec(), settings(&[]), head.frame(1, false)].concat(),
                    drip: Some((BODY, frame(kind::DATA, flags::NONE, 1, b"x"))),
                    ..silent
                }
            }
            Self::Reader => {
                Manner { opening: format!("{}\r\n", ask("GET", "/large")).into(), reads: false, ..silent }
            }
            Self::Window => {
                let head = Head::new("GET", &path("/large"), SITE);
                let none = settings(&[(settings_of::INITIAL_WINDOW_SIZE, 0)]);
                Manner {
                    is_tls: true,
                    is_http2: true,
                    opening: [PREFACE.to_vec(), none, head.frame(1, true)].concat(),
                    ..silent
                }
            }
            Self::Preface => {
                let said = if number.is_multiple_of(2) { 0 } else { PREFACE.len() / 2 };
                Manner {
                    is_tls: true,
                    opening: PREFACE.get(..said).unwrap_or_default().to_vec(),
                    ..silent
                }
            }
            Self::AdminHead => {
                Manner { opening: b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nX-".to_vec(), ..silent }
            }
            Self::AdminBody => Manner {
                opening: format!(
                    "PUT /v1/widgets/wgt_slow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
                     Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
                )
                .into(),
                ..silent
            },
        }
    }
}

//! PROXY protocol, version 1 and 2 (HAProxy's specification): a load balancer that passes connections on says in front of
//! each whose it is.

use std::io::{self, ErrorKind};
use std::net::IpAddr;

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of version 2 up to its addresses.
const FIXED: usize = 16;

/// Length of the shortest header of version 1, `PROXY UNKNOWN` and the end of the line.
const SHORTEST: usize = 15;

/// Length of the longest header of version 1.
const LONGEST: usize = 107;

/// Maximum length of what follows the fixed part of version 2. Addresses and everything that is known to be sent with
/// them are a few hundred bytes.
const MOST_FOLLOWING: usize = 4 * 1024;

/// Client of a connection that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proxied {
    /// The client's address; `None`: the connection is the load balancer's own, such as a health check.
    pub(super) address: Option<IpAddr>,
    /// The client speaks TLS with the load balancer.
    pub(super) tls: bool,
}

/// Reads the header, and not a byte more.
///
/// # Errors
///
/// The connection does not begin with a header, or it ends.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Proxied> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(SIGNATURE) {
        extend(&mut header, FIXED - SHORTEST, stream).await?;
        let following = header.last_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
        if following > MOST_FOLLOWING {
            return Err(invalid("is too long"));
        }
        extend(&mut header, following, stream).await?;
    } else {
        // Byte by byte: what follows the line belongs to the client.
        while !header.ends_with(b"\n") {
            if header.len() == LONGEST || !header.starts_with(b"PROXY ") {
                return Err(invalid("is none"));
            }
            extend(&mut header, 1, stream).await?;
        }
    }
    let with_tls = ParseConfig { include_tlvs: true, ..ParseConfig::default() };
    match ProxyHeader::parse(&header, with_tls) {
        Ok((read, length)) if length == header.len() => Ok(Proxied {
            address: read.proxied_address().map(|proxied| proxied.source.ip().to_canonical()),
            tls: read.ssl().is_some_and(|tls| tls.client_ssl()),
        }),
        Ok(_) | Err(_) => Err(invalid("can't be read")),
    }
}

async fn extend(header: &mut Vec<u8>, by: usize, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let end = header.len();
    header.resize(end + by, 0);
    stream.read_exact(header.get_mut(end..).unwrap_or_default()).await.map(drop)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the header of the PROXY protocol {what}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// What is read of a connection that sends this, and what is left of it.
    async fn read_of(sent: &[u8]) -> (io::Result<Proxied>, usize) {
        let mut stream = sent;
        (read(&mut stream).await, stream.len())
    }

    fn version2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn headers_name_the_client_and_end_where_they_end() {
        let v4 = [&[192, 0, 2, 1, 198, 51, 100, 1][..], &[0x30, 0x39, 1, 0xbb]].concat();
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        v6[15] = 7;
        let tls = [&v4[..], &[0x20, 0, 5, 1, 0, 0, 0, 0]].concat();
        let cases: [(Vec<u8>, Option<&str>, bool); 9] = [
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n".to_vec(), Some("192.0.2.1"), false),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n".to_vec(), Some("2001:db8::7"), false),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(), Some("192.0.2.1"), false),
            (b"PROXY UNKNOWN\r\n".to_vec(), None, false),
            (version2(0x21, 0x11, &v4), Some("192.0.2.1"), false),
            (version2(0x21, 0x21, &v6), Some("2001:db8::7"), false),
            (version2(0x21, 0x11, &tls), Some("192.0.2.1"), true),
            (version2(0x20, 0x11, &v4), None, false),
            (version2(0x20, 0, &[]), None, false),
        ];
        for (header, address, tls) in cases {
            let (read, left) = read_of(&[&header[..], b"GET / HTTP/1.1\r\n"].concat()).await;
            let expected = Proxied { address: address.map(|address| address.parse().unwrap()), tls };
            assert_eq!((read.unwrap(), left), (expected, 16), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        let too_long = [SIGNATURE, &[0x21, 0x11, 0xff, 0xff], &[0; 40]].concat();
        let cases: [&[u8]; 9] = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 12345\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\n",
            b"PROXY TCP4 a b 1 2\r\nGET / HTTP/1.1\r\n",
            b"PROXY UNKNOWN",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00",
            &long,
            &too_long,
            &version2(0x21, 0x11, &[1, 2, 3]),
        ];
        for sent in cases {
            assert!(read_of(sent).await.0.is_err(), "{sent:?}");
        }
    }
}

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac::{HMAC_SHA256, Key, verify};
use tempfile::TempDir;

use super::*;

const BODY: &str = r#"{"type":"test"}"#;

/// Takes one request, and answers it with each of these texts; what follows a pause is sent that much later.
fn answering(texts: &'static [&'static str], pause: Duration) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        while !got.ends_with(BODY.as_bytes()) {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the request ended early");
            got.extend_from_slice(&piece[..read]);
        }
        for text in texts {
            // Whoever has heard enough has left.
            let _ = stream.write_all(text.as_bytes());
            thread::park_timeout(pause);
        }
        String::from_utf8(got).unwrap()
    });
    (addr, server)
}

fn receiver(addr: SocketAddr, patience: Duration) -> (WebhookReceiver, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secrets = SecretFile::open(&folder.path().join("secrets")).unwrap();
    let url = format!("http://{addr}/hook?key=1").parse().unwrap();
    (WebhookReceiver::new(url, secrets, patience), folder)
}

fn delivery(texts: &'static [&'static str]) -> WebhookDelivery {
    let (addr, server) = answering(texts, Duration::ZERO);
    let (receiver, _folder) = receiver(addr, PATIENCE);
    let delivery = receiver.deliver(WebhookId(7), BODY);
    server.join().unwrap();
    delivery
}

#[test]
fn a_webhook_is_signed_and_says_what_it_is() {
    let (addr, server) = answering(&["HTTP/1.1 204 No Content\r\n\r\n"], Duration::ZERO);
    let (receiver, folder) = receiver(addr, PATIENCE);
    assert_eq!(receiver.origin(), format!("http://{addr}"), "without what may be secret");
    assert_eq!(receiver.deliver(WebhookId(0xabc), BODY), WebhookDelivery::Arrived);
    let got = server.join().unwrap();
    let (head, body) = got.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(body, BODY);
    let field = |name: &str| {
        let found = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name}: {head}")).1.to_owned()
    };
    assert_eq!(field("content-type"), "application/json");
    assert_eq!(field("user-agent"), concat!("embedgate/", env!("CARGO_PKG_VERSION")));
    let (id, time) = (field("webhook-id"), field("webhook-timestamp"));
    assert_eq!(id, format!("msg_{:032x}", 0xabc));
    assert!((Timestamp::now().as_second() - time.parse::<i64>().unwrap()).abs() < 60);
    let text = std::fs::read_to_string(folder.path().join("secrets")).unwrap();
    let secret = text.lines().last().unwrap().strip_prefix("whsec_").unwrap();
    let key = Key::new(HMAC_SHA256, &STANDARD.decode(secret).unwrap());
    let signature = STANDARD.decode(field("webhook-signature").strip_prefix("v1,").unwrap()).unwrap();
    verify(&key, format!("{id}.{time}.{BODY}").as_bytes(), &signature).unwrap();
}

#[test]
fn what_an_answer_means() {
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",
        // It was said.
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbroken off",
    ] {
        let texts: &'static [&'static str] = Vec::leak(vec![text]);
        assert_eq!(delivery(texts), WebhookDelivery::Arrived, "{text}");
    }
    for (text, says) in [
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", "410 Gone"),
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "400 Bad Request"),
        ("HTTP/1.1 499 Odd\r\ncontent-length: 0\r\n\r\n", "499"),
    ] {
        let texts: &'static [&'static str] = Vec::leak(vec![text]);
        let WebhookDelivery::Refused { error } = delivery(texts) else { panic!("{text}") };
        assert!(error.contains(says), "{error}");
    }
    for (text, says, waits) in [
        ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", "500", None),
        ("HTTP/1.1 500 Oops\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", "500", None),
        ("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", "408", None),
        ("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", "429", Some(7)),
        ("HTTP/1.1 503 Service Unavailable\r\nretry-after: x\r\ncontent-length: 0\r\n\r\n", "503", None),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
            "not followed",
            None,
        ),
        (
            "HTTP/1.1 308 Permanent Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n",
            "not followed",
            None,
        ),
        ("not HTTP\r\n\r\n", "", None),
        ("", "", None),
    ] {
        let texts: &'static [&'static str] = Vec::leak(vec![text]);
        let WebhookDelivery::Failed { error, asked, is_unreachable } = delivery(texts) else {
            panic!("{text}")
        };
        assert!(error.contains(says) && !error.is_empty(), "{text}: {error}");
        assert_eq!((asked, is_unreachable), (waits.map(Duration::from_secs), false), "{text}");
    }
}

#[test]
fn one_that_is_slow_is_cut_at_its_bound() {
    let bound = Duration::from_millis(300);
    let slow: [&'static [&'static str]; 2] =
        [&["", "", "late"], &["HTTP/1.1 200 OK\r\ncontent-len", "gth: 2\r\n", "\r\n", "ok", "", ""]];
    for texts in slow {
        let (addr, server) = answering(texts, Duration::from_millis(250));
        let (receiver, _folder) = receiver(addr, bound);
        let begun = tokio::time::Instant::now();
        let WebhookDelivery::Failed { error, is_unreachable: false, .. } =
            receiver.deliver(WebhookId(7), BODY)
        else {
            panic!("{texts:?}")
        };
        assert_eq!(error, "no answer in time");
        assert!(begun.elapsed() < bound * 3, "{:?}", begun.elapsed());
        server.join().unwrap();
    }
}

#[test]
fn a_head_or_body_without_end_is_not_read() {
    let endless: &'static str = String::leak(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(64 << 10)));
    let WebhookDelivery::Failed { .. } = delivery(Vec::leak(vec![endless])) else { panic!() };
    let large: &'static str =
        String::leak(format!("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n{}", "y".repeat(64 << 10)));
    assert_eq!(delivery(Vec::leak(vec![large])), WebhookDelivery::Arrived);
}

#[test]
fn nobody_there_is_told_apart() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (receiver, _folder) = receiver(addr, PATIENCE);
    let WebhookDelivery::Failed { error, asked: None, is_unreachable: true } =
        receiver.deliver(WebhookId(7), BODY)
    else {
        panic!()
    };
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn times_to_wait_are_seconds_or_a_date() {
    let now = "2026-03-04T05:06:07Z".parse().unwrap();
    for (field, seconds) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Wed, 04 Mar 2026 05:07:07 GMT", Some(60)),
        ("Wed, 04 Mar 2026 05:06:00 GMT", Some(0)),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
    ] {
        assert_eq!(retry_after(field, now), seconds.map(Duration::from_secs), "{field}");
    }
}

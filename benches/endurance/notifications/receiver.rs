//! Receiver of webhooks, which comes and goes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bench_support::ground::Ground;
use ring::hmac;
use serde_json::Value;

/// What the edge signs with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Writes the edge's file of secrets.
pub fn secret_file(ground: &Ground) -> Result<()> {
    let path = ground.write("data/notify.secrets", &format!("{SECRET}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// One try at a notification.
pub struct Delivery {
    pub id: String,
    pub widget: String,
    /// The embedder, or the revision.
    pub subject: String,
    pub is_signed: bool,
}

/// A running one.
pub struct Receiver {
    over: Arc<AtomicBool>,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    thread: JoinHandle<()>,
}

impl Receiver {
    /// Answers everything with this status.
    pub fn start(addr: SocketAddr, status: u16) -> Result<Self> {
        let listener = TcpListener::bind(addr).with_context(|| addr.to_string())?;
        listener.set_nonblocking(true)?;
        let (over, deliveries) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Delivery>>>::default());
        let (is_over, taken) = (Arc::clone(&over), Arc::clone(&deliveries));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                match listener.accept() {
                    // One after the other: the order in which they come is what is looked at.
                    Ok((stream, _)) => taken.lock().unwrap().extend(take(stream, status).ok()),
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Ok(Self { over, deliveries, thread })
    }

    /// Ends it, and returns what it was sent.
    pub fn stop(self) -> Vec<Delivery> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the receiver panicked");
        std::mem::take(&mut *self.deliveries.lock().unwrap())
    }
}

/// Takes one request.
fn take(mut stream: TcpStream, status: u16) -> Result<Delivery> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let (head, body) = loop {
        let read = stream.read(&mut chunk)?;
        anyhow::ensure!(read > 0, "it ended before the request");
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&bytes[..end])?.to_owned();
        let length: usize = field(&head, "content-length")?.parse()?;
        if bytes.len() >= end + 4 + length {
            break (head, bytes.split_off(end + 4));
        }
    };
    let (id, time) = (field(&head, "webhook-id")?.to_owned(), field(&head, "webhook-timestamp")?);
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = [format!("{id}.{time}.").as_bytes(), &body].concat();
    let is_signed = field(&head, "webhook-signature")?.split(' ').any(|signature| {
        let signature = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| hmac::verify(&key, &signed, &signature).is_ok())
    });
    let told: Value = serde_json::from_slice(&body)?;
    let data = &told["data"];
    let subject = data["embedder"].as_str().map_or_else(|| data["revision"].to_string(), str::to_owned);
    let widget = data["widget"].as_str().unwrap_or_default().to_owned();
    let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes())?;
    Ok(Delivery { id, widget, subject, is_signed })
}

fn field<'h>(head: &'h str, name: &str) -> Result<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values =
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    values.next().with_context(|| format!("no {name}"))
}

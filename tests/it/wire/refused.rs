//! Refused requests with bodies of any size: the answer can be read to its end by whoever sends one, and what was not
//! read of the body is never taken for the next request.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::client::{Answer, Frame, Http1, head};
use super::{LISTED, STRANGER, Stage, echo};

const SIZES: [usize; 4] = [1 << 10, (64 << 10) + 1, 1 << 20, 20 << 20];

/// What is refused before and after its verdict: a path, an origin, and the status.
const REFUSED: [(&str, &str, u16); 3] =
    [("/w/w/session", STRANGER, 403), ("/nowhere", LISTED, 404), ("/w/w//session", LISTED, 400)];

/// Nothing but requests, wherever one begins to read.
fn body(size: usize) -> Vec<u8> {
    let request = head("GET", "/w/w/session/smuggled", &[("Origin", LISTED)]);
    request.into_bytes().into_iter().cycle().take(size).collect()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut chunks = Vec::with_capacity(body.len() + body.len() / 1000);
    for chunk in body.chunks(60_000) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        chunks.extend_from_slice(chunk);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    chunks
}

#[track_caller]
fn assert_readable(answer: &Answer, status: u16, told: &str) {
    assert_eq!((answer.status, &answer.broken), (status, &None), "{told}: {answer:?}");
    // Clients that still send fail at a reset, also at one that RFC 9113 §8.1 has them take for none.
    assert_eq!(answer.reset, None, "{told}");
    let problem: Value = serde_json::from_slice(&answer.body).expect(told);
    assert_eq!(problem["status"], status, "{told}");
}

fn assert_nothing_smuggled(stage: &Stage) {
    stage.assert_well_formed();
    for upstream in [&stage.one, &stage.two] {
        let smuggled = upstream.requests().iter().filter(|seen| seen.name() == "smuggled").count();
        assert_eq!(smuggled, 0);
    }
}

/// What becomes of a connection after an answer of the edge's own: it is closed as it said, or good for the next.
async fn assert_closed_or_good(mut connection: Http1, answer: &Answer, told: &str) {
    if answer.field("connection") == "close" {
        assert!(connection.0.is_closed().await, "{told}: something follows");
    } else {
        let next = connection.ask(head("GET", "/w/w/session/next", &[("Origin", LISTED)])).await;
        assert_eq!((next.status, next.text().as_str()), (200, "/w/w/session/next"), "{told}");
    }
}

/// A client that sends all it has before it reads: reset, it would never see the answer.
#[tokio::test]
async fn a_refused_body_over_http1_leaves_its_answer() {
    let stage = Stage::start(echo).await;
    for size in SIZES {
        let body = body(size);
        for (path, origin, status) in REFUSED {
            for framing in ["Content-Length", "Transfer-Encoding"] {
                let told = format!("{path}, {size} bytes, {framing}");
                let is_chunked = framing == "Transfer-Encoding";
                let value = if is_chunked { "chunked".to_owned() } else { size.to_string() };
                let mut request = head("POST", path, &[("Origin", origin), (framing, &value)]).into_bytes();
                request.extend(if is_chunked { chunked(&body) } else { body.clone() });
                for connection in [stage.plain().await, stage.http1().await] {
                    let mut connection = connection;
                    assert!(connection.0.send(&request).await, "{told}: reset");
                    let answer = connection.answer(false).await;
                    assert_readable(&answer, status, &told);
                    assert_closed_or_good(connection, &answer, &told).await;
                }
            }
        }
    }
    assert_nothing_smuggled(&stage);
}

#[tokio::test]
async fn a_refused_body_over_http2_leaves_its_answer_and_its_connection() {
    let stage = Stage::start(echo).await;
    let connection = stage.http2().await;
    for size in SIZES {
        let body = body(size);
        for (path, origin, status) in REFUSED {
            for length in [Some(size.to_string()), None] {
                let told = format!("{path}, {size} bytes, {length:?}");
                let mut fields = vec![("origin", origin)];
                fields.extend(length.as_deref().map(|length| ("content-length", length)));
                let answer = connection.ask("POST", path, &fields, &[Frame::Last(body.clone())]).await;
                assert_readable(&answer, status, &told);
                let next = connection.ask("GET", "/w/w/session/next", &[("origin", LISTED)], &[]).await;
                assert_eq!((next.status, next.text().as_str()), (200, "/w/w/session/next"), "{told}");
            }
        }
    }
    assert_nothing_smuggled(&stage);
}

/// A body that a client never ends is not waited for.
#[tokio::test]
async fn a_refused_body_that_stops_leaves_its_answer() {
    let stage = Stage::start(echo).await;
    for (path, origin, status) in REFUSED {
        let framings =
            [("Content-Length", "1000000"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked")];
        for (name, value) in framings {
            let told = format!("{path} {name}: {value}");
            let mut connection = stage.plain().await;
            connection.0.send(head("POST", path, &[("Origin", origin), (name, value)]) + "3\r\n").await;
            let answer = connection.answer(false).await;
            assert_readable(&answer, status, &told);
            assert_eq!(answer.field("connection"), "close", "{told}");
        }
        let connection = stage.http2().await;
        let frames = [Frame::Data(vec![b'x'; 100]), Frame::Pause(60_000)];
        let answer = connection.ask("POST", path, &[("origin", origin)], &frames).await;
        assert!(matches!(answer.reset, None | Some(h2::Reason::NO_ERROR)), "{path}: {:?}", answer.reset);
        assert_readable(&Answer { reset: None, ..answer }, status, path);
        let next = connection.ask("GET", "/w/w/session/next", &[("origin", LISTED)], &[]).await;
        assert_eq!((next.status, next.text().as_str()), (200, "/w/w/session/next"), "{path}");
    }
    assert_nothing_smuggled(&stage);
}

/// Runs a program beside the runtime, which serves the upstreams.
async fn run(program: &str, args: Vec<impl AsRef<OsStr> + Send + 'static>) -> (bool, String, String) {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").args(args);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

async fn curl(stage: &Stage, file: &Path, how: &[&str], path: &str, origin: &str) -> (bool, String, String) {
    let with_tls = !how.contains(&"plain");
    let (scheme, port, addr) =
        if with_tls { ("https", 443, stage.tls.addr) } else { ("http", 80, stage.edge.http) };
    let mut args: Vec<String> =
        ["-sS", "--noproxy", "*", "--path-as-is", "--max-time", "30"].map(str::to_owned).into();
    args.extend(["--cacert".to_owned(), stage.tls.ca().display().to_string()]);
    args.extend(["--connect-to".to_owned(), format!("chat.example:{port}:{addr}")]);
    args.extend(["-w", "\n%{http_code} %{http_version}", "-H"].map(str::to_owned));
    args.extend([format!("Origin: {origin}"), "--data-binary".to_owned(), format!("@{}", file.display())]);
    args.extend(how.iter().filter(|how| **how != "plain").map(|how| (*how).to_owned()));
    args.push(format!("{scheme}://chat.example{path}"));
    run("curl", args).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_the_answer_to_a_refused_body() {
    let stage = Stage::start(echo).await;
    for size in SIZES {
        let file = stage.tls.folder().join(format!("{size}.body"));
        std::fs::write(&file, body(size)).unwrap();
        for (path, origin, status) in REFUSED {
            for (how, version) in [
                (&["plain", "--http1.1"][..], "1.1"),
                // Without asking for leave first.
                (&["plain", "--http1.1", "-H", "Expect:"], "1.1"),
                (&["--http1.1", "-H", "Expect:"], "1.1"),
                (&["--http1.1", "-H", "Expect:", "-H", "Transfer-Encoding: chunked"], "1.1"),
                (&["--http2"], "2"),
                (&["--http2", "-H", "Content-Length:"], "2"),
            ] {
                let (success, out, error) = curl(&stage, &file, how, path, origin).await;
                let told = format!("{path}, {size} bytes, {how:?}: {out} {error}");
                assert!(success, "{told}");
                let (body, end) = out.rsplit_once('\n').expect(&told);
                assert_eq!(end, format!("{status} {version}"), "{told}");
                let problem: Value = serde_json::from_str(body).expect(&told);
                assert_eq!(problem["status"], status, "{told}");
            }
        }
    }
    assert_nothing_smuggled(&stage);
}

/// The standard library of Python: it sends all of a body, and fails where that fails.
const PYTHON: &str = r#"
import http.client, json, ssl, sys
plain, tls, ca = sys.argv[1:4]
cases = json.loads(sys.argv[4])
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
for size, path, origin, status in cases:
    body = (b"GET /w/w/session/smuggled HTTP/1.1\r\nHost: chat.example\r\n\r\n" * (size // 50))[:size]
    for secure in (False, True):
        for chunked in (False, True):
            host, port = (tls if secure else plain).rsplit(":", 1)
            if secure:
                connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=context)
            else:
                connection = http.client.HTTPConnection(host, int(port), timeout=30)
            pieces = (body[at:at + 50000] for at in range(0, size, 50000)) if chunked else body
            told = (size, path, secure, chunked)
            try:
                fields = {"Origin": origin, "Host": "chat.example"}
                connection.request("POST", path, pieces, fields, encode_chunked=chunked)
                answer = connection.getresponse()
                problem = json.loads(answer.read())
                assert answer.status == problem["status"] == status, answer.status
            except Exception as error:
                print(told, repr(error))
            connection.close()
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_the_answer_to_a_refused_body() {
    let stage = Stage::start(echo).await;
    let all =
        SIZES.iter().flat_map(|size| REFUSED.map(|(path, origin, status)| (size, path, origin, status)));
    let cases = serde_json::to_string(&all.collect::<Vec<_>>()).unwrap();
    let ca = stage.tls.ca().display().to_string();
    let args = ["-I", "-c", PYTHON, &stage.edge.http.to_string(), &stage.tls.addr.to_string(), &ca, &cases];
    let (success, out, error) = run("python3", args.map(str::to_owned).into()).await;
    assert!(success && out.is_empty(), "{out}\n{error}");
    assert_nothing_smuggled(&stage);
}

//! A real Chromium without a window, driven through chromedriver.
//!
//! Every wait polls with a deadline, and what it waited for is in the error.

#![allow(dead_code, reason = "each test uses what it needs")]
#![expect(clippy::disallowed_methods, reason = "ending a process in `drop` waits for it on this thread")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;
use thirtyfour::{By, ChromiumLikeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};

const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(40);

/// Switch that hides the window; left out where [`HEADFUL`] is set.
const HEADLESS: &str = "--headless=new";

/// Variable that shows the browser's window, for watching a test.
const HEADFUL: &str = "EMBEDGATE_TEST_HEADFUL";

/// Switches that keep the browser quiet: it asks for nothing but the test's own pages.
const SWITCHES: [&str; 8] = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Chromium then ends by itself when chromedriver is gone, even where this process was killed and dropped nothing.
    "--remote-debugging-pipe",
];

/// What differs between tests.
pub struct BrowserOptions {
    /// Chromedriver's port; 0 lets it pick a free one.
    pub port: u16,
    /// Rules of `--host-resolver-rules`, such as `MAP * 127.0.0.1:8443`; by default, loopback alone can be reached. The
    /// switches don't keep it from asking for its start page, for updates and for the time.
    pub resolver_rules: Vec<String>,
    /// More switches, such as `--use-fake-device-for-media-stream`.
    pub extra_args: Vec<String>,
    /// Width and height of the viewport in CSS pixels.
    pub viewport: (u32, u32),
}

impl Default for BrowserOptions {
    fn default() -> Self {
        let rules = ["MAP * ~NOTFOUND", "EXCLUDE localhost", "EXCLUDE *.localhost", "EXCLUDE 127.0.0.1"];
        let resolver_rules = rules.map(str::to_owned).into();
        Self { port: 0, resolver_rules, extra_args: Vec::new(), viewport: (1200, 800) }
    }
}

/// One browser with one tab and a profile of its own. It has ended when the drop returns.
pub struct Browser {
    driver: WebDriver,
    console: Mutex<Vec<String>>,
    chromedriver: Process,
    chromium: u64,
    // The last field: it is removed last.
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver and Chromium.
    pub async fn start(options: BrowserOptions) -> Result<Browser> {
        let profile = tempfile::Builder::new().prefix("embedgate-browser-").tempdir()?;
        let (chromedriver, port) = Process::start(options.port, profile.path())?;
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(CHROMIUM)?;
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().join("profile").display()))?;
        capabilities.add_arg(&format!("--host-resolver-rules={}", options.resolver_rules.join(",")))?;
        let is_headful = std::env::var_os(HEADFUL).is_some_and(|value| value == "1");
        let window = (!is_headful).then_some(HEADLESS);
        let switches = window.into_iter().chain(SWITCHES);
        for switch in switches.chain(options.extra_args.iter().map(String::as_str)) {
            capabilities.add_arg(switch)?;
        }
        let address = format!("http://127.0.0.1:{port}");
        let driver = WebDriver::builder(address, capabilities)
            .request_timeout(START)
            .await
            .with_context(|| format!("{CHROMEDRIVER} could not start {CHROMIUM}"))?;
        let chromium = driver.capabilities().get("goog:processID").and_then(Value::as_u64);
        let chromium = chromium.context("chromedriver did not name Chromium's process")?;
        let browser =
            Browser { driver, console: Mutex::default(), chromedriver, chromium, _profile: profile };
        browser.resize(options.viewport).await?;
        Ok(browser)
    }

    /// Everything else that WebDriver can do.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Sets the viewport, in CSS pixels. A window is never narrower than some 500: the page is told otherwise.
    pub async fn resize(&self, (width, height): (u32, u32)) -> Result<()> {
        let metrics =
            serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Opens a page and waits for its `load` event.
    pub async fn goto(&self, url: &str) -> Result<()> {
        self.driver.goto(url).await.with_context(|| format!("open {url}"))
    }

    /// The rendered text of the first element that matches, in the document or frame that was entered.
    pub async fn text(&self, css: &str) -> Result<String> {
        let element = self.driver.find(By::Css(css)).await.with_context(|| format!("find {css}"))?;
        element.text().await.with_context(|| format!("text of {css}"))
    }

    /// Waits until an element matches.
    pub async fn wait_for(&self, css: &str, within: Duration) -> Result<()> {
        let selector = serde_json::to_string(css)?;
        self.wait_until(&format!("document.querySelector({selector}) !== null"), within).await
    }

    /// Waits until a JavaScript expression is true. It may be a promise.
    pub async fn wait_until(&self, expression: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let found = self.eval(expression).await;
            if matches!(found, Ok(Value::Bool(true))) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let console = self.console().await.unwrap_or_default();
                bail!("not within {within:?}: {expression}; last: {found:?}; console: {console:#?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The value of a JavaScript expression, awaited where it is a promise.
    pub async fn eval(&self, expression: &str) -> Result<Value> {
        let value = self.driver.execute(format!("return ({expression});"), Vec::new()).await;
        Ok(value.with_context(|| format!("evaluate {expression}"))?.json().clone())
    }

    /// Enters the iframe that a JavaScript expression gives, also out of a shadow root. What follows happens inside.
    pub async fn enter_frame(&self, expression: &str) -> Result<()> {
        let value = self.driver.execute(format!("return ({expression});"), Vec::new()).await;
        let frame = value.with_context(|| format!("evaluate {expression}"))?.element()?;
        frame.enter_frame().await.with_context(|| format!("enter {expression}"))
    }

    /// Back to the page itself.
    pub async fn leave_frames(&self) -> Result<()> {
        Ok(self.driver.enter_default_frame().await?)
    }

    /// The console since the start, one `LEVEL message` a line: the pages' own lines and the browser's, such as a
    /// violated CSP.
    pub async fn console(&self) -> Result<Vec<String>> {
        let fresh = self.driver.browser_log().await.context("read the console")?;
        let mut console = self.console.lock().map_err(|_| anyhow!("a reader of the console has panicked"))?;
        console.extend(fresh.into_iter().map(|entry| format!("{} {}", entry.level, entry.message)));
        Ok(console.clone())
    }

    /// Waits until a line of the console contains `text`, and gives the line.
    pub async fn wait_for_console(&self, text: &str, within: Duration) -> Result<String> {
        let deadline = Instant::now() + within;
        loop {
            let console = self.console().await?;
            if let Some(line) = console.iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            if Instant::now() >= deadline {
                bail!("no {text:?} in the console within {within:?}: {console:#?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes the viewport as PNG.
    pub async fn screenshot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.driver.screenshot(path).await.with_context(|| format!("screenshot to {}", path.display()))
    }

    /// One call of the Chrome DevTools Protocol.
    pub async fn devtools(&self, method: &str, params: Value) -> Result<Value> {
        self.driver.cdp().send_raw(method, params).await.with_context(|| format!("devtools {method}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to quit, chromedriver would wait half a minute for a Chromium on a pipe; without it Chromium goes at
        // once.
        let _ = self.driver.clone().leak();
        self.chromedriver.end();
        let deadline = Instant::now() + END;
        // A process that has ended and that nobody has waited for has no command line.
        let command_line = format!("/proc/{}/cmdline", self.chromium);
        while std::fs::read(&command_line).is_ok_and(|line| !line.is_empty()) {
            if Instant::now() >= deadline {
                let _ = Command::new("kill").args(["-KILL", &self.chromium.to_string()]).status();
                break;
            }
            std::thread::sleep(POLL / 4);
        }
    }
}

/// The chromedriver process.
struct Process(Child);

impl Process {
    /// Starts it and waits for the line that names its port.
    fn start(port: u16, folder: &Path) -> Result<(Process, u16)> {
        let child = Command::new(CHROMEDRIVER)
            .arg(format!("--port={port}"))
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                format!("start {CHROMEDRIVER}: Debian's packages are chromium and chromium-driver")
            })?;
        let mut process = Process(child);
        let output = process.0.stdout.take().context("chromedriver without an output")?;
        let (found, port) = mpsc::channel();
        // To the end of the output: a full pipe would stop chromedriver.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let number = line
                    .split_once("started successfully on port ")
                    .map(|(_, rest)| rest.trim_end_matches('.'));
                if let Some(Ok(number)) = number.map(str::parse::<u16>) {
                    let _ = found.send(number);
                }
            }
        });
        let port = port.recv_timeout(START).context("chromedriver named no port")?;
        Ok((process, port))
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

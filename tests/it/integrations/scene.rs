//! What is played with every product: a conversation, a stranger, a save in the middle of an answer, a restart.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::{Key, TypingData};

use super::SOON;
use super::product::Product;
use super::recipe::{self, Recipe};
use crate::browser::screenshot;
use crate::browser::stage::{SITE, Stage};
use crate::support::browser::Browser;
use crate::support::eventually;

/// Time that a save may take until what it denies has ended.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Time in which an answer would have come.
const A_WHILE: Duration = Duration::from_secs(3);

/// Where a product's conversation is on the page, in JavaScript.
pub struct Shape {
    /// The name of its pictures.
    pub name: &'static str,
    /// The name of its package and of its app.
    pub product: &'static str,
    /// The guide's section.
    pub section: &'static str,
    /// The edge's name in that section.
    pub host: &'static str,
    /// Which of the section's tags the page has.
    pub tag: usize,
    /// Whether it is in an iframe.
    pub is_framed: bool,
    /// What opens it, where it has to be opened.
    pub launcher: Option<&'static str>,
    /// What a person types into.
    pub input: &'static str,
    /// The button that sends it. It can't be pressed while there is no connection.
    pub send: &'static str,
    /// What it is in: the document, or a shadow root.
    pub root: &'static str,
    /// All that there is to read.
    pub text: &'static str,
}

/// A product behind an edge, a page that embeds it, and a browser.
pub struct Scene {
    pub stage: Stage,
    pub browser: Browser,
    product: Option<Product>,
    shape: &'static Shape,
}

impl Scene {
    /// Starts it all as the guide says. [`SITE`] is listed.
    pub async fn set(shape: &'static Shape) -> Self {
        Self::of(shape, Recipe::of(shape.section)).await
    }

    /// The same with another configuration.
    pub async fn of(shape: &'static Shape, recipe: Recipe) -> Self {
        let product = Product::start(shape.product, |addr| recipe.command(addr)).await;
        let mut scene = Self::before(shape, recipe, product.addr).await;
        scene.product = Some(product);
        scene
    }

    /// The same in front of a server that runs already.
    pub async fn before(shape: &'static Shape, recipe: Recipe, server: SocketAddr) -> Self {
        let spec = recipe.edge(server, &recipe::widget());
        let stage = Stage::named(shape.host, spec, &["site.example", "stranger.example"]).await;
        let page = format!(
            "<!doctype html><meta charset=\"utf-8\"><title>site</title>\
             <style>iframe {{ width: 100%; height: 600px; border: 0 }}</style>\
             <body><h1></h1><script>document.querySelector('h1').textContent = location.hostname</script>{}",
            recipe.tags[shape.tag]
        );
        stage.sites.put("/page", &[], page);
        let browser = stage.browser().await;
        Self { stage, browser, product: None, shape }
    }

    /// A whole conversation on the listed site.
    pub async fn converse(&self) {
        self.open().await;
        self.talk("hello").await;
        self.talk("hello again").await;
        self.takes_input().await;
        self.picture("conversation").await;
        assert!(self.denied_sessions().is_empty(), "{:?}", self.denied_sessions());
        let unknown = self.stage.edge.metric("embedgate_requests_total{class=\"none\",status=\"404\"}").await;
        assert_eq!(unknown, 0.0, "every path has a route");
    }

    /// A page that isn't listed, or no longer: its owner reads in the console why there is nothing.
    pub async fn refuse_in_console(&self, site: &str) {
        self.browser.goto(&format!("{site}/page")).await.unwrap();
        self.browser.wait_for_console(&refusal(site), SOON).await.unwrap();
        self.picture(refused(site)).await;
    }

    /// The same, where the frame shows why.
    pub async fn refuse_in_frame(&self, site: &str) {
        self.browser.goto(&format!("{site}/page")).await.unwrap();
        self.enter_frame().await;
        self.read(&refusal(site)).await;
        self.picture(refused(site)).await;
    }

    /// The visitor sends a picture, and sees it in the conversation, where `image` finds it.
    pub async fn send_a_picture(&self, image: &str) {
        self.open().await;
        self.talk("hello").await;
        self.attach("docs/site.png").await;
        self.talk("a picture").await;
        let image = format!("({}).querySelector('{image}')", self.shape.root);
        self.browser.wait_until(&format!("{image}?.naturalWidth > 0"), SOON).await.unwrap();
        self.takes_input().await;
        self.picture("files").await;
        let source = self.browser.eval(&format!("new URL({image}.src).host")).await.unwrap();
        assert_eq!(source, self.shape.host);
    }

    /// A save takes the site away in the middle of an answer: no session is open a second later, nothing more comes,
    /// and a person reads `sign`.
    pub async fn end_by_a_save(&self, sign: &str) {
        self.open().await;
        self.talk("hello").await;
        let long: Vec<String> = (1..100).map(|number| number.to_string()).collect();
        self.say(&long.join(" ")).await;
        self.read("You said: 1 2 3 4 5").await;
        assert!(self.open_sessions().await >= 1.0, "a session is open");

        let begun = Instant::now();
        let mut document = recipe::widget();
        document["allowed_domains"] = json!(["other.example"]);
        self.stage.save(&document).await;
        eventually("its sessions have ended", async || self.open_sessions().await == 0.0).await;
        let took = begun.elapsed();
        assert!(took < AT_ONCE, "{took:?}");
        assert!(self.stage.edge.metric("embedgate_sessions_revoked_total").await >= 1.0);
        // What was on its way is shown by then.
        tokio::time::sleep(AT_ONCE).await;
        let answer = self.last_answer().await;
        self.say_in_vain("still there?").await;
        assert_eq!(self.last_answer().await, answer);
        self.read(sign).await;
        self.picture("ended").await;
        let denied = self.denied_sessions();
        assert!(denied.iter().all(|reason| reason == "not_listed"), "{denied:?}");
    }

    /// The product's server ends and starts again, and the conversation goes on without a reload.
    pub async fn outlive_a_restart(&mut self) {
        self.open().await;
        self.talk("hello").await;
        self.product.as_mut().unwrap().stop();
        eventually("its sessions have ended", async || self.open_sessions().await == 0.0).await;
        self.product.as_mut().unwrap().start_again().await;
        self.until_connected().await;
        self.talk("back again").await;
        self.takes_input().await;
        self.picture("restarted").await;
        assert!(self.denied_sessions().is_empty(), "{:?}", self.denied_sessions());
    }

    /// Opens the listed page and the conversation on it, as far as that comes.
    pub async fn open(&self) {
        self.browser.goto(&format!("{SITE}/page")).await.unwrap();
        if self.shape.is_framed {
            self.enter_frame().await;
        }
        if let Some(launcher) = self.shape.launcher {
            self.browser.wait_until(&format!("({launcher}) instanceof Element"), SOON).await.unwrap();
            self.browser.eval(&format!("({launcher}).click()")).await.unwrap();
        }
    }

    /// The frame's calls are denied, and whoever looks reads what to do: in the log, and in a call's answer.
    pub async fn lacks_a_ticket(&self, path: &str) {
        let denied = self.denied_sessions();
        assert!(!denied.is_empty() && denied.iter().all(|reason| reason == "ticket_missing"), "{denied:?}");
        let told =
            self.browser.eval(&format!("fetch('{path}').then((answer) => answer.text())")).await.unwrap();
        assert!(told.as_str().unwrap().contains("turn on tickets.cookie"), "{told}");
    }

    /// Types a message and sends it.
    pub async fn say(&self, text: &str) {
        self.takes_input().await;
        self.type_in(text).await;
        let can_send = format!("({})?.disabled === false", self.shape.send);
        self.browser.wait_until(&can_send, SOON).await.unwrap();
        self.type_in(Key::Enter).await;
    }

    /// Waits until there is this to read.
    pub async fn read(&self, text: &str) {
        let wanted = serde_json::to_string(text).unwrap();
        let is_there = format!("({}).includes({wanted})", self.shape.text);
        if let Err(error) = self.browser.wait_until(&is_there, SOON).await {
            let shown = self.browser.eval(self.shape.text).await;
            self.picture("failed").await;
            panic!("{error}; shown: {shown:?}; denied: {:?}", self.denied_sessions());
        }
    }

    /// The reasons of the sessions that were denied.
    pub fn denied_sessions(&self) -> Vec<Value> {
        let decisions = self.stage.edge.decisions().into_iter();
        let denied = decisions.filter(|one| one["class"] == "session" && one["verdict"] == "deny");
        denied.map(|one| one["reason"].clone()).collect()
    }

    /// A picture of what a person sees.
    pub async fn picture(&self, what: &str) {
        let path = screenshot(&format!("integrations/{}-{what}.png", self.shape.name));
        self.browser.screenshot(path).await.unwrap();
    }

    /// A message and its answer.
    pub async fn talk(&self, text: &str) {
        self.say(text).await;
        self.read(&format!("You said: {text}")).await;
    }

    /// Chooses a file to send.
    async fn attach(&self, path: &str) {
        self.takes_input().await;
        let chosen = std::fs::canonicalize(path).unwrap();
        let input = format!("return ({}).querySelector('input[type=file]');", self.shape.root);
        let input = self.browser.driver().execute(input, Vec::new()).await.unwrap().element().unwrap();
        input.send_keys(chosen.to_str().unwrap()).await.unwrap();
        let can_send = format!("({})?.disabled === false", self.shape.send);
        self.browser.wait_until(&can_send, SOON).await.unwrap();
    }

    /// Types a message, where a person still can, and waits for as long as an answer would take.
    async fn say_in_vain(&self, text: &str) {
        let can_type = format!("({})?.disabled === false", self.shape.input);
        if self.browser.eval(&can_type).await.unwrap() == true {
            self.type_in(text.to_owned() + Key::Enter).await;
        }
        tokio::time::sleep(A_WHILE).await;
    }

    async fn takes_input(&self) {
        let can_type = format!("({})?.disabled === false", self.shape.input);
        self.browser.wait_until(&can_type, SOON).await.unwrap();
    }

    async fn type_in(&self, keys: impl Into<TypingData>) {
        let input = self.browser.driver().execute(format!("return {};", self.shape.input), Vec::new()).await;
        input.unwrap().element().unwrap().send_keys(keys).await.unwrap();
    }

    /// The words of the last answer.
    async fn last_answer(&self) -> Vec<String> {
        let shown = self.browser.eval(self.shape.text).await.unwrap();
        let (_, answer) = shown.as_str().unwrap().rsplit_once("You said:").unwrap();
        answer
            .split_whitespace()
            .map_while(|word| word.parse::<u32>().ok())
            .map(|word| word.to_string())
            .collect()
    }

    async fn enter_frame(&self) {
        self.browser.wait_for("iframe", SOON).await.unwrap();
        self.browser.enter_frame("document.querySelector('iframe')").await.unwrap();
    }

    async fn until_connected(&self) {
        eventually("a session is open", async || self.open_sessions().await >= 1.0).await;
    }

    async fn open_sessions(&self) -> f64 {
        self.stage.edge.metric("embedgate_sessions_open").await
    }
}

/// What whoever looks reads of a page that isn't listed.
fn refusal(site: &str) -> String {
    format!("This widget may not be embedded on {site}.")
}

/// The name of its picture.
fn refused(site: &str) -> &'static str {
    if site == SITE { "removed" } else { "stranger" }
}

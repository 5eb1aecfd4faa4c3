//! Requests to the edge's surfaces, as the site's pages send them, as a stranger's do, and as the widget's iframe does.

use std::thread;

use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::Deployment;
use super::facts::SurfaceKind;
use super::fetch::{CheckClient, CheckRequest, FetchFault, FetchedAnswer};

mod headers;
mod points;
mod tickets;

pub(super) use points::points;

/// A site that no list admits.
const STRANGER: &str = "https://checklist-stranger.invalid";

/// What came of a request; `None`: it was not sent.
type Probed = Option<Result<FetchedAnswer, FetchFault>>;

/// Answers of one surface.
#[derive(Default)]
pub(super) struct AskedSurface {
    /// To the site.
    site: Probed,
    /// To a stranger.
    stranger: Probed,
}

/// Answers of the edge.
#[derive(Default)]
pub(super) struct AskedEdge {
    loader: AskedSurface,
    frame: AskedSurface,
    session: AskedSurface,
    websocket: AskedSurface,
    /// The frame of a page that does not say who it is.
    unnamed_frame: Probed,
    public: Vec<(Url, Result<FetchedAnswer, FetchFault>)>,
    tickets: Option<tickets::TicketWalk>,
}

/// How an answer treats the request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Treated {
    /// It was let through, and the upstream has answered.
    LetThrough(StatusCode),
    /// It was refused, with what the edge says of it.
    Refused(String),
    /// It was let through, and one too many.
    Limited,
    /// There is no answer, or one of a failure.
    Failed(String),
}

/// Kinds of requests that a page makes.
#[derive(Clone, Copy)]
enum Asking {
    Script,
    Frame,
    Call,
    WebSocket,
}

/// Asks everything, side by side.
pub(super) fn ask(client: &CheckClient, deployment: &Deployment) -> AskedEdge {
    let origin = deployment.origin();
    let (site, stranger) = (origin.as_deref(), Some(STRANGER));
    let surface = |kind| deployment.surface(kind);
    let (loader, frame, session) =
        (surface(SurfaceKind::Loader), surface(SurfaceKind::Frame), surface(SurfaceKind::Session));
    thread::scope(|scope| {
        let probe = |url: &Option<Url>, asking: Asking, origin: Option<&str>| {
            let request = Some((url.clone()?, origin?.to_owned()));
            request.map(|(url, origin)| scope.spawn(move || asked(client, &url, asking, Some(&origin))))
        };
        let both = |url: &Option<Url>, asking| [probe(url, asking, site), probe(url, asking, stranger)];
        let sent = [
            both(&loader, Asking::Script),
            both(&frame, Asking::Frame),
            both(&session, Asking::Call),
            both(&session, Asking::WebSocket),
        ];
        let unnamed = frame.clone().map(|url| scope.spawn(move || asked(client, &url, Asking::Frame, None)));
        let public = deployment.facts.surfaces_of(SurfaceKind::Public).filter_map(|surface| {
            let url = surface.url(&deployment.edge, &deployment.facts.widget)?;
            Some(scope.spawn(move || {
                let answer = client.ask(CheckRequest::get(&url));
                (url, answer)
            }))
        });
        let public: Vec<_> = public.collect();
        let walk = site.and_then(|site| tickets::TicketWalk::take(client, deployment, site));
        let [loader, frame, session, websocket] = sent.map(|[site, stranger]| AskedSurface {
            site: site.and_then(|site| site.join().ok()),
            stranger: stranger.and_then(|stranger| stranger.join().ok()),
        });
        AskedEdge {
            loader,
            frame,
            session,
            websocket,
            unnamed_frame: unnamed.and_then(|unnamed| unnamed.join().ok()),
            public: public.into_iter().filter_map(|public| public.join().ok()).collect(),
            tickets: walk,
        }
    })
}

/// One request of a page of this origin. It is no sighting, because it says that it prefetches.
fn asked(
    client: &CheckClient,
    url: &Url,
    asking: Asking,
    origin: Option<&str>,
) -> Result<FetchedAnswer, FetchFault> {
    let mut request = CheckRequest::get(url).with("sec-purpose", "prefetch");
    request = match (asking, origin) {
        (Asking::Frame, Some(origin)) => request.with("referer", format!("{origin}/")),
        (_, Some(origin)) => request.with("origin", origin),
        (_, None) => request,
    };
    request = match asking {
        // Not as a script: the refusal of one looks like a success.
        Asking::Script | Asking::Call => request,
        Asking::Frame => request.with("sec-fetch-dest", "iframe"),
        Asking::WebSocket => request
            .with("connection", "Upgrade")
            .with("upgrade", "websocket")
            .with("sec-websocket-version", "13")
            // Any 16 bytes.
            .with("sec-websocket-key", "ZW1iZWRnYXRlLWNoZWNrcw=="),
    };
    client.ask(request)
}

impl AskedEdge {
    /// The answer with the frame's document, to the site.
    pub(super) fn frame(&self) -> Option<&FetchedAnswer> {
        self.frame.site.as_ref()?.as_ref().ok()
    }

    /// The answer with the loader, to the site.
    pub(super) fn loader(&self) -> Option<&FetchedAnswer> {
        self.loader.site.as_ref()?.as_ref().ok()
    }

    /// Whether the edge serves the frame to pages that don't say who they are.
    pub(super) fn serves_unnamed(&self) -> bool {
        self.unnamed_frame.as_ref().is_some_and(|asked| matches!(Treated::of(asked), Treated::LetThrough(_)))
    }
}

impl Treated {
    fn of(asked: &Result<FetchedAnswer, FetchFault>) -> Self {
        let answer = match asked {
            Ok(answer) => answer,
            Err(fault) => return Self::Failed(fault.detail.clone()),
        };
        match answer.status {
            StatusCode::FORBIDDEN => Self::Refused(detail(answer)),
            StatusCode::TOO_MANY_REQUESTS => Self::Limited,
            status if status.is_server_error() => {
                Self::Failed(format!("the answer is {}: {}", status.as_u16(), detail(answer)))
            }
            status => Self::LetThrough(status),
        }
    }

    fn is_let_through(&self) -> bool {
        matches!(self, Self::LetThrough(_) | Self::Limited)
    }
}

/// What a problem document says, or the status.
fn detail(answer: &FetchedAnswer) -> String {
    let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let told = problem.and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    told.unwrap_or_else(|| answer.status.to_string())
}

//! The cache without a proxy around it: as any path to an upstream may use it.
#![allow(clippy::unwrap_used, clippy::panic)]

use http::HeaderMap;

use super::fixtures::{admission, request};
use super::*;
use crate::edge::admission::terms::Admission;
use crate::edge::http::message::ResponseHead;

const WHOLE: [(&str, &str); 2] = [("cache-control", "max-age=60"), ("content-length", "4")];

fn cache(bytes: u64) -> AssetCache {
    AssetCache::new(bytes, Arc::new(Metrics::new().unwrap()))
}

fn big() -> AssetCache {
    cache(1 << 20)
}

/// A request with these fields, for this target.
struct Ask {
    request: RequestHead,
    admission: Admission,
}

impl Ask {
    fn of(method: &str, fields: &[(&'static str, &str)]) -> Self {
        Self { request: request(method, fields), admission: admission(Some("https://example.com")) }
    }

    fn plain() -> Self {
        Self::of("GET", &[])
    }

    fn target(mut self, target: &str) -> Self {
        self.request.uri = target.parse().unwrap();
        self
    }

    /// As its head says it.
    fn length(&self) -> BodyLength {
        let fields = &self.request.fields;
        let stated = fields.text("content-length").map(|length| length.parse().unwrap());
        match stated {
            Some(length) => BodyLength::Known(length),
            None if fields.text("transfer-encoding").is_some() => BodyLength::Unknown,
            None => BodyLength::Absent,
        }
    }

    fn asked(&self) -> AssetRequest<'_> {
        AssetRequest {
            request: &self.request,
            shared: &self.admission.shared,
            embedder: self.admission.own.verified(),
            upstream: "app",
            https: false,
            length: self.length(),
        }
    }

    /// Looks up, and must not have to wait.
    async fn look_up(&self, cache: &AssetCache) -> CacheLookup {
        tokio::time::timeout(std::time::Duration::from_millis(100), cache.look_up(&self.asked()))
            .await
            .unwrap()
    }

    async fn miss(&self, cache: &AssetCache) -> Box<CacheFill> {
        match self.look_up(cache).await {
            CacheLookup::Miss(filling) => filling,
            other => panic!("{other:?}"),
        }
    }

    /// What is in memory for it.
    async fn found(&self, cache: &AssetCache) -> Option<String> {
        match self.look_up(cache).await {
            CacheLookup::Hit(hit) => {
                Some(String::from_utf8(hit.answer(&self.request, &self.admission).1.to_vec()).unwrap())
            }
            _ => None,
        }
    }

    /// Goes to the upstream, which says this.
    async fn fill(&self, cache: &AssetCache, fields: &[(&'static str, &str)], body: &str) {
        let mut filling = self.miss(cache).await;
        assert!(filling.head(&ResponseHead::of(200, fields), &self.asked()).is_none());
        filling.piece(body.as_bytes());
        filling.end();
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_answer_is_kept() {
    let (cache, ask) = (big(), Ask::plain());
    ask.fill(&cache, &WHOLE, "body").await;
    assert_eq!(ask.found(&cache).await.as_deref(), Some("body"));
    assert_eq!(Ask::of("HEAD", &[]).found(&cache).await.as_deref(), Some(""));
    let other = Ask::plain().target("/w/w/assets/a.js?v=2");
    assert_eq!(other.found(&cache).await, None, "another query is another resource");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_whole_is_not() {
    for (fields, pieces, ended) in [
        (&WHOLE[..], &["bo"][..], false),
        (&WHOLE, &["bo"], true),
        (&WHOLE, &["body", "and more"], true),
        (&[("cache-control", "max-age=60"), ("content-length", "four")], &["body"], true),
        // The end of the connection is the end of the body, and looks like a connection that broke.
        (&[("cache-control", "max-age=60")], &["body"], true),
        (&[("cache-control", "max-age=60"), ("transfer-encoding", "chunked")], &["body"], false),
    ] {
        let (cache, ask) = (big(), Ask::plain());
        let mut filling = ask.miss(&cache).await;
        filling.head(&ResponseHead::of(200, fields), &ask.asked());
        for piece in pieces {
            filling.piece(piece.as_bytes());
        }
        if ended {
            filling.end();
        }
        drop(filling);
        assert_eq!(ask.found(&cache).await, None, "{fields:?} {pieces:?}");
    }
    let (cache, ask) = (big(), Ask::plain());
    ask.fill(&cache, &[("cache-control", "max-age=60"), ("transfer-encoding", "chunked")], "body").await;
    assert_eq!(ask.found(&cache).await.as_deref(), Some("body"));
}

#[tokio::test(start_paused = true)]
async fn a_purge_drops_what_is_there_and_what_is_coming() {
    let (cache, ask) = (big(), Ask::plain());
    let other = Ask::plain().target("/w/w/assets/other.js");
    ask.fill(&cache, &WHOLE, "body").await;
    let mut late = other.miss(&cache).await;
    late.head(&ResponseHead::of(200, &WHOLE), &other.asked());
    assert_eq!(cache.purge("other"), 0);
    assert_eq!(cache.purge("w"), 1);
    // The widget goes on.
    let third = Ask::plain().target("/w/w/assets/third.js");
    let _new = third.miss(&cache).await;
    late.piece(b"body");
    late.end();
    drop(late);
    assert_eq!(ask.found(&cache).await, None);
    assert_eq!(other.found(&cache).await, None, "it was asked for before the purge");
    other.fill(&cache, &WHOLE, "anew").await;
    assert_eq!(other.found(&cache).await.as_deref(), Some("anew"));
}

/// Also one that nobody waits for: after a personal answer, each request fetches for itself.
#[tokio::test(start_paused = true)]
async fn a_purge_finds_every_fetch() {
    let (cache, ask) = (big(), Ask::plain());
    ask.fill(&cache, &[("cache-control", "private"), ("content-length", "4")], "mine").await;
    let mut one = ask.miss(&cache).await;
    let two = ask.miss(&cache).await;
    drop(two);
    one.head(&ResponseHead::of(200, &WHOLE), &ask.asked());
    cache.purge("w");
    let _new = Ask::plain().target("/w/w/assets/other.js").miss(&cache).await;
    one.piece(b"body");
    one.end();
    drop(one);
    assert_eq!(ask.found(&cache).await, None);
}

/// An upstream may change its mind, and then the next answer is kept; but not across a purge, of whatever widget.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_personal_may_be_kept_later() {
    let (cache, ask) = (big(), Ask::plain());
    ask.fill(&cache, &[("cache-control", "private"), ("content-length", "4")], "mine").await;
    let mut filling = ask.miss(&cache).await;
    cache.purge("another");
    filling.head(&ResponseHead::of(200, &WHOLE), &ask.asked());
    filling.piece(b"body");
    filling.end();
    assert_eq!(ask.found(&cache).await, None);
    ask.fill(&cache, &WHOLE, "ours").await;
    assert_eq!(ask.found(&cache).await.as_deref(), Some("ours"));
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_get_what_one_fetched() {
    let (cache, ask) = (big(), Ask::plain());
    let mut filling = ask.miss(&cache).await;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move {
                let ask = Ask::plain();
                match cache.look_up(&ask.asked()).await {
                    CacheLookup::Hit(hit) => hit.answer(&ask.request, &ask.admission).1,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    filling.head(&ResponseHead::of(200, &WHOLE), &ask.asked());
    filling.piece(b"body");
    filling.end();
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), "body");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_in_vain_go_by_themselves_and_all_at_once() {
    for fields in [&[("cache-control", "private")][..], &[("cache-control", "max-age=60"), ("vary", "*")]] {
        let (cache, ask) = (big(), Ask::plain());
        let mut filling = ask.miss(&cache).await;
        let waiting: Vec<_> = (0..20)
            .map(|_| {
                let cache = cache.clone();
                tokio::spawn(async move { Ask::plain().miss_after_waiting(&cache).await })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        // The head alone says it; the body may take as long as it likes.
        filling.head(&ResponseHead::of(200, fields), &ask.asked());
        let mut held = Vec::new();
        for filling in waiting {
            held.push(
                tokio::time::timeout(std::time::Duration::from_secs(1), filling).await.unwrap().unwrap(),
            );
        }
        drop(held);
        // And nobody has to wait for the next one at all.
        let _next = ask.miss(&cache).await;
        ask.miss(&cache).await;
    }
}

impl Ask {
    async fn miss_after_waiting(&self, cache: &AssetCache) -> Box<CacheFill> {
        match cache.look_up(&self.asked()).await {
            CacheLookup::Miss(filling) => filling,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_lets_the_others_go() {
    let (cache, ask) = (big(), Ask::plain());
    let filling = ask.miss(&cache).await;
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { Ask::plain().miss_after_waiting(&cache).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    drop(filling);
    tokio::time::timeout(std::time::Duration::from_secs(1), waiting).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_way_of_vary_has_its_own() {
    let cache = big();
    let fields = [("cache-control", "max-age=60"), ("content-length", "4"), ("vary", "Accept-Encoding")];
    for (coding, body) in [("gzip", "gzip"), ("br", "brot")] {
        Ask::of("GET", &[("accept-encoding", coding)]).fill(&cache, &fields, body).await;
    }
    for (coding, body) in [("gzip", Some("gzip")), ("br", Some("brot")), ("zstd", None)] {
        let ask = Ask::of("GET", &[("accept-encoding", coding)]);
        assert_eq!(ask.found(&cache).await.as_deref(), body, "{coding}");
    }
    assert_eq!(cache.purge("w"), 1, "both are answers for one key");
    for coding in ["gzip", "br"] {
        assert_eq!(Ask::of("GET", &[("accept-encoding", coding)]).found(&cache).await, None, "{coding}");
    }
}

#[tokio::test(start_paused = true)]
async fn some_requests_are_not_for_caches() {
    let cache = big();
    Ask::plain().fill(&cache, &WHOLE, "body").await;
    for (method, fields) in [
        ("POST", &[][..]),
        ("GET", &[("if-match", "\"1\"")]),
        ("GET", &[("if-unmodified-since", "Mon, 23 Nov 2026 12:00:00 GMT")]),
        ("GET", &[("content-length", "4")]),
        ("GET", &[("transfer-encoding", "chunked")]),
        ("GET", &[("x-forwarded-host", "evil.example")]),
    ] {
        let lookup = Ask::of(method, fields).look_up(&cache).await;
        assert!(matches!(lookup, CacheLookup::Bypass), "{method} {fields:?}");
    }
    let other = |method, fields: &[(&'static str, &str)]| Ask::of(method, fields).target("/w/w/assets/b.js");
    for ask in [other("HEAD", &[]), other("GET", &[("range", "bytes=0-1")])] {
        assert!(matches!(ask.look_up(&cache).await, CacheLookup::Bypass), "nothing whole would come of it");
    }
    assert!(matches!(
        Ask::plain().look_up(&AssetCache::new(0, Arc::new(Metrics::new().unwrap()))).await,
        CacheLookup::Bypass
    ));
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let cache = AssetCache::new(1 << 20, Arc::clone(&metrics));
    let body = "x".repeat(10_000);
    let fields = [("cache-control", "max-age=60"), ("content-length", "10000")];
    for n in 0..300 {
        Ask::plain().target(&format!("/w/w/assets/{n}")).fill(&cache, &fields, &body).await;
        assert!(metrics.cache_bytes.get() <= 1 << 20, "{}", metrics.cache_bytes.get());
    }
    assert!(metrics.cache_entries.get() > 50, "{}", metrics.cache_entries.get());
    let entries = usize::try_from(metrics.cache_entries.get()).unwrap();
    assert_eq!(cache.purge("w"), entries, "the index knows each, and none that had to go");
    assert_eq!((metrics.cache_bytes.get(), metrics.cache_entries.get()), (0, 0));

    let large = "x".repeat(40_000);
    let (announced, chunked) = (
        [("cache-control", "max-age=60"), ("content-length", "40000")],
        [("cache-control", "max-age=60"), ("transfer-encoding", "chunked")],
    );
    for fields in [announced, chunked] {
        let ask = Ask::plain();
        ask.fill(&cache, &fields, &large).await;
        assert_eq!(ask.found(&cache).await, None, "larger than a thirty-second part");
        cache.purge("w");
    }
}

/// What arrives is bounded, too, and given back.
#[tokio::test(start_paused = true)]
async fn bodies_that_never_end_take_their_part_only() {
    let cache = big();
    let fields = [("cache-control", "max-age=60"), ("transfer-encoding", "chunked")];
    let asks: Vec<Ask> = (0..10).map(|n| Ask::plain().target(&format!("/w/w/assets/{n}"))).collect();
    let mut open = Vec::new();
    for ask in &asks {
        let mut filling = ask.miss(&cache).await;
        filling.head(&ResponseHead::of(200, &fields), &ask.asked());
        filling.piece(&[b'x'; 30_000]);
        open.push(filling);
    }
    for filling in &mut open {
        filling.end();
    }
    drop(open);
    let mut kept = 0;
    for ask in &asks {
        kept += usize::from(ask.found(&cache).await.is_some());
    }
    assert_eq!(kept, 4, "an eighth of the memory is for what arrives");
    let ask = Ask::plain().target("/w/w/assets/later");
    ask.fill(&cache, &fields, "body").await;
    assert!(ask.found(&cache).await.is_some(), "all of it is free again");
}

#[tokio::test(start_paused = true)]
async fn what_went_stale_is_validated() {
    let (cache, ask) = (big(), Ask::of("GET", &[("range", "bytes=0-1"), ("if-none-match", "\"mine\"")]));
    let fields = [
        ("cache-control", "max-age=1"),
        ("content-length", "4"),
        ("etag", "\"v1\""),
        ("last-modified", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ("x-version", "1"),
    ];
    Ask::plain().fill(&cache, &fields, "body").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;

    let mut filling = ask.miss(&cache).await;
    let mut sent = ask.request.clone();
    filling.add_validators(&mut sent);
    assert_eq!(sent.fields.text("if-none-match").unwrap(), "\"v1\"");
    assert_eq!(sent.fields.text("if-modified-since").unwrap(), "Mon, 23 Nov 2026 12:00:00 GMT");
    assert!(sent.fields.text("range").is_none(), "the upstream answers the cache");
    let not_modified =
        ResponseHead::of(304, &[("cache-control", "max-age=60"), ("etag", "\"v1\""), ("x-version", "2")]);
    let hit = filling.head(&not_modified, &ask.asked()).unwrap();
    filling.restore_conditions(&mut sent);
    assert_eq!(HeaderMap::from(sent.fields.clone()), ask.request.fields.clone().into());
    let (head, body) = hit.answer(&sent, &ask.admission);
    assert_eq!((head.status.as_u16(), &body[..]), (206, &b"bo"[..]), "the cache answers the browser");
    drop(filling);

    let CacheLookup::Hit(hit) = Ask::plain().look_up(&cache).await else { panic!("it is fresh again") };
    let (head, body) = hit.answer(&Ask::plain().request, &ask.admission);
    assert_eq!((&body[..], head.fields.text("x-version")), (&b"body"[..], Some("2")));
    assert_eq!(head.fields.text("cache-control").unwrap(), "private, max-age=60");
    assert_eq!(cache.purge("w"), 1, "a purge still knows it");
    assert_eq!(Ask::plain().found(&cache).await, None);
}

/// RFC 9111 §4.3.4: or a browser would keep the old body under the new tag.
#[tokio::test(start_paused = true)]
async fn a_304_about_another_answer_says_nothing_of_the_old_one() {
    let (cache, ask) = (big(), Ask::plain());
    let fields = [("cache-control", "max-age=1"), ("content-length", "4"), ("etag", "\"v1\"")];
    ask.fill(&cache, &fields, "body").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut filling = ask.miss(&cache).await;
    let other =
        ResponseHead::of(304, &[("cache-control", "max-age=60"), ("etag", "\"v2\""), ("x-version", "2")]);
    let hit = filling.head(&other, &ask.asked()).unwrap();
    let (head, body) = hit.answer(&ask.request, &ask.admission);
    let field = |name| head.fields.text(name);
    assert_eq!((head.status.as_u16(), &body[..]), (200, &b"body"[..]));
    assert_eq!((field("etag"), field("x-version")), (Some("\"v1\""), None));
    assert_eq!((field("cache-control"), field("age")), (Some("private, max-age=1"), Some("1")));
    drop(filling);
    assert_eq!(ask.found(&cache).await, None, "and it goes");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_longer_everybodys_goes() {
    let fields = [("cache-control", "max-age=1"), ("content-length", "4"), ("etag", "\"v1\"")];
    for (status, next) in [
        (200, &[("cache-control", "private"), ("content-length", "4")][..]),
        (304, &[("cache-control", "private")]),
        (304, &[("cache-control", "max-age=60"), ("set-cookie", "a=b")]),
        (304, &[("cache-control", "max-age=60"), ("etag", "\"v2\"")]),
        (404, &[("content-length", "4")]),
    ] {
        let (cache, ask) = (big(), Ask::plain());
        ask.fill(&cache, &fields, "body").await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let mut filling = ask.miss(&cache).await;
        let hit = filling.head(&ResponseHead::of(status, next), &ask.asked());
        assert_eq!(hit.is_some(), status == 304);
        filling.piece(b"mine");
        filling.end();
        drop(filling);
        let mut filling = ask.miss(&cache).await;
        let mut sent = ask.request.clone();
        filling.add_validators(&mut sent);
        assert!(
            sent.fields.text("if-none-match").is_none(),
            "{status} {next:?}: nothing is left to validate"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn stale_is_better_than_an_error() {
    let fields = [("cache-control", "max-age=1, stale-if-error=60"), ("content-length", "4")];
    let strict =
        [("cache-control", "max-age=1, stale-if-error=60, must-revalidate"), ("content-length", "4")];
    for (fields, stands_in) in [(&fields, true), (&strict, false), (&WHOLE, false)] {
        let (cache, ask) = (big(), Ask::plain());
        if fields[0].1 == WHOLE[0].1 {
            // Nothing in memory.
            assert!(ask.miss(&cache).await.stand_in().is_none());
            continue;
        }
        ask.fill(&cache, fields, "body").await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let mut failed = ask.miss(&cache).await;
        assert_eq!(failed.stand_in().is_some(), stands_in);
        drop(failed);
        // For a while, the upstream is left alone.
        assert_eq!(ask.found(&cache).await.is_some(), stands_in);
        if stands_in {
            continue;
        }
        let mut refused = ask.miss(&cache).await;
        assert!(refused.head(&ResponseHead::of(503, &[]), &ask.asked()).is_none());
    }
    let (cache, ask) = (big(), Ask::plain());
    ask.fill(&cache, &fields, "body").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let mut unwell = ask.miss(&cache).await;
    assert!(unwell.head(&ResponseHead::of(503, &[]), &ask.asked()).is_some());
    let mut next = Ask::plain();
    next.admission = admission(None);
    assert_eq!(next.found(&cache).await.as_deref(), Some("body"));
}

#[tokio::test(start_paused = true)]
async fn stale_while_somebody_validates() {
    let (cache, ask) = (big(), Ask::plain());
    let fields = [("cache-control", "max-age=1, stale-while-revalidate=60"), ("content-length", "4")];
    ask.fill(&cache, &fields, "body").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let one = ask.miss(&cache).await;
    assert_eq!(ask.found(&cache).await.as_deref(), Some("body"));
    drop(one);
    ask.miss(&cache).await;
}

#[tokio::test(start_paused = true)]
async fn authorization_waits_for_nobody() {
    let (cache, ask) = (big(), Ask::of("GET", &[("authorization", "Bearer x")]));
    let _one = Ask::plain().miss(&cache).await;
    ask.fill(&cache, &WHOLE, "mine").await;
    assert_eq!(Ask::of("GET", &[("authorization", "Bearer y")]).found(&cache).await, None, "RFC 9111 §3.5");
}

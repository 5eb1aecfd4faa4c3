#![allow(clippy::unwrap_used)]

use http::header::HeaderValue;

use super::*;

/// Seconds: for how long fresh, of what age, stale while revalidated, stale if error.
type Kept = Option<(u64, u64, u64, u64)>;

const NOW: &str = "2026-11-23T12:00:00Z";
const DATE: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

fn judged(status: u16, authorized: bool, fields: &[(&'static str, &'static str)]) -> Kept {
    let headers = Fields::of(fields);
    let status = StatusCode::from_u16(status).unwrap();
    let (delay, at) = (Duration::ZERO, NOW.parse().unwrap());
    let kept = freshness(&UpstreamAnswer { status, headers: &headers, authorized, delay, at })?;
    let Freshness { age, fresh_for, stale_while_revalidate, stale_if_error } = kept;
    Some((fresh_for.as_secs(), age.as_secs(), stale_while_revalidate.as_secs(), stale_if_error.as_secs()))
}

fn fresh(seconds: u64) -> Kept {
    Some((seconds, 0, 0, 0))
}

/// What `Cache-Control` and its kin allow; the first column is the section of RFC 9111, where there is no other.
#[test]
fn an_answer_is_kept_as_its_fields_say() {
    for (section, fields, expected) in [
        ("3", &[][..], None),
        ("3", &[("cache-control", "public")], None),
        ("3", &[("cache-control", "max-age=60")], fresh(60)),
        ("3", &[("cache-control", "public, max-age=60, immutable")], fresh(60)),
        ("3", &[("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")], None),
        ("3.5", &[("cache-control", "max-age=60"), ("set-cookie", "a=b")], None),
        ("4.2", &[("cache-control", "max-age=0")], None),
        ("4.2.1", &[("cache-control", "max-age=60, s-maxage=30")], fresh(30)),
        ("4.2.1", &[("cache-control", "S-MaxAge=\"30\"")], fresh(30)),
        ("4.2.1", &[("cache-control", "max-age=soon")], None),
        ("4.2.1", &[("cache-control", "max-age")], None),
        ("4.2.1", &[("cache-control", "max-age=60, s-maxage=soon")], None),
        ("4.2.1", &[("cache-control", "max-age=-1")], None),
        ("1.2.2", &[("cache-control", "max-age=99999999999999")], fresh(i32::MAX as u64)),
        ("5.2.2.4", &[("cache-control", "no-cache, max-age=60")], None),
        ("5.2.2.4", &[("cache-control", "no-cache=\"a, b\", max-age=60")], None),
        ("5.2.2.5", &[("cache-control", "no-store, max-age=60")], None),
        ("5.2.2.5", &[("cache-control", "max-age=60"), ("cache-control", "No-Store")], None),
        ("5.2.2.7", &[("cache-control", "private, max-age=60")], None),
        ("5.2.2.7", &[("cache-control", "Private, max-age=60")], None),
        ("5.2.2.7", &[("cache-control", "private=\"x, y\", max-age=60")], None),
        ("5.2.3", &[("cache-control", "max-age=60, community=\"UCI, no-store\"")], fresh(60)),
        ("5.3", &[("date", DATE), ("expires", "Mon, 23 Nov 2026 12:01:00 GMT")], fresh(60)),
        ("5.3", &[("expires", "Mon, 23 Nov 2026 12:01:00 GMT")], fresh(60)),
        ("5.3", &[("date", DATE), ("expires", "Monday, 23-Nov-26 12:01:00 GMT")], fresh(60)),
        ("5.3", &[("expires", "0")], None),
        ("5.3", &[("expires", DATE)], None),
        ("5.3", &[("expires", DATE), ("expires", "Mon, 23 Nov 2026 12:01:00 GMT")], None),
        ("5.3", &[("cache-control", "max-age=10"), ("expires", "Mon, 23 Nov 2026 12:01:00 GMT")], fresh(10)),
        ("5.1", &[("cache-control", "max-age=60"), ("age", "20")], Some((40, 20, 0, 0))),
        ("5.1", &[("cache-control", "max-age=60"), ("age", "60")], None),
        ("5.1", &[("cache-control", "max-age=60"), ("age", "20, 5")], Some((40, 20, 0, 0))),
        ("5.1", &[("cache-control", "max-age=60"), ("age", "old")], fresh(60)),
        (
            "4.2.3",
            &[("cache-control", "max-age=60"), ("date", "Mon, 23 Nov 2026 11:59:30 GMT")],
            Some((30, 30, 0, 0)),
        ),
        (
            "4.2.3",
            &[("cache-control", "max-age=60"), ("date", "Mon, 23 Nov 2026 11:59:50 GMT"), ("age", "30")],
            Some((30, 30, 0, 0)),
        ),
        ("4.2.3", &[("cache-control", "max-age=60"), ("date", "Mon, 23 Nov 2026 13:00:00 GMT")], fresh(60)),
        (
            "RFC 5861",
            &[("cache-control", "max-age=60, stale-while-revalidate=5, stale-if-error=7")],
            Some((60, 0, 5, 7)),
        ),
        ("4.2.4", &[("cache-control", "max-age=60, must-revalidate, stale-if-error=7")], fresh(60)),
        ("4.2.4", &[("cache-control", "max-age=60, proxy-revalidate, stale-if-error=7")], fresh(60)),
        ("5.2.2.10", &[("cache-control", "s-maxage=60, stale-if-error=7")], fresh(60)),
    ] {
        assert_eq!(judged(200, false, fields), expected, "{section}: {fields:?}");
    }
}

/// RFC 9213: the field meant for this kind of cache wins, where it is valid.
#[test]
fn the_targeted_field_wins() {
    for (section, targeted, untargeted, expected) in [
        ("2.2", "max-age=60", "no-store", fresh(60)),
        ("2.2", "no-store", "max-age=60", None),
        ("2.2", "private", "max-age=60", None),
        ("2.2", "no-cache", "max-age=60", None),
        ("2.2", "max-age=60, stale-if-error=7", "max-age=1", Some((60, 0, 0, 7))),
        ("2.2", "unheard-of", "max-age=60", None),
        ("2.1", "", "max-age=60", fresh(60)),
        ("2.1", "max-age=60,", "max-age=30", fresh(30)),
        ("2.1", "Max-Age=60", "max-age=30", fresh(30)),
        ("2.1", "max-age=60;x=1", "no-store", fresh(60)),
        ("2.1", "max-age=6.5, s-maxage=60", "no-store", fresh(60)),
        ("2.1", "max-age=?1, s-maxage=60", "no-store", fresh(60)),
        ("2.1", "max-age=60, no-store=?0", "no-store", fresh(60)),
        ("2.1", "max-age=(60), s-maxage=5", "no-store", fresh(5)),
    ] {
        let fields = [("cdn-cache-control", targeted), ("cache-control", untargeted)];
        assert_eq!(judged(200, false, &fields), expected, "{section}: {fields:?}");
    }
    let expires = ("expires", "Mon, 23 Nov 2026 12:01:00 GMT");
    assert_eq!(judged(200, false, &[("cdn-cache-control", "must-revalidate"), expires]), None, "nor Expires");
    let lines = [("cdn-cache-control", "max-age=60"), ("cdn-cache-control", "stale-if-error=7")];
    assert_eq!(judged(200, false, &lines), Some((60, 0, 0, 7)), "lines of one dictionary");
}

#[test]
fn only_answers_that_are_understood() {
    for status in [200, 203, 301, 302, 307, 308, 404, 410] {
        assert_eq!(judged(status, false, &[("cache-control", "max-age=60")]), fresh(60), "{status}");
    }
    for status in [201, 204, 206, 303, 304, 400, 401, 403, 412, 416, 429, 500, 502, 503] {
        assert_eq!(judged(status, false, &[("cache-control", "max-age=60")]), None, "{status}");
    }
}

/// §3.5
#[test]
fn an_answer_to_authorization_is_kept_where_it_says_so() {
    for (value, expected) in [
        ("max-age=60", None),
        ("public, max-age=60", fresh(60)),
        ("must-revalidate, max-age=60", fresh(60)),
        ("s-maxage=60", fresh(60)),
    ] {
        assert_eq!(judged(200, true, &[("cache-control", value)]), expected, "{value}");
    }
}

#[test]
fn the_time_on_the_way_counts() {
    let headers = Fields::of(&[("cache-control", "max-age=60"), ("age", "10")]);
    let (status, at) = (StatusCode::OK, NOW.parse().unwrap());
    let delay = Duration::from_secs(5);
    let kept =
        freshness(&UpstreamAnswer { status, headers: &headers, authorized: false, delay, at }).unwrap();
    assert_eq!((kept.age.as_secs(), kept.fresh_for.as_secs()), (15, 45));
}

proptest::proptest! {
    /// What is refused at a glance is what reading all of it would refuse.
    #[test]
    fn a_glance_sees_nothing_that_is_not_there(
        lines in proptest::collection::vec(
            r#"(no-store|No-Cache|private|max-age=60|private="a"|x="no-store"|a="b, private, c"|public|=|;|,| |"){0,4}"#,
            0..3,
        ),
        expires in proptest::bool::ANY,
        targeted in proptest::option::of("max-age=60|no-store|,"),
    ) {
        let mut headers = Fields::default();
        for line in &lines {
            // What is around a value is not part of it (RFC 9110 §5.5).
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line.trim()).unwrap());
        }
        if expires {
            headers.append(header::EXPIRES, HeaderValue::from_static("Mon, 23 Nov 2026 13:00:00 GMT"));
        }
        if let Some(targeted) = &targeted {
            headers.append(header::HeaderName::from_static("cdn-cache-control"), HeaderValue::from_str(targeted).unwrap());
        }
        let (status, delay, at) = (StatusCode::OK, Duration::ZERO, NOW.parse().unwrap());
        if plainly_refused(status, &headers) {
            let received = UpstreamAnswer { status, headers: &headers, authorized: false, delay, at };
            proptest::prop_assert_eq!(freshness(&received), None, "{:?}", headers);
        }
    }
}

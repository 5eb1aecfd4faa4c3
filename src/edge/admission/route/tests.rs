#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Route of a test: the place of the id follows from what has `{widget}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sample {
    host: Option<String>,
    path: String,
    /// Where the id stands, if neither host nor path has it.
    elsewhere: &'static str,
}

impl Sample {
    fn has_widget(&self) -> bool {
        self.path.contains("{widget}") || self.is_by_host()
    }

    fn is_by_host(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.contains("{widget}"))
    }

    fn toml(&self) -> String {
        let host = self.host.as_ref().map(|host| format!("host = \"{host}\"\n")).unwrap_or_default();
        let widget =
            if self.has_widget() { String::new() } else { format!("widget = \"{}\"\n", self.elsewhere) };
        let path = &self.path;
        format!("[[routes]]\n{host}path = \"{path}\"\n{widget}class = \"asset\"\nupstream = \"demo\"\n")
    }

    /// Whether the route matches, and the id that it finds: spec 18, read naively.
    fn matches(&self, host: &str, path: &str, query: Option<&str>) -> Option<Result<String, ()>> {
        let mut ids = Vec::new();
        match &self.host {
            None => {}
            Some(pattern) if self.is_by_host() => {
                let (label, parent) = host.split_once('.')?;
                if pattern.strip_prefix("{widget}.")? != parent {
                    return None;
                }
                ids.push(label.to_owned());
            }
            Some(exact) if exact == host => {}
            Some(_) => return None,
        }
        let mut segments = path.split('/').skip(1);
        for pattern in self.path.split('/').skip(1) {
            match (pattern, segments.next()?) {
                ("{*rest}", _) => {
                    segments.by_ref().for_each(drop);
                    break;
                }
                ("{widget}", "") => return None,
                ("{widget}", id) => ids.push(id.to_owned()),
                (literal, segment) if literal == segment => {}
                _ => return None,
            }
        }
        if segments.next().is_some() {
            return None;
        }
        if let Some(id) = self.elsewhere.strip_prefix("fixed:").filter(|_| !self.has_widget()) {
            ids.push(id.to_owned());
        } else if !self.has_widget() {
            let all: Vec<_> = query.into_iter().flat_map(|query| query.split('&')).collect();
            let named: Vec<_> = all.iter().filter_map(|parameter| parameter.strip_prefix("id=")).collect();
            match named.as_slice() {
                [one] => ids.push((*one).to_owned()),
                _ => return Some(Err(())),
            }
        }
        assert_eq!(ids.len(), 1, "{self:?}: exactly once");
        Some(Ok(ids.remove(0)))
    }

    /// Whether one path has `{widget}` where the other begins its rest.
    fn competes(&self, other: &str) -> bool {
        let (one, other): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), other.split('/').collect());
        let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        let mut next = [one.get(same), other.get(same)].map(|segment| segment.copied().unwrap_or_default());
        next.sort_unstable();
        next == ["{*rest}", "{widget}"]
    }

    /// How narrow the route is; the narrowest one goes first.
    fn breadth(&self) -> (u8, Vec<u8>) {
        let host = if self.is_by_host() { 1 } else { u8::from(self.host.is_none()) * 2 };
        let of = |segment: &str| match segment {
            "{widget}" => 1,
            "{*rest}" => 2,
            _ => 0,
        };
        (host, self.path.split('/').map(of).collect())
    }
}

fn host() -> impl Strategy<Value = Option<String>> {
    const HOSTS: &[&str] = &["a.example", "w1.b.example", "{widget}.b.example", "{widget}.example"];
    prop_oneof![2 => Just(None), 3 => proptest::sample::select(HOSTS).prop_map(|host| Some(host.to_owned()))]
}

fn sample() -> impl Strategy<Value = Sample> {
    let segments = proptest::collection::vec(proptest::sample::select(&["x", "y", "{widget}"][..]), 0..4);
    let end = proptest::sample::select(&["", "/", "/{*rest}"][..]);
    let elsewhere = proptest::sample::select(&["fixed:f1", "query:id"][..]);
    (host(), segments, end, elsewhere).prop_filter_map("an id twice", |(host, segments, end, elsewhere)| {
        let in_host = host.as_ref().is_some_and(|host| host.contains("{widget}"));
        let in_path = segments.iter().filter(|segment| **segment == "{widget}").count();
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect::<String>() + end;
        let path = if path.is_empty() { "/".to_owned() } else { path };
        (usize::from(in_host) + in_path <= 1).then_some(Sample { host, path, elsewhere })
    })
}

/// The table of these routes; `None` if the configuration is refused.
fn table(routes: &[Sample]) -> Option<RouteTable> {
    let text: String = routes.iter().map(Sample::toml).collect();
    let settings = config::parse("test", &format!("[upstreams.demo]\nbuiltin = true\n{text}"), []).ok()?;
    let upstreams = Upstreams::prepare(&settings.upstreams, Some(([127, 0, 0, 1], 1).into()), None).unwrap();
    Some(RouteTable::prepare(&settings, &upstreams, None).unwrap())
}

/// The id that a table finds; `Some(Err(()))`: the query has none, or several.
fn found(table: &RouteTable, request: &RequestHead) -> Option<Result<String, ()>> {
    match table.find(request) {
        Target::Route { widget, .. } => Some(Ok(widget.to_owned())),
        Target::Unnamed { .. } => Some(Err(())),
        Target::None => None,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn the_narrowest_route_matches_in_any_order(
        routes in proptest::collection::vec(sample(), 1..8),
        host in "(a|w1\\.b|w2\\.b|w2|c)\\.example",
        path in "(/[xyz]|/w1){0,4}/?",
        query in proptest::option::of("(id=[ab]|z=1)(&id=c)?"),
    ) {
        let mut seen = BTreeSet::new();
        let mut routes: Vec<Sample> =
            routes.into_iter().filter(|route| seen.insert((route.host.clone(), route.path.clone()))).collect();
        let path = if path.is_empty() { "/".to_owned() } else { path };
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let (label, parent) = host.split_once('.').unwrap();
        let stated = format!("{label}.{}:8080", parent.to_uppercase());
        let asked = RequestHead::of("GET", &target, &[("host", &stated)]);

        let competes = routes.iter().enumerate().any(|(n, one)| {
            routes[..n].iter().any(|other| one.host == other.host && one.competes(&other.path))
        });
        let mut matching: Vec<_> = routes
            .iter()
            .filter_map(|route| Some((route.breadth(), route.matches(&host, &path, query.as_deref())?)))
            .collect();
        matching.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let [(first, _), (second, _), ..] = matching.as_slice() {
            prop_assert_eq!(first.cmp(second), Ordering::Less, "two that could both match");
        }
        let expected = matching.into_iter().next().map(|(_, id)| id);
        let of_table = |routes: &[Sample]| table(routes).map(|table| found(&table, &asked));
        let answer = of_table(&routes);
        prop_assert_eq!(&answer, &(!competes).then_some(expected));
        routes.reverse();
        prop_assert_eq!(of_table(&routes), answer);
    }
}

#[test]
fn a_call_for_a_ticket_goes_before_the_routes_of_every_host() {
    let whole = |host: Option<&str>| Sample {
        host: host.map(str::to_owned),
        path: "/{*rest}".to_owned(),
        elsewhere: "fixed:f1",
    };
    let by_host = Sample { elsewhere: "", ..whole(Some("{widget}.b.example")) };
    let table = table(&[whole(None), whole(Some("a.example")), by_host]).unwrap();
    for host in ["a.example", "w1.b.example", "c.example", "[::1]:8080"] {
        let asked = RequestHead::of("POST", "/w/w9/embed-ticket", &[("host", host)]);
        assert!(
            matches!(table.find(&asked), Target::Call { call: EdgeCall::Ticket, widget: "w9" }),
            "{host}"
        );
    }
}

#[test]
fn a_call_for_a_ticket_goes_before_a_route_that_names_the_widget() {
    let named = |host: Option<&str>| Sample {
        host: host.map(str::to_owned),
        path: "/w/helpdesk/{*rest}".to_owned(),
        elsewhere: "fixed:helpdesk",
    };
    let table = table(&[named(None), named(Some("a.example"))]).unwrap();
    for host in ["a.example", "b.example"] {
        let asked = |path: &str| RequestHead::of("POST", path, &[("host", host)]);
        for widget in ["helpdesk", "w9"] {
            let asked = asked(&format!("/w/{widget}/embed-ticket"));
            let Target::Call { widget: found, .. } = table.find(&asked) else { panic!("{host} {widget}") };
            assert_eq!(found, widget);
        }
        assert!(matches!(table.find(&asked("/w/helpdesk/x")), Target::Route { widget: "helpdesk", .. }));
    }
}

#[test]
fn a_path_that_reads_as_another_route_s_once_decoded_is_no_route_s() {
    let sample = |path: &str, host: Option<&str>| Sample {
        host: host.map(str::to_owned),
        path: path.to_owned(),
        elsewhere: "fixed:f1",
    };
    let table = table(&[
        sample("/{*rest}", None),
        sample("/media/{*rest}", None),
        sample("/{*rest}", Some("a.example")),
    ])
    .unwrap();
    for (path, is_ambiguous) in [
        ("/%6Dedia/x", true),
        ("/media%2Fx", true),
        ("/w/w1/embed%2Dticket", true),
        ("/media/%78", false),
        ("/x%20y", false),
        ("/%C3%BC/x", false),
        ("/x%2Fy", false),
    ] {
        let asked = RequestHead::of("GET", path, &[("host", "b.example")]);
        assert_eq!(table.has_another_reading(&asked), is_ambiguous, "{path}");
    }
    // The dot of a fully qualified name does not lead to other routes.
    for host in ["a.example", "a.example.", "A.example.:443"] {
        let asked = RequestHead::of("GET", "/media/x", &[("host", host)]);
        assert!(
            matches!(table.find(&asked), Target::Route { route, .. } if !Arc::ptr_eq(route, routed(&table))),
            "{host}"
        );
    }
}

/// The route of `/media/x` on another host.
fn routed(table: &RouteTable) -> &Arc<Route> {
    let asked = Box::leak(Box::new(RequestHead::of("GET", "/media/x", &[("host", "b.example")])));
    match table.find(asked) {
        Target::Route { route, .. } => route,
        other => panic!("{other:?}"),
    }
}
